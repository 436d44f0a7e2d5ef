"""Shards and what describes them: dactyl check names the shard and the reason, whatever was done to it.

``tests/vision/test_shards.py`` holds the reader's own cases: foreign members, broken samples, bad labels, manifests.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from dactyl.cli import main
from datagen.inspection.check import CheckConfig, faults
from tests.datasets import reseal, write_dataset, write_manifest
from tests.faults.conftest import Trials
from tests.faults.harness import damaged, memory_bounded, outcome
from tests.scenes import rig
from vision.io.files import sha256
from vision.storage.datasets import TripletDataset
from vision.storage.folders import MANIFEST
from vision.storage.manifest import DatasetFolder
from vision.storage.shards import shard_name


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six samples in three shards; not to be changed."""
    return write_dataset(tmp_path_factory.mktemp("pristine"), (2, 2, 2))


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(pristine, tmp_path / "set"))


def found(folder: Path) -> list[str]:
    """Every fault that dactyl check prints."""
    lines = outcome(lambda: list(faults(CheckConfig(folder))))
    return [lines] if isinstance(lines, str) else lines


def members_of(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(path) as tar:
        return [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def write_tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)


def double_key(path: Path, rng: np.random.Generator) -> None:
    members = members_of(path)
    start = 5 * int(rng.integers(2))
    write_tar(path, members[: start + 5] + members[start:])


def swap(path: Path, rng: np.random.Generator) -> None:
    other = path.with_name(shard_name((int(path.stem[-1]) + 1) % 3))
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)


def put_noise(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(rng.bytes(int(rng.integers(0, 20_000))))


def put_damage(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(damaged(path.read_bytes(), rng)[1])


STRUCTURAL: list[Callable[[Path, np.random.Generator], object]] = [
    put_damage, put_damage, put_damage, put_damage, put_damage, put_damage, put_noise, double_key, swap,
    lambda path, rng: path.unlink(),
    lambda path, rng: shutil.copy(path, path.with_name(shard_name(7))),
]  # fmt: skip


def test_any_damage_to_a_shard_is_named_by_check(folder: Path, pristine: Path, trials: Trials) -> None:
    rng = np.random.default_rng(81)
    for trial in trials(40, 1000):
        number = int(rng.integers(3))
        path = folder / shard_name(number)
        STRUCTURAL[trial % len(STRUCTURAL)](path, rng)
        (folder / shard_name(7)).exists() and (path := folder / shard_name(7))
        with memory_bounded():
            lines = found(folder)
            outcome(lambda: [TripletDataset(folder)[each] for each in range(6)])
        assert any(str(path) in line and line.rstrip() != f"{path}:" for line in lines), (trial, lines)
        for name in map(shard_name, range(3)):
            shutil.copy(pristine / name, folder / name)
        (folder / shard_name(7)).unlink(missing_ok=True)
    assert not found(folder)


def pictures(folder: Path) -> list[np.ndarray]:
    dataset = TripletDataset(folder)
    return [dataset[number]["images"] for number in range(len(dataset))]


def test_damage_to_the_manifest_or_a_record_gives_no_other_samples(
    folder: Path, pristine: Path, trials: Trials
) -> None:
    """It is refused, or the samples are those that were written, all of them."""
    rng = np.random.default_rng(82)
    expected = pictures(pristine)
    names = [MANIFEST, "shard-000000.json", "shard-000002.json", MANIFEST]
    refused = 0
    for trial in trials(40, 1000):
        path = folder / names[trial % len(names)]
        path.write_bytes(damaged((pristine / path.name).read_bytes(), rng)[1])
        with memory_bounded():
            read = outcome(lambda: pictures(folder), folder)
            lines = found(folder)
        refused += bool(lines)
        if not isinstance(read, str):
            assert len(read) == len(expected), "found in states: a manifest that had lost a part gave fewer of them"
            assert all(map(np.array_equal, read, expected))
        shutil.copy(pristine / path.name, path)
    assert refused > trial // 4


# ------------------------------------------------------------------------------------------------------- hostile


def plain(name: str, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


class Canary:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.path,)


def vouch(folder: Path, members: list[tuple[tarfile.TarInfo, bytes]] | bytes) -> None:
    """Make the first shard of these members, with a manifest that vouches for it and no record beside it."""
    path = folder / shard_name(0)
    if isinstance(members, bytes):
        path.write_bytes(members)
    else:
        write_tar(path, members)
    records = list(DatasetFolder(folder).shards)
    records[0] = replace(records[0], bytes=path.stat().st_size, sha256=sha256(path))
    write_manifest(folder, records)
    path.with_suffix(".json").unlink()


def sparse_tar() -> bytes:
    """A member of half a kilobyte that claims two gigabytes (GNU's old sparse format)."""
    info = tarfile.TarInfo("000000000.appearance.json")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (0, 512)
    header[483:495] = b"%011o\0" % (2 << 30)
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:512]) + 8 * 32)
    return bytes(header) + b"x" * 512 + bytes(1024)


