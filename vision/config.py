"""Command lines from dataclasses: YAML files, dotted overrides, and errors of one line.

Every subcommand is configured by one frozen dataclass. ``--config FILE`` reads YAML, ``--a.b VALUE`` overrides a key,
``--print_config`` shows what results; unknown keys, wrong types and impossible values are refused in one line.
"""

from __future__ import annotations

import difflib
import inspect
import re
from argparse import ArgumentError, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter

from vision.errors import DactylError

Config = TypeVar("Config")


class UsageError(Exception):
    """A command line or configuration that cannot be used, in one line. The command exits with status 2."""


class HelpFormatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Types and defaults of every option, examples as they were written."""


def parse(config_class: type[Config], argv: Sequence[str], command: str, description: str) -> Config:
    """The configuration that ``argv`` and its YAML files describe.

    Args:
        config_class: a dataclass whose fields are the keys; its ``__post_init__`` raises ValueError for impossible
            values.
        argv: the arguments after the subcommand.
        command: as typed, for example ``dactyl render``.
        description: what it does, with examples; ``--help`` prints it.

    Raises:
        UsageError: what is wrong, where, and what was expected.
        SystemExit: after ``--help`` and ``--print_config``.
    """
    parser = ArgumentParser(
        prog=command,
        description=inspect.cleandoc(description),
        formatter_class=HelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of the keys below.")
    parser.add_class_arguments(config_class, None)
    try:
        values = parser.instantiate(parser.parse_args(list(argv))).as_dict()
        del values["config"]
        return config_class(**values)
    except (ArgumentError, DactylError, ValueError, TypeError, OSError, RecursionError) as error:
        raise UsageError(f"{command}: {one_line(error, known_keys(config_class))}") from error


def one_line(error: BaseException, keys: Iterator[str] | Sequence[str] = ()) -> str:
    """What a configuration error says, in one line and with the nearest known key for an unknown one."""
    text = " ".join(str(error).split())
    text = re.sub(r"Parser key \"([\w.]+)\":", r"\1:", text)
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text).replace("typing.", "")
    unknown = re.search(r"Option '([\w.]+)' is not accepted|unrecognized arguments: (?:--)?([\w.]+)", text)
    if unknown:
        key = unknown[1] or unknown[2]
        near = difflib.get_close_matches(key, list(keys), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "; --help lists the keys"
        return f"unknown key '{key}'{hint}"
    return text


def known_keys(config_class: type, prefix: str = "") -> Iterator[str]:
    """Dotted names of a dataclass's fields and of those of its nested dataclasses."""
    hints = get_type_hints(config_class)
    for field in fields(config_class):
        yield prefix + field.name
        if is_dataclass(hints[field.name]):
            yield from known_keys(hints[field.name], f"{prefix}{field.name}.")


def plain(value: Any) -> Any:
    """A configuration as JSON values, for manifests and fingerprints."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value.value if isinstance(value, Enum) else value


def differences(there: Any, here: Any, prefix: str = "") -> list[str]:
    """Dotted keys in which two plain configurations differ, each as ``key: old there, new here``."""
    if isinstance(there, dict) and isinstance(here, dict):
        return [
            line
            for key in dict.fromkeys([*there, *here])
            for line in differences(there.get(key), here.get(key), f"{prefix}{key}.")
        ]
    return [] if there == here else [f"{prefix[:-1]}: {there!r} there, {here!r} here"]
