"""The command line refuses what it cannot use, in one line that says what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from dactyl.cli import main
from dactyl.commands import COMMANDS
from datagen.generate.config import RenderConfig
from vision.configuration.command_line import UsageError, parse
from vision.io.json_values import differences, to_jsonable


@dataclass(frozen=True)
class Inner:
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low {self.low} exceeds high {self.high}")


@dataclass(frozen=True)
class Outer:
    """A configuration.

    Attributes:
        output: where to.
        count: how many.
        kind: which.
        inner: a range.
        places: one for each name.
    """

    output: Path
    count: int = 3
    kind: Literal["one", "two"] = "one"
    inner: Inner = field(default_factory=Inner)
    places: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count: must be at least 1, got {self.count}")


def parse_outer(*argv: str) -> Outer:
    return parse(Outer, argv, "dactyl test", "Tests.")


def test_yaml_then_overrides(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("output: here\ncount: 5\ninner: {low: 1e-1}\n")
    config = parse_outer("--config", str(file), "--count", "7", "--inner.high", "0.5")
    assert config == Outer(Path("here"), 7, "one", Inner(0.1, 0.5))


def test_options_override_files_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("output: here\ncount: 5\nkind: two\n")
    (tmp_path / "b.yaml").write_text("count: 6\ninner: {low: 0.5}\n")
    first, second = str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")
    expected = Outer(Path("here"), 7, "two", Inner(0.5))
    assert parse_outer("--count", "7", "--config", first, "--config", second) == expected
    assert parse_outer("--config", first, "--count=7", f"--config={second}") == expected
    assert parse_outer("--config", first, "--config", second).count == 6


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--output", "x", "y"], "unexpected 'y'; values follow keys: --key value"),
        (["--output", "x", "--places", "y"], "places: expected names, as in --places.name value; got y"),
        (["--output", "x", "--cuont", "3"], "unknown key 'cuont'; did you mean 'count'?"),
        (["--output", "x", "--coun", "3"], "unknown key 'coun'; did you mean 'count'?"),
        (["--output", "x", "--inner.hihg", "3"], "did you mean 'inner.high'?"),
        (["--output", "x", "--count", "many"], "count: Expected a int. Got value: many"),
        (["--output", "x", "--count", "0"], "count: must be at least 1, got 0"),
        (["--output", "x", "--kind", "three"], "kind: Expected a Literal['one', 'two']. Got value: three"),
        (["--output", "x", "--inner.low", "2"], "low 2.0 exceeds high 1.0"),
        (["--config", "absent.yaml"], "absent.yaml"),
        ([], "output"),
    ],
)
def test_refusals_are_one_line(argv: list[str], expected: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_outer(*argv)
    assert str(error.value).startswith("dactyl test: ")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_key_in_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("output: here\ninner: {hihg: 1}\n")
    with pytest.raises(UsageError, match="hihg"):
        parse_outer("--config", str(file))


def test_print_config_shows_what_results(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_outer("--output", "x", "--count", "9", "--print_config")
    assert "count: 9" in capsys.readouterr().out


def test_a_groups_value_may_be_long() -> None:
    """Found: refused as the name of a file that is too long."""
    ranges = ", ".join(f"{key}: {{low: 0.0, high: 0.{'0' * 100}1}}" for key in ("defocus", "motion", "vignette"))
    argv = ["--states", "-", "--output", "-", f"--appearance.camera_effects={{probability: 0.5, {ranges}}}"]
    parsed = parse(RenderConfig, argv, "dactyl render", "")
    assert parsed.appearance.camera_effects.probability == 0.5


def test_plain_and_differences() -> None:
    first, second = Outer(Path("a"), inner=Inner(0, 1)), Outer(Path("a"), count=4, inner=Inner(0, 2))
    assert to_jsonable(first) == {
        "output": "a",
        "count": 3,
        "kind": "one",
        "inner": {"low": 0, "high": 1},
        "places": {},
    }
    assert differences(to_jsonable(first), to_jsonable(first)) == []
    assert differences(to_jsonable(first), to_jsonable(second)) == [
        "count: 3 there, 4 here",
        "inner.high: 1 there, 2 here",
    ]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"dactyl {name}" in text


def test_help_says_what_has_to_be_given_and_every_keys_type(capsys: pytest.CaptureFixture[str]) -> None:
    """And calls nothing required that has a default, as jsonargparse does with the bounds of a range."""
    assert main(["render", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(
        "usage: dactyl render --states STATES --output OUTPUT [--config FILE] [--KEY VALUE ...] Render"
    )
    assert text.count("required") == 2
    assert "--appearance.lights.low LOW (int, default: 4)" in text
    assert "null takes all cores. (int or null, default: null)" in text
    assert "<class" not in text
    assert "Path to a configuration file" not in text


def test_help_names_optional_locations_as_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "null omits that row. (path or URL or null, default: null)" in said
    assert "Union[" not in said


@pytest.mark.parametrize("name", COMMANDS)
def test_unknown_key_of_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--no_such_key", "1"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "no_such_key" in captured.err


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("states --output o", "workers"),
        ("states --output o", "threads"),
        ("render --states s --output o", "workers"),
        ("train --data.train t --data.online.states s --output o", "data.online.workers"),
        ("train --data.train t --output o", "threads"),
        ("closed-loop --checkpoint block --output o", "workers"),
        ("policy train --output o", "threads"),
        ("policy train --output o", "torch_threads"),
        ("policy evaluate --output o", "threads"),
    ],
)
def test_no_workers_where_some_are_needed(command: str, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Null takes all cores in every command; 0 does so in none."""
    assert main([*command.split(), f"--{key}", "0"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert f"{key.rpartition('.')[2]}: must be at least 1, got 0; null takes all cores" in line
    assert main([*command.split(), f"--{key}", "null", "--print_config"]) == 0
    assert f"{key.rpartition('.')[2]}: null\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("render --states s --output o", "render.warp.device"),
        ("train --data.train t --data.online.states s --output o", "data.online.device"),
        ("estimate --pictures p", "device"),
        ("evaluate --checkpoint block --test_sets.a t --output o", "device"),
        ("closed-loop --checkpoint block --output o", "device"),
        ("policy train --output o", "device"),
    ],
)
def test_devices_have_the_same_names_everywhere(command: str, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("auto", "cpu", "cuda", "cuda:1"):
        assert main([*command.split(), f"--{key}", name, "--print_config"]) == 0
        assert f"device: {name}\n" in capsys.readouterr().out
    assert main([*command.split(), f"--{key}", "gpu"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "device: expected auto, cpu, cuda or a GPU by its number, such as cuda:1, got 'gpu'" in line


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rendr"]) == 2
    assert "unknown command 'rendr'" in capsys.readouterr().err


@pytest.mark.parametrize("group", sorted({name.partition(" ")[0] for name in COMMANDS if " " in name}))
def test_commands_of_two_words(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for name in COMMANDS if name.startswith(f"{group} ")]
    for option in ("-h", "--help"):
        assert main([group, option]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        assert all(f"  {name} " in said.out for name in names)
    for arguments, got in (([], "nothing"), (["nonsense"], "'nonsense'")):
        assert main([group, *arguments]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"dactyl {group}: expected ")
        assert said.err.endswith(f"{names[-1].split()[1]}, got {got}; --help explains them\n")