def png_bomb() -> bytes:
    """A PNG that claims 50,000 x 50,000 pixels and holds almost nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + chunk(b"IEND", b"")
    )


def jpeg_bomb(jpeg: bytes) -> bytes:
    data = bytearray(jpeg)
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", 50_000, 50_000)
    return bytes(data)


def bombs(name: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [plain(f"{name.partition('.')[0]}.mask_{camera}.png", png_bomb()) for camera in rig().names]


def header(name: str, size: bytes, kind: bytes = b"0", sparse: bytes = b"") -> bytes:
    """A member's header, with a size as it stands there and the checksum that belongs to it."""
    block = bytearray(512)
    fields = {0: name.encode(), 100: b"0000644", 124: size, 156: kind, 257: b"ustar\00000", 386: sparse}
    for place, value in fields.items():
        block[place : place + len(value)] = value
    block[148:156] = b"%06o\0 " % (sum(block) + 8 * 32)
    return bytes(block)


def pax(key: str, value: str) -> bytes:
    """An extended header for the next member."""
    line = f"{key}={value}\n"
    length = next(n for n in range(5, 99) if len(f"{n} {line}") == n)
    content = f"{length} {line}".encode()
    return header("PaxHeader", b"%011o\0" % len(content), b"x") + content.ljust(512, b"\0")


