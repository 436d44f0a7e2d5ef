"""Command lines from dataclasses: YAML files, dotted overrides, and errors of one line.

Every subcommand is configured by one frozen dataclass. ``--config FILE`` reads YAML, ``--a.b VALUE`` overrides a key,
``--print_config`` prints the result. Unknown keys, wrong types, impossible values and YAML that could be misread
(:mod:`vision.configuration.strict_yaml`) are refused in one line. No value makes the parser import a module that it
names, except our own and Lightning's (a Trainer takes callbacks and strategies by name).
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import os
from argparse import ArgumentError
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace, set_loader, set_parsing_settings
from jsonargparse.typing import register_type
from upath import UPath
from yaml import YAMLError

from vision.configuration import strict_yaml
from vision.configuration.config_files import CONFIGS, PREFIX, config_file
from vision.configuration.help_format import HelpFormatter
from vision.errors import DactylError, UsageError, format_error
from vision.io.outputs import refuse_lost_inputs
from vision.io.store import Location, is_remote, local_path, locate

Config = TypeVar("Config")

CONFIG_ERRORS = (ArgumentError, DactylError, ValueError, TypeError, OSError, RecursionError, OverflowError)
"""Errors raised by a parser of :func:`new_parser` and by the dataclasses that it fills;
:func:`vision.errors.format_error` formats them."""

_MAX_FILE_BYTES = 1 << 16
_YAML = "strict_yaml"  # parser mode that reads files and values by vision.configuration.strict_yaml
_OPEN_DESCRIPTORS = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")

# By default a value that names a class imports its module, whatever that is. These packages contain only code that is
# installed anyway.
_IMPORTABLE = ["lightning", "vision", "datagen", "train", "eval"]


def _path_text(path: Any) -> str:
    """Format a path for a configuration. Refuses other values, or ``Path | None`` would print null as ``None``."""
    if not isinstance(path, Path):
        raise ValueError(f"expected a path, got {path!r}")
    return str(path)


def _path(text: str | Path) -> Path:
    """Return a path of this machine. Refuses URLs: one that needs a missing package would become the folder ``s3:``."""
    if not str(text) or "\0" in str(text):  # an empty path, from an unset shell variable, would be the current folder
        raise ValueError(f"expected a folder or file, got {str(text)!r}")
    place = locate(text) if "://" in str(text) else local_path(str(text))
    if is_remote(place):
        raise ValueError(f"expected a folder or file of this machine, got {text}")
    return place


def _location_text(place: Location) -> str:
    """Format a location for a configuration. Refuses other values, or an optional one would print null as ``None``."""
    if not isinstance(place, UPath | Path):
        raise ValueError(f"expected a location, got {place!r}")
    return str(place)


def parse(config_class: type[Config], argv: Sequence[str], command: str, description: str) -> Config:
    """Parse ``argv`` and its YAML files into a configuration.

    Args:
        config_class: a dataclass whose fields are the keys; its ``__post_init__`` raises ValueError for impossible
            values.
        argv: the arguments after the subcommand.
        command: as typed, for example ``dactyl render``.
        description: what the command does, with examples; ``--help`` prints it.

    Raises:
        UsageError: the configuration is invalid; the message says what is wrong, where, and what was expected.
        SystemExit: after ``--help`` and ``--print_config``.
    """
    parser = new_parser(command, description)
    parser.add_class_arguments(config_class, None)
    try:
        values = parser.instantiate(parser.parse_args(list(argv))).as_dict()
        files = values.pop("config") or ()
        config = config_class(**values)
        refuse_not_finite(config)
        refuse_lost_inputs(config, [str(file) for file in files])
        return config
    except CONFIG_ERRORS as error:
        raise usage_error(command, argv, error, known_keys(config_class)) from error


def usage_error(command: str, argv: Sequence[str], error: BaseException, keys: Iterable[str]) -> UsageError:
    """Format a configuration error in one line, with the files that it may come from if it names none."""
    files = [value for option, value in _option_values(argv) if option == "--config"]
    text = format_error(error, keys)
    known = not files or any(file in text for file in files)
    return UsageError(f"{command}: {text}" if known else f"{command}: {text} (in {', '.join(files)} or an option)")


def new_parser(command: str, description: str) -> ArgumentParser:
    """Return a parser that has only the option ``--config``, raises its errors, and reads YAML strictly.

    The first one sets what all parsers of jsonargparse in the process share: a command's process has no others.
    """
    _set_up_parsing()
    parser = _Parser(
        prog=command,
        description=inspect.cleandoc(description),
        formatter_class=HelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
        parser_mode=_YAML,
    )
    ours = "YAML file with any of the keys below; dactyl:train/best is train/best.yaml of those that come along."
    parser.add_argument("--config", action=_ConfigFile, metavar="FILE", help=ours)
    return parser


@functools.cache
def _set_up_parsing() -> None:
    """Restrict what values may import, and teach jsonargparse our types and our YAML.

    Nothing of this happens on import: whoever imports us may have parsers, too.
    """
    set_parsing_settings(
        import_path_denylist=["*"], import_path_allowlist=_IMPORTABLE, instantiate_subclass_spec_in_any=False
    )
    set_loader(_YAML, strict_yaml.load, exceptions=(YAMLError,))
    register_type(Path, _path_text, _path, fail_already_registered=False)
    register_type(UPath, _location_text, locate)


class _Parser(ArgumentParser):
    """A parser that reads the files of ``--config`` first, so that options override them wherever they stand.

    It checks the size of files that stand for a group of keys (``--render FILE``) before they are read.
    """

    def parse_args(self, args: Sequence[str] | None = None, **options: Any) -> Namespace:  # type: ignore[override]
        args = _files_first(args or ())
        for option, value in _option_values(args):
            # Values in YAML may be longer than a file's name, for which Path.exists raises.
            if option.removeprefix("--") in (self.groups or ()) and os.path.exists(value):  # noqa: PTH110
                try:
                    _read(Path(value))
                except (OSError, ValueError) as error:
                    raise ValueError(f"{option.removeprefix('--')}: {value}: {error}") from None
        return super().parse_args(args, **options)


def _option_values(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each option with its value, given as the next word or behind an equals sign."""
    yield from itertools.pairwise(args)
    yield from ((option, value) for option, equals, value in (arg.partition("=") for arg in args) if equals)


