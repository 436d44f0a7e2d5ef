"""Configuration files: whatever stands in them, one line that names file, key, what was expected and what was found."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dactyl.cli import main
from datagen.generate.config import RenderConfig
from datagen.states.collect import StatesConfig
from eval.scoring.config import EvaluateConfig
from tests.faults.conftest import Trials
from tests.faults.harness import memory_bounded, misworded, outcome
from vision.configuration import strict_yaml
from vision.configuration.command_line import parse

CONFIGS = Path(__file__).parents[2] / "configs"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join([f'*{chr(97 + level)}'] * 9)}]\n" for level in range(9)
)


def render(file: Path, *more: str) -> Any:
    """The outcome of reading a configuration of ``dactyl render``: it, or a line that names the file."""
    argv = ["--states", "s", "--output", "o", "--config", str(file), *more]
    return outcome(lambda: parse(RenderConfig, argv, "dactyl render", "Tests."), file)


TRAPS: dict[str, tuple[str | bytes, str]] = {
    "key twice": ("count: 3\ncount: 5\n", "line 2: key 'count' is there twice, first in line 1"),
    "inner key twice": (
        "appearance:\n  lights: {low: 1, high: 2}\n  lights: {low: 3, high: 4}\n",
        "line 3: appearance: key 'lights' is there twice, first in line 2",
    ),
    "unknown key": ("cuont: 3\n", "unknown key 'cuont'; did you mean 'count'?"),
    "unknown inner key": (
        "render: {image_siz: 3}\n",
        "unknown key 'render.image_siz'; did you mean 'render.image_size'",
    ),
    "wrong type": ("count: many\n", "count: Expected a int. Got value: many"),
    "half a sample": ("count: 3.5\n", "count: Expected a int. Got value: 3.5"),
    "yes": ("count: yes\n", "count: Expected a int. Got value: True"),
    "impossible value": ("count: 0\n", "count: must be at least 1, got 0"),
    "base 60": ("count: 12:30:00\n", "line 1: count: expected a plain number, got 12:30:00"),
    "base 60, fraction": ("timeout_s: 1:30.5\n", "timeout_s: expected a plain number, got 1:30.5"),
    "a key that is nothing": ("?", "expected a name as key, got ''"),
    "a key that is false": ("off: 1\n", "expected a name as key, got 'off'"),
    "base 8": ("count: 017\n", "count: expected a plain number, got 017"),
    "not a number": ("timeout_s: .nan\n", "timeout_s"),
    "infinite": ("timeout_s: .inf\n", "timeout_s: expected a finite number, got inf"),
    "beyond float": ("timeout_s: 1e999\n", "timeout_s: expected a finite number, got inf"),
    "infinite, inside": ("render: {unity: {light_range: .inf}}\n", "render.unity.light_range: expected a finite"),
    "not a number, inside": ("appearance: {light_distance: {low: .nan, high: 1}}\n", "low must be finite"),
    "5,000 digits": ("count: " + "9" * 5000, "5000 digits"),
    "code in a tag": ('count: !!python/object/apply:os.system ["true"]\n', "expected a plain value, got tag"),
    "name in a tag": ("object: !!python/name:os.system\n", "object: expected a plain value, got tag"),
    "harmless tag": ('count: !!int "3"\n', "count: expected a plain value, got tag"),
    "own tag": ("count: !seconds 3\n", "count: expected a plain value, got tag '!seconds'"),
    "alias bomb": (BOMB + "count: *j\n", "anchors and aliases (& and *) are not read"),
    "alias of itself": ("count: &a [*a]\n", "anchors and aliases"),
    "merge": ("render: &r {image_size: 48}\naugmentation: {<<: *r}\n", "anchors and aliases"),
    "class by name": ("render: {class_path: os.system}\n", "render: expected keys below it"),
    "list for keys": ("render: [1]\n", "render: expected keys below it, got [1]"),
    "nothing for keys": ("render: null\n", "render: expected keys below it, got None"),
    "file for keys": ("render: other.yaml\n", "render: expected keys below it, got 'other.yaml'"),
    "another file": ("config: other.yaml\n", "give --config twice"),
    "list as key": ("? [1, 2]\n: 3\n", "expected a name as key"),
    "number as key": ("3: 4\n", "expected a name as key, got '3'; if it is one, put it in quotes"),
    "a shell's variable": ("states: $HOME/states\n", "$HOME is not replaced here; write the path out"),
    "nobody's folder": ("states: ~nobody-is-called-so/states\n", "there is no such user"),
    "empty": ("", "expected keys and values, got nothing"),
    "blank": (" \n\n# no more\n", "expected keys and values, got nothing"),
    "a list": ("[1, 2]", "expected keys and values, got [1, 2]"),
    "a word": ("hello", "expected keys and values, got 'hello'"),
    "two documents": ("count: 3\n---\ncount: 4\n", "expected a single document"),
    "not closed": ("count: [3\n", "expected ',' or ']'"),
    "tab": ("count:\n\tseed: 3\n", "tab"),
    "deep": ("[" * 60_000, "nested deeper than 20 levels"),
    "deep keys": ("{a: " * 15_000, "nested deeper than 20 levels"),
    "deep lines": ("".join(" " * depth + "a:\n" for depth in range(300)), "nested deeper than 20 levels"),
    "huge": ("# " + "x" * (1 << 20) + "\ncount: 3\n", "expected at most 65,536 bytes of YAML"),
    "5,000 keys inside": (
        "appearance: {clutter: {fingers: {" + ", ".join(f"k{number}: 1" for number in range(5_000)) + "}}}",
        "unknown key 'appearance.clutter.fingers.k0'",
    ),
    "5,000 keys": ("".join(f"k{number}: 1\n" for number in range(5_000)), "unknown key"),
    "one long word": ("scene: " + "x" * 60_000, "scene: no scene"),
    "not UTF-8": (b"object: \xff\xfe\n", "utf-8"),
    "UTF-16": ("count: 3\n".encode("utf-16"), "utf-8"),
    "a zero byte": ("count: 3\0\n", "control characters are not allowed"),
    "binary": (bytes(range(256)), "utf-8"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_one_line(name: str, tmp_path: Path) -> None:
    text, complaint = TRAPS[name]
    file = tmp_path / "render.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with memory_bounded():
        said = render(file)
    assert isinstance(said, str), f"{said} was read"
    assert complaint in said


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "absent.yaml", tmp_path / "pipe", Path("/dev/zero")):
        assert "expected a YAML file, got none" in render(path)


def test_numbers_as_people_write_them_are_read(tmp_path: Path) -> None:
    file = tmp_path / "render.yaml"
    file.write_text(
        "timeout_s: 1e-3\ncount: 1_000\nseed: '7'\nappearance: {light_distance: {low: 1_0e-1, high: 1.5}}\n"
    )
    config = render(file)
    assert (config.timeout_s, config.count, config.seed) == (0.001, 1000, 7)


def test_a_file_for_a_group_of_keys_is_asked_for_its_size(tmp_path: Path) -> None:
    """Found: ``--render FILE`` read 700 MB."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 3 << 30)
    (tmp_path / "good").write_text("image_size: 48")
    for name in ("pipe", "large", "."):
        path = tmp_path / name
        for argv in (["--render", str(path)], [f"--render={path}"]):
            arguments = ["--states", "s", "--output", "o", *argv]
            with memory_bounded(64):
                said = outcome(lambda argv=arguments: parse(RenderConfig, argv, "dactyl render", "Tests."), path)  # type: ignore[misc]
            assert isinstance(said, str)
    argv = ["--states", "s", "--output", "o", "--render", str(tmp_path / "good")]
    assert parse(RenderConfig, argv, "dactyl render", "Tests.").render.image_size == 48


