"""Shards: ordinary WebDataset tars for others, and a reader that trusts nothing but the manifest."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset as wds
from msgspec.structs import replace

from tests.datasets import RENDERER, make_images, make_label, make_sample, reseal, write_dataset, write_manifest
from tests.scenes import rig, scene
from vision.errors import DactylError
from vision.io.files import sha256
from vision.rigs.rig import Rig
from vision.storage import manifest
from vision.storage.datasets import TripletDataset
from vision.storage.folders import CONFIG, MANIFEST
from vision.storage.layout import sample_key
from vision.storage.manifest import DatasetFolder
from vision.storage.schema import LABEL, SCHEMA_VERSION
from vision.storage.shards import committed_shard, encode_sample, shard_name, write_shard


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five samples in two shards; not to be changed."""
    return write_dataset(tmp_path_factory.mktemp("pristine"), (3, 2))


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(pristine, tmp_path / "set"))


def rewrite(folder: Path, members: list[tuple[tarfile.TarInfo, bytes]], samples: int) -> None:
    """Replace the first shard by a tar of ``members``, and the manifest so that it vouches for it."""
    path = folder / shard_name(0)
    with tarfile.open(path, "w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    records = list(DatasetFolder(folder).shards)
    records[0] = replace(records[0], samples=samples, bytes=path.stat().st_size, sha256=sha256(path))
    write_manifest(folder, records)


def members_of(folder: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(folder / shard_name(0)) as tar:
        return [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def plain_member(name: str, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


# ------------------------------------------------------------------------------------------------- what is right


def test_samples_come_back(pristine: Path) -> None:
    dataset = TripletDataset(pristine)
    assert len(dataset) == 5
    assert dataset.scene == scene("block", 32)
    assert dataset.object.name == "block"
    np.testing.assert_array_equal(dataset.indices, np.arange(5))
    for number in (4, 0, 2, 3, 1):
        sample = dataset[number]
        expected = make_label(number)
        assert sample.keys() == {*expected, "images"}
        for key, value in expected.items():
            np.testing.assert_array_equal(sample[key], value)
            assert LABEL[key].dtype == "str" or sample[key].dtype == LABEL[key].dtype
        assert sample["images"].shape == (3, 32, 32, 3)
        assert sample["images"].dtype == np.uint8
        error = np.abs(sample["images"].astype(int) - make_images(number))
        assert error.mean() < 2, "JPEG at quality 95 keeps the picture"
        assert dataset.appearance(number) == {"exposure": number / 10}
    dataset.verify()


@pytest.mark.parametrize("number", [-1, 5])
def test_sample_numbers_end(pristine: Path, number: int) -> None:
    with pytest.raises(IndexError):
        TripletDataset(pristine)[number]


def test_webdataset_reads_the_same_samples_and_bytes(pristine: Path) -> None:
    urls = [str(pristine / shard_name(number)) for number in range(2)]
    theirs = list(wds.WebDataset(urls, shardshuffle=False))
    assert [sample["__key__"] for sample in theirs] == [sample_key(number) for number in range(5)]
    for number, sample in enumerate(theirs):
        expected = make_sample(number)
        assert {key: value for key, value in sample.items() if not key.startswith("__")} == {
            key: value for key, value in expected.items() if key != "__key__"
        }


def test_the_tar_has_the_bytes_of_webdatasets_own_writer(pristine: Path) -> None:
    buffer = io.BytesIO()
    with wds.TarWriter(buffer, mtime=0, encoder=False) as writer:
        for number in range(3):
            writer.write(make_sample(number))
    assert buffer.getvalue() == (pristine / shard_name(0)).read_bytes()


def test_writing_needs_no_torch() -> None:
    """A render worker would pay for it with seconds and hundreds of megabytes."""
    modules = "vision.storage.datasets, vision.drawing.sheets, vision.storage.tables"
    code = f"import sys; import {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_equal_samples_give_equal_bytes_and_no_trace_of_the_writer(pristine: Path, tmp_path: Path) -> None:
    again = write_dataset(tmp_path, (3, 2))
    for path in sorted(pristine.iterdir()):
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name
    with tarfile.open(pristine / shard_name(0)) as tar:
        for member in tar:
            assert member.mtime == 0
            assert member.isreg()


def test_a_dataset_travels_to_worker_processes(pristine: Path) -> None:
    dataset = TripletDataset(pristine)
    dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy[3]["images"], dataset[3]["images"])


def test_more_shards_than_open_files(tmp_path: Path) -> None:
    """A million triplets are thousands of shards; the usual limit is 1,024 open files."""
    dataset = TripletDataset(write_dataset(tmp_path, (1,) * 40))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (Path.iterdir opens it twice)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
    try:
        assert [int(dataset.label(number)["index"]) for number in range(40)] == list(range(40))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_only_a_whole_shard_of_this_config_counts_as_committed(folder: Path) -> None:
    record = committed_shard(folder, 0, "test")
    assert record is not None
    assert (record.name, record.samples, record.renderer) == (shard_name(0), 3, RENDERER)
    assert committed_shard(folder, 0, "other") is None
    assert committed_shard(folder, 7, "test") is None
    path = folder / shard_name(0)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    assert committed_shard(folder, 0, "test") is None, "same size, other bytes"
    path.write_bytes(data[:-1])
    assert committed_shard(folder, 0, "test") is None
    (folder / "shard-000001.json").unlink()
    assert committed_shard(folder, 1, "test") is None, "written, but not committed"
    write_shard(folder, 1, [make_sample(3), make_sample(4)], "test", RENDERER)
    assert committed_shard(folder, 1, "test") is not None


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"schema_version": 2, "name": "x"}', b"nonsense"])
def test_a_damaged_record_is_named(folder: Path, content: bytes) -> None:
    (folder / "shard-000000.json").write_bytes(content)
    with pytest.raises(DactylError, match=r"shard-000000\.json: "):
        committed_shard(folder, 0, "test")


def test_what_breaks_the_contract_is_not_written() -> None:
    label, images = make_label(0), make_images(0)
    with pytest.raises(DactylError, match="sample 000000000: object_quaternion"):
        encode_sample(label | {"object_quaternion": np.zeros(4)}, images, rig(32), {})
    for bad in (images[:2], images[0], images.astype(np.float32), images[..., :1]):
        with pytest.raises(ValueError, match="expected images"):
            encode_sample(label, bad, rig(32), {})
    with pytest.raises(ValueError, match="3 camera matrices, 2 cameras"):
        encode_sample(label, images[:2], Rig(cameras=rig(32).cameras[:2]), {})


# ------------------------------------------------------------------------------------------------- what is wrong


def test_every_truncation_is_seen_at_opening(folder: Path) -> None:
    path = folder / shard_name(0)
    data = path.read_bytes()
    for size in np.random.default_rng(0).integers(0, len(data), 50):
        path.write_bytes(data[:size])
        with pytest.raises(DactylError, match=rf"shard-000000\.tar: {size} bytes, the manifest says {len(data)}"):
            TripletDataset(folder)


def test_every_bit_flip_is_seen_before_a_sample_is_given_out(folder: Path) -> None:
    """And by who looks for it. Unverified, the flip in a header is seen when it is read, one in a picture perhaps."""
    path = folder / shard_name(0)
    data = path.read_bytes()
    rng = np.random.default_rng(1)
    with tarfile.open(path) as tar:
        headers = np.array([member.offset for member in tar])
    anywhere = rng.integers(0, len(data), 40)
    in_headers = (rng.choice(headers, 40) + rng.integers(0, 512, 40)).astype(int)
    silent = 0
    for offset in (*anywhere, *in_headers):
        flipped = bytearray(data)
        flipped[offset] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        dataset = TripletDataset(folder, verify=False)
        with pytest.raises(DactylError, match=r"shard-000000\.tar: content differs"):
            dataset.verify()
        for read in (TripletDataset.__getitem__, TripletDataset.label, TripletDataset.masks, TripletDataset.appearance):
            if read is not TripletDataset.masks:  # there are none
                with pytest.raises(DactylError, match=r"shard-000000\.tar: content differs"):
                    read(TripletDataset(folder), 1)
        for number in range(len(dataset)):
            try:
                dataset[number]
            except DactylError as error:
                assert "shard-000000.tar: 00000000" in str(error)  # noqa: PT017 (as above)
                break
        else:
            silent += 1
    assert silent > 0, "flips inside pictures decode: only the hash tells"


def test_a_shard_is_hashed_once_in_a_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(manifest, "sha256", lambda path: hashed.append(path.name) or sha256(path))
    for dataset in (TripletDataset(folder), TripletDataset(folder)):
        for number in (0, 1, 0):
            dataset[number]
    TripletDataset(folder).verify()
    assert hashed == [shard_name(0), shard_name(1)]
    os.utime(folder / shard_name(0))
    TripletDataset(folder)[0]
    assert hashed == [shard_name(0), shard_name(1), shard_name(0)], "written again since"
    TripletDataset(write_dataset(folder.parent / "other"), verify=False)[0]
    assert len(hashed) == 3


def test_a_manifest_that_vouches_for_a_broken_tar_does_not_help(folder: Path) -> None:
    """Truncated at random, but with size and hash in the manifest: the tar's own structure must be checked too."""
    path = folder / shard_name(0)
    data = path.read_bytes()
    records = list(DatasetFolder(folder).shards)
    with tarfile.open(path) as tar:
        end = max(member.offset_data + member.size for member in tar)
    for size in np.random.default_rng(2).integers(0, end, 30):
        path.write_bytes(data[:size])
        write_manifest(folder, [replace(records[0], bytes=int(size), sha256=sha256(path)), records[1]])
        with pytest.raises(DactylError, match=r"shard-000000\.tar: "):
            TripletDataset(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / shard_name(1)).unlink()
    with pytest.raises(DactylError, match=r"shard-000001\.tar: shard is missing"):
        TripletDataset(folder)


def test_a_shard_that_vanishes_later_is_one_line(folder: Path) -> None:
    dataset = TripletDataset(folder)
    (folder / shard_name(1)).unlink()
    with pytest.raises(DactylError, match=r"shard-000001\.tar: cannot read"):
        dataset[4]


def test_swapped_shards_are_seen(folder: Path) -> None:
    first, second = folder / shard_name(0), folder / shard_name(1)
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)
    with pytest.raises(DactylError, match=r"shard-000000\.tar: \d+ bytes, the manifest says"):
        TripletDataset(folder)


def link(name: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info, b""


Members = list[tuple[tarfile.TarInfo, bytes]]
FOREIGN: dict[str, Callable[[Members], Members]] = {
    "foreign suffix": lambda all: [*all, plain_member("000000003.pyd", b"cos\nsystem\n")],
    "foreign key": lambda all: [*all, plain_member("readme.label.json", b"{}")],
    "path upwards": lambda all: [*all, plain_member("../000000003.label.json", b"{}")],
    "absolute path": lambda all: [*all, plain_member("/000000003.label.json", b"{}")],
    "folder": lambda all: [*all, plain_member("000000003/left.jpg", b"x")],
    "symlink": lambda all: [link(all[0][0].name, tarfile.SYMTYPE), *all[1:]],
    "hard link": lambda all: [link(all[0][0].name, tarfile.LNKTYPE), *all[1:]],
    "camera of another rig": lambda all: [plain_member("000000000.front.jpg", all[0][1]), *all[1:]],
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_members_are_refused_by_name(folder: Path, kind: str) -> None:
    members = FOREIGN[kind](members_of(folder))
    rewrite(folder, members, samples=3)
    with pytest.raises(DactylError, match=r"shard-000000\.tar: unexpected member '"):
        TripletDataset(folder)


BROKEN: dict[str, tuple[Callable[[Members], Members], int, str]] = {
    "sample twice": (lambda all: all[:5] + all, 4, "sample 000000000 is there twice"),
    "member twice": (lambda all: [all[0], all[0], *all[2:]], 3, "more samples than the 3"),
    "member missing": (lambda all: all[1:], 3, "sample '000000000' is incomplete"),
    "last member missing": (lambda all: all[:-1], 3, "incomplete"),
    "empty member": (lambda all: [plain_member(all[0][0].name, b""), *all[1:]], 3, "incomplete"),
    "samples interleaved": (lambda all: [all[5], *all[1:5], all[0], *all[6:]], 3, "more samples than the 3"),
    "one sample fewer": (lambda all: all[:-5], 3, "2 samples, the manifest says 3"),
    "one sample more": (lambda all: all, 2, "more samples than the 2 that the manifest says"),
    "the next shard's sample": (
        lambda all: [plain_member(f"{sample_key(3)}.{info.name.split('.', 1)[1]}", data) for info, data in all[:5]],
        1,
        "sample 000000003 is there twice",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_doubled_and_missing_members_are_refused(folder: Path, kind: str) -> None:
    change, samples, complaint = BROKEN[kind]
    rewrite(folder, change(members_of(folder)), samples)
    with pytest.raises(DactylError, match=complaint):
        TripletDataset(folder)


def replace_member(suffix: str, data: bytes) -> Callable[[Members], Members]:
    def change(members: Members) -> Members:
        return [plain_member(info.name, data) if info.name.endswith(suffix) else (info, old) for info, old in members]

    return change


def label_bytes(**changes: Any) -> bytes:
    plain = {key: np.asarray(value).tolist() for key, value in (make_label(0) | changes).items()}
    return json.dumps({"schema_version": SCHEMA_VERSION, **plain}).encode()


def image_bomb() -> bytes:
    """A JPEG whose header claims 65,500 x 65,500 pixels, 12 GB decoded: the size follows the SOF0 marker."""
    data = bytearray(make_sample(0)["top.jpg"])
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = b"\xff\xdc\xff\xdc"
    return bytes(data)


CONTENT: dict[str, tuple[str, bytes, str]] = {
    "image of another size": ("000000000.top.jpg", make_sample(0, 64)["top.jpg"], "64x64 pixels, expected 32x32"),
    "image bomb": ("000000000.top.jpg", image_bomb(), "65500x65500 pixels, expected 32x32"),
    "no image": ("000000000.top.jpg", b"not a picture", "not a readable JPEG"),
    "half an image": ("000000000.top.jpg", make_sample(0)["top.jpg"][:300], "not a readable JPEG"),
    "label of another version": ("000000000.label.json", label_bytes(schema_version=1), "schema version 1"),
    "label of another sample": ("000000000.label.json", label_bytes(index=1), "label of another sample"),
    "label of another rig": (
        "000000000.label.json",
        label_bytes(camera_intrinsics=np.zeros((2, 3, 3)), camera_extrinsics=np.zeros((2, 4, 4))),
        "label of another sample or rig",
    ),
    "label without a number": (
        "000000000.label.json",
        label_bytes(object_position=[0, np.nan, 0]),
        "not readable JSON",
    ),
    "label of text": ("000000000.label.json", b"half a lab", "not readable JSON"),
    "label nested without end": ("000000000.label.json", b"[" * 100_000, "not readable JSON"),
    "label as a list": ("000000000.label.json", b"[1]", "not a record"),
    "label of megabytes": ("000000000.label.json", b" " * 2_000_000, "bytes of JSON"),
}


@pytest.mark.parametrize("kind", CONTENT)
def test_bad_content_is_named_when_it_is_read(folder: Path, kind: str) -> None:
    suffix, data, complaint = CONTENT[kind]
    rewrite(folder, replace_member(suffix, data)(members_of(folder)), samples=3)
    dataset = TripletDataset(folder)
    with pytest.raises(DactylError, match=complaint) as caught:
        dataset[0]
    assert suffix.split(".", 1)[1] in str(caught.value)
    assert "shard-000000.tar: 000000000." in str(caught.value)
    dataset[1]  # the others are not affected


def shard_with(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["shards"][0].update(changes)


def in_scene(path: str, value: Any) -> Callable[[dict[str, Any]], object]:
    """Changes what stands at a dotted path of keys in the scene."""

    def change(manifest: dict[str, Any]) -> None:
        *keys, last = path.split(".")
        inner = manifest["scene"]
        for key in keys:
            inner = inner[key]
        inner[last] = value

    return change


def first_camera(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["scene"]["rig"]["cameras"][0].update({key: value})


def with_(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest.update(changes)


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest.pop(key)


MANIFESTS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    *((without(key), f"missing key '{key}'") for key in ("scene", "shards", "samples")),
    (without("schema_version"), "schema version None"),
    (with_(schema_version=1), "schema version 1"),
    (with_(colour=1), "unknown key 'colour'"),
    (with_(scene="sphere"), "key 'scene': expected 'object', got 'str'"),
    (in_scene("name", "x" * 5000), "a text of 5000 characters"),
    (in_scene("name", "\x1b]0;title\x07"), "key 'name': a text of 10 characters"),
    (in_scene("object", "sphere"), "scene: key 'object': expected 'object', got 'str'"),
    (in_scene("object.keypoints", 3), "scene: key 'object.keypoints': expected numbers"),
    (in_scene("object.mass", -1.0), "scene: key 'object': mass: expected kilograms"),
    (in_scene("colour", "red"), "scene: unknown key 'colour'"),
    *((in_scene("rig.cameras", value), "scene: .*rig") for value in ([{"name": "left"}], [], ["left"], {}, None)),
    *((first_camera("width", value), "width") for value in ("32", -5, 0, 10**6, 1.5, True)),
    (first_camera("name", "../left"), "letters, digits"),
    (first_camera("intrinsics", [[1.0]]), "intrinsics"),
    *((with_(shards=value), "shards") for value in (["shard-000000.tar"], 3, [3])),
    (with_(shards=[]), "lists shards of 0 samples, and says 5"),
    (with_(samples=6), "lists shards of 5 samples, and says 6"),
    *((with_(config=value), "key 'config'") for value in (3, [], "x")),
    *((with_(renderers=value), "renderers") for value in (3, [3], [{"name": 3}], [{"name": "x" * 301}])),
    *((with_(versions=value), "versions") for value in (3, {"numpy": 2})),
    (with_(versions={"\x1b[31m": "1"}), "a key that is no name"),
    (with_(config={"a": [[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]}), "nested deeper than"),
    (shard_with(extra=1), "unknown key 'extra'"),
    (shard_with(samples="3"), r"shards\[0\].samples"),
    (shard_with(samples=-3), r"shards\[0\].samples"),
    (shard_with(bytes=1e300), r"shards\[0\].bytes"),
    (shard_with(sha256="../../" + 58 * "0"), r"shards\[0\].sha256"),
    *((shard_with(name=value), "name") for value in ("../set/shard-000000.tar", ".", "a/b", "shard-000000.tar\n")),
]


@pytest.mark.parametrize("case", range(len(MANIFESTS)))
def test_a_bad_manifest_is_one_line(case: int, folder: Path) -> None:
    change, complaint = MANIFESTS[case]
    reseal(folder / MANIFEST, change)
    with pytest.raises(DactylError, match=complaint) as caught:
        TripletDataset(folder)
    assert str(folder / MANIFEST) in str(caught.value)
    assert len(str(caught.value)) <= 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"3", b"{", b"\xff", b'{"a": "\\ud800"}', b'{"a": NaN}', b'{"a": 1e999}', b"[" * 100_000],
)
def test_what_is_no_manifest_is_one_line(content: bytes, folder: Path) -> None:
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(DactylError, match=r"manifest\.json: not "):
        TripletDataset(folder)


def test_a_changed_record_is_not_believed(folder: Path) -> None:
    """Its types fit: only its checksum tells."""
    for name, old, new in ((MANIFEST, "block", "prism"), ("shard-000000.json", "noise", "nurse")):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace(old, new))
        with pytest.raises(DactylError, match=f"{name}: this .* was changed after it was written"):
            committed_shard(folder, 0, "test") if name != MANIFEST else TripletDataset(folder)
        (folder / name).write_text(text)


def test_an_unfinished_or_absent_dataset_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / MANIFEST).unlink()
    (folder / CONFIG).write_text("{}")
    with pytest.raises(DactylError, match=r"unfinished dataset.*rerun dactyl render"):
        TripletDataset(folder)
    with pytest.raises(DactylError, match="no such dataset manifest"):
        TripletDataset(tmp_path / "nowhere")


def test_the_fingerprint_names_the_data(folder: Path, tmp_path: Path) -> None:
    assert TripletDataset(folder).fingerprint == TripletDataset(write_dataset(tmp_path / "same")).fingerprint
    other = TripletDataset(write_dataset(tmp_path / "other", (3, 1)))
    assert TripletDataset(folder).fingerprint != other.fingerprint
    assert other.shards[0] == TripletDataset(folder).shards[0]
