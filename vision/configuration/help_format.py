"""Format of a command's ``--help``: a usage of one line, then each key with meaning, type and default."""

from __future__ import annotations

import re
import shutil
from argparse import Action, RawDescriptionHelpFormatter
from collections.abc import Iterable
from typing import Any

from jsonargparse import DefaultHelpFormatter

_GROUP_HELP = "Path to a configuration file."  # jsonargparse's help of the option that stands for a group of keys


class HelpFormatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """A formatter that keeps examples as written, and puts keys and meanings side by side on wide terminals."""

    def __init__(self, prog: str, **options: Any) -> None:
        width = min(shutil.get_terminal_size().columns, 120) - 2
        places = {"max_help_position": 44 if width > 100 else 24, "width": width, **options}
        super().__init__(prog, **places)  # type: ignore[no-untyped-call]

    def _format_usage(self, usage: str | None, actions: Iterable[Action], *_: Any, **__: Any) -> str:
        """Show only required options: a command has a hundred keys, and their list follows."""
        if usage is not None:
            return f"usage: {usage % {'prog': self._prog}}\n\n"
        needed = " ".join(f"{action.option_strings[0]} {_name(action)}" for action in actions if _is_needed(action))
        return f"usage: {self._prog} {needed}{' ' if needed else ''}[--config FILE] [--KEY VALUE ...]\n\n"

    def _format_action(self, action: Action) -> str:
        # Every range of numbers can be read from a file, which is rarely needed.
        if action.help == _GROUP_HELP and "." in action.dest:
            return ""
        return super()._format_action(action)

    def _get_help_string(self, action: Action) -> str:
        said = super()._get_help_string(action)
        if not _is_needed(action):  # the bounds of a range have no default of their own, but the range has
            said = said.replace("(required, ", "(")
        said = said.replace("type: %(type)s, ", "%(type)s, ").replace("type: %(type)s", "%(type)s")
        return "YAML file of these keys" if action.help == _GROUP_HELP else said

    def _get_type_str(self, action: Action) -> str | None:
        said = super()._get_type_str(action)
        if said is None or said.startswith("Literal["):  # its values are shown as the option's value
            return None
        if literals := re.findall(r"Literal\[([^]]*)\]", said):
            return ", ".join(dict.fromkeys(value.strip("'") for values in literals for value in values.split(", ")))
        said = re.sub(r"Union\[([^][]*)\]", lambda found: found[1].replace(", ", " | "), said)
        said = re.sub(r"<class '(?:[\w.]+\.)?(\w+)'>", r"\1", said)
        said = re.sub(r"\b(?:Path|UPath|PathLike)\b", "path", said).replace("path | path", "path or URL")
        return re.sub(r"\bstr\b", "text", said).replace(" | ", " or ")


def _is_needed(action: Action) -> bool:
    return action.required and action.default is None and "." not in action.dest


def _name(action: Action) -> str:
    return str(action.metavar or action.dest.rsplit(".")[-1].upper())