def _files_first(args: Sequence[str]) -> list[str]:
    """Return the arguments with each ``--config FILE`` before all others, in their order."""
    files, others, waiting = list[str](), list[str](), list(args)
    while waiting:
        count = 2 if waiting[0] == "--config" else 1
        (files if waiting[0].partition("=")[0] == "--config" else others).extend(waiting[:count])
        del waiting[:count]
    return files + others


class _ConfigFile(ActionConfigFile):
    """The option ``--config``: its errors name the file, and content that jsonargparse would silently ignore is
    refused."""

    @staticmethod
    def apply_config(parser: ArgumentParser, cfg: Namespace, dest: str, value: str) -> None:
        path = Path(value)
        try:
            path = config_file(value)
            text = _read(path)
            content = strict_yaml.load(text)
            _refuse_odd_content(content, parser.groups or ())
            # jsonargparse would do so too, but searches all keys of the command for each of thousands.
            known = {action.dest for action in parser._actions}
            if (unknown := _unknown_key(content, parser.groups or (), known)) is not None:
                raise ValueError(f"Option '{unknown}' is not accepted")
            # Pass the text, not the path: a pipe can be read only once.
            ActionConfigFile.apply_config(parser, cfg, dest, text)
        except (*CONFIG_ERRORS, YAMLError) as error:
            keys = [action.dest for action in parser._actions]
            raise TypeError(f"{path}: {format_error(error, keys)}") from error


def _read(path: Path) -> str:
    """Read a YAML file, or what the shell passes in place of one: ``<(...)`` and ``/dev/stdin``."""
    # Named pipes are refused: opening one without a writer would block.
    if not (path.is_file() or (path.exists() and str(path).startswith(_OPEN_DESCRIPTORS) and not path.is_dir())):
        ours = CONFIGS / path.parent.name / path.name
        known = f", or give {PREFIX}{path.parent.name}/{path.stem}, which comes along" if ours.is_file() else ""
        raise ValueError(f"expected a YAML file, got none; check the path{known}")
    with path.open("rb") as file:
        content = file.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise ValueError(f"expected at most {_MAX_FILE_BYTES:,} bytes of YAML, got more")
    return content.decode("utf-8-sig")


def _refuse_odd_content(content: Any, groups: Iterable[str]) -> None:
    """Refuse anything but keys, and a list or empty value for a group of keys, which would leave the defaults."""
    if not isinstance(content, dict):
        raise ValueError(f"expected keys and values, got {'nothing' if content in (None, '') else repr(content)}")
    if "config" in content:
        raise ValueError("config: expected a key of the command; give --config twice to read two files")
    for group in groups:
        inner: Any = content
        for name in group.split("."):
            inner = inner.get(name, {}) if isinstance(inner, dict) else {}
        if not isinstance(inner, dict) or inner.keys() & {"class_path", "init_args"}:
            raise ValueError(f"{group}: expected keys below it, got {inner!r}")


def _unknown_key(
    content: dict[str, Any], groups: Collection[str], known: Collection[str], prefix: str = ""
) -> str | None:
    """Return the first dotted name in nested content that is neither a group of keys nor known."""
    for name, value in content.items():
        key = prefix + name
        if key in groups:
            if isinstance(value, dict) and (unknown := _unknown_key(value, groups, known, f"{key}.")) is not None:
                return unknown
        elif key not in known:
            return key
    return None


def refuse_not_finite(value: Any, key: str = "") -> None:
    """Raise a ValueError for NaN or infinity anywhere in a configuration."""
    if is_dataclass(value):
        value = vars(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key}: expected a finite number, got {value}")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for name, inner in items:
        refuse_not_finite(inner, f"{key}.{name}" if key else str(name))


def known_keys(config_class: type, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of a dataclass's fields and of those of its nested dataclasses."""
    hints = get_type_hints(config_class)
    for field in fields(config_class):
        yield prefix + field.name
        if is_dataclass(hints[field.name]):
            yield from known_keys(hints[field.name], f"{prefix}{field.name}.")