NAMED = [
    (["render", "--states", "s", "--config"], "render: canary.Render\n"),
    (["render", "--states", "s", "--config"], "render: {class_path: canary.Render}\n"),
    (["render", "--states", "s", "--render"], None),
    (
        ["train", "--data.train", "d", "--config"],
        "trainer: {callbacks: {class_path: canary.Callback}, strategy: canary.S}",
    ),
]


@pytest.mark.parametrize(("arguments", "text"), NAMED)
def test_no_value_runs_a_module_that_it_names(
    arguments: list[str], text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: jsonargparse imports the module of any value that might be a class's name."""
    (tmp_path / "canary.py").write_text("import pathlib; pathlib.Path('sung').touch()\nRender = Callback = dict\n")
    (tmp_path / "config.yaml").write_text(text or "")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    main([*arguments, "config.yaml" if text else "canary.Render", "--output", "o", "--print_config"])
    assert not (tmp_path / "sung").exists()


@pytest.mark.parametrize("name", ["alias bomb"])
def test_the_command_refuses_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "render.yaml").write_text(str(TRAPS[name][0]))
    command = [sys.executable, "-m", "dactyl", "render", "--output", "o", "--config", "render.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    before = os.times()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    spent = sum(os.times()[2:4]) - sum(before[2:4])
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("dactyl render: render.yaml: line ")
    assert done.stderr.count("\n") == 1
    assert spent < 6, "seconds of processor time, its imports and a busy machine included: 1.5 on a quiet one"


def test_fuzzed_files_are_read_or_refused(tmp_path: Path, trials: Trials) -> None:
    rng = np.random.default_rng(8)
    kinds = {"render": RenderConfig, "states": StatesConfig, "evaluate": EvaluateConfig}
    needed = ["--states", "s"], [], ["--checkpoint", "c"]
    texts = [
        (path.read_text(), kind, more)
        for (name, kind), more in zip(kinds.items(), needed, strict=True)
        for path in sorted((CONFIGS / name).glob("*.yaml"))
    ]
    file, refused = tmp_path / "fuzzed.yaml", 0
    for trial in trials(40, 1000):
        text, kind, more = texts[trial % len(texts)]
        file.write_text(misworded(text, rng))
        argv = [*more, "--output", "o", "--config", str(file)]
        with memory_bounded():
            said = outcome(lambda kind=kind, argv=argv: parse(kind, argv, "dactyl test", "Tests."), file)  # type: ignore[misc]
        refused += isinstance(said, str)
    assert refused > 0.3 * (trial + 1), "the fuzzer hardly does any harm"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_what_was_dumped_is_read_back(value: Any) -> None:
    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    text = yaml.dump({"value": value}, Dumper=Plain)
    assert strict_yaml.load(text) == yaml.safe_load(text)


@given(st.text() | st.text(alphabet="ab:{}[]&*!-,\"' \n01", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(yaml.YAMLError):
        strict_yaml.load(text)