MEMBER = "000000000.appearance.json"
ENDLESS: dict[str, bytes] = {
    "negative size, base 256": header(MEMBER, b"\xff" * 10 + b"\xfe\x00") + bytes(1024),
    "negative size, in decimals": header(MEMBER, b"-0000000512\0") + bytes(1024),
    "8 EiB, base 256": header(MEMBER, b"\x80\0\0\0\x80" + bytes(7)) + bytes(1024),
    "no size": header(MEMBER, b"") + bytes(1024),
    "size beyond the file": header(MEMBER, b"77777777777\0") + bytes(1024),
    "negative pax size": pax("size", "-1024") + header(MEMBER, b"00000000000\0") + bytes(1024),
    "pax size of 8 EiB": pax("size", str(8 << 60)) + header(MEMBER, b"00000000000\0") + bytes(1024),
    "pax header of 3 GB": header("PaxHeader", b"%011o\0" % (3 << 30), b"x") + bytes(1024),
    "global pax header": header("pax", b"%011o\0" % 512, b"g") + b"20 path=../../../sung\n".ljust(512, b"\0"),
    "long name of 3 GB": header("././@LongLink", b"%011o\0" % (3 << 30), b"L") + bytes(1024),
    "long link": header("././@LongLink", b"%011o\0" % 512, b"K") + bytes(1024),
    "pax sparse": pax("GNU.sparse.map", "0,x") + header(MEMBER, b"00000000000\0") + bytes(1024),
    "broken sparse map": header(MEMBER, b"%011o\0" % 512, b"S", b"-1\0 nonsense") + bytes(1536),
    "no checksum": header(MEMBER, b"%011o\0" % 0)[:148] + bytes(364) + bytes(1024),
    "noise": b"\x01" * 4096,
    "half a header": header(MEMBER, b"%011o\0" % 0)[:300],
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_tar_that_does_not_advance_is_refused_at_once(kind: str, folder: Path, capsys: pytest.CaptureFixture) -> None:
    """Found: a negative size sent Python's tarfile back to the same header for ever."""
    vouch(folder, ENDLESS[kind])
    with memory_bounded(256):
        said = outcome(lambda: TripletDataset(folder), shard_name(0), cpu_s=1)
        assert isinstance(said, str)
        assert main(["info", "--dataset", str(folder)]) == 1
        assert capsys.readouterr().err.count("\n") == 1
        assert main(["check", "--dataset", str(folder)]) == 1
    assert shard_name(0) in capsys.readouterr().out


def test_every_reader_compares_the_hash(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Found: export and reading by number gave out a picture with a flipped bit."""
    path = folder / shard_name(1)
    content = bytearray(path.read_bytes())
    content[content.index(b"\xff\xd8\xff") + 700] ^= 1
    path.write_bytes(content)
    commands = {
        "info": [], "inspect": ["--output", str(tmp_path / "a.png")], "export": ["--output", str(tmp_path / "bop")],
    }  # fmt: skip
    for name, more in commands.items():
        argv = [name, *(["bop"] if name == "export" else []), "--dataset", str(folder), *more]
        assert main(argv) == 1, name
        assert f"{path}: content differs from the manifest" in capsys.readouterr().err
    TripletDataset(folder)[0]
    for number in (2, 3):
        assert "content differs" in str(outcome(lambda number=number: TripletDataset(folder)[number]))  # type: ignore[misc]


def test_no_escape_sequence_reaches_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def put(manifest: dict[str, Any]) -> None:
        manifest["renderers"] = [{"name": "[red]x[/red] \u202e", "version": "\u200b"}]
        manifest["versions"] = {"[bold]": "\u2066 1"}

    reseal(folder / MANIFEST, put)
    assert main(["info", "--dataset", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "[red]x[/red] \\u202e" in printed
    assert all(each.isprintable() or each == "\n" for each in printed)
    reseal(folder / MANIFEST, lambda manifest: manifest.update({"\x1b]0;evil\x07": 1}))
    assert main(["info", "--dataset", str(folder)]) == 1
    assert capsys.readouterr().err.rstrip("\n").isprintable()


HOSTILE = (
    "a pickle", "path upwards", "absolute path", "symbolic link", "hard link", "device", "pipe", "sparse",
    "JPEG bomb", "PNG bomb", "pickle for a label",
)  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_member_is_refused_and_runs_nothing(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = members_of(folder / shard_name(0))
    canary = pickle.dumps(Canary(tmp_path / "sung"))
    jpeg = next(number for number, (info, _) in enumerate(members) if info.name.endswith("left.jpg"))
    label = next(number for number, (info, _) in enumerate(members) if info.name.endswith("label.json"))
    name = members[0][0].name
    hostile: dict[str, list[tuple[tarfile.TarInfo, bytes]] | bytes] = {
        "a pickle": [*members, plain("000000001.pickle", canary)],
        "path upwards": [*members, plain("../../sung", b"x")],
        "absolute path": [*members, plain(str(tmp_path / "sung"), b"x")],
        "symbolic link": [special(name, tarfile.SYMTYPE, "/etc/passwd"), *members[1:]],
        "hard link": [special(name, tarfile.LNKTYPE, "/etc/passwd"), *members[1:]],
        "device": [special(name, tarfile.CHRTYPE), *members[1:]],
        "pipe": [special(name, tarfile.FIFOTYPE), *members[1:]],
        "sparse": sparse_tar(),
        "JPEG bomb": [
            plain(info.name, jpeg_bomb(data)) if number == jpeg else (info, data)
            for number, (info, data) in enumerate(members)
        ],
        "PNG bomb": [
            each
            for number, pair in enumerate(members)
            for each in [*(bombs(pair[0].name) if number % 5 == 4 else []), pair]
        ],
        "pickle for a label": [
            plain(info.name, canary) if number == label else (info, data) for number, (info, data) in enumerate(members)
        ],
    }  # fmt: skip
    vouch(folder, hostile[kind])
    with memory_bounded():
        status = main(["check", "--dataset", str(folder)])
        masks = outcome(lambda: TripletDataset(folder).masks(0))
    said = capsys.readouterr()
    if kind == "PNG bomb":
        assert "PNG" in str(masks) or "mask" in str(masks)
        assert isinstance(masks, str)
    else:
        assert status == 1
        assert shard_name(0) in said.out
        assert "Traceback" not in said.err
    assert not (tmp_path / "sung").exists()


@pytest.mark.parametrize(
    "name", ["../set/shard-000000.tar", "/etc/passwd", "pipe:touch sung", "shard-000000.tar\0", ".", "", "a/b.tar", "-"]
)
def test_a_manifest_names_only_files_of_its_folder(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    reseal(folder / MANIFEST, lambda manifest: manifest["shards"][0].update(name=name))
    for said in (outcome(lambda: TripletDataset(folder), MANIFEST if "/" in name else ""), *found(folder)):
        assert isinstance(said, str)
    assert not (folder / "sung").exists()


@pytest.mark.parametrize("what", ["pipe", "folder", "link to nothing", "link to itself", "device"])
def test_a_shard_that_is_no_file_is_named_and_not_waited_for(what: str, folder: Path) -> None:
    path = folder / shard_name(1)
    path.unlink()
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "link to nothing": lambda: path.symlink_to("nowhere"),
        "link to itself": lambda: path.symlink_to(path.name),
        "device": lambda: path.symlink_to("/dev/zero"),
    }[what]()
    assert any(shard_name(1) in line and "missing" in line for line in found(folder))


def test_a_record_cannot_send_the_reader_elsewhere(folder: Path) -> None:
    """Sizes that overflow when they are added up, and then fit: found by reading, never by chance."""
    path = folder / "shard-000000.json"
    record = json.loads(path.read_bytes())
    first = record["layout"]["samples"][0].split()
    sizes = [int(size) for size in first[1:]]
    for evil in (
        [sizes[0] + (1 << 62), *sizes[1:]],
        [sizes[0] + (1 << 62), sizes[1] + (1 << 62), sizes[2] + (1 << 62), sizes[3] + (1 << 62), *sizes[4:]],
        [sizes[1], sizes[0], *sizes[2:]],
        [-1, *sizes[1:]],
    ):
        line = " ".join(map(str, [first[0], *evil]))
        reseal(path, lambda record, line=line: record["layout"]["samples"].__setitem__(0, line))
        with memory_bounded():
            said = outcome(lambda: TripletDataset(folder)[0], shard_name(0))
        assert isinstance(said, str) or np.array_equal(said["index"], 0)


def test_the_manifest_vouches_for_what_is_written(folder: Path) -> None:
    """The helper above makes sound datasets too: its refusals come from what was put in."""
    vouch(folder, members_of(folder / shard_name(0)))
    assert not found(folder)
    assert DatasetFolder(folder).shards[0].samples == 2
