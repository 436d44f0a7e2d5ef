"""YAML without its traps: a text means what its reader sees.

Refused, with the line: a key given twice (YAML's own loaders let the second win), tags (some run code), anchors and
aliases (nine lines of them expand to a billion values), numbers in base 60 and 8 (``12:30:00`` is 45000 and ``017`` is
15 in YAML 1.1), keys that are not text (``?``, ``off: 1``), unlimited nesting, several documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from jsonargparse import get_loader

_MAX_DEPTH = 20
_READER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER = yaml.resolver.Resolver()
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_BASE_8 = re.compile(r"[-+]?0[0-9_]+")


class StrictYamlError(yaml.YAMLError):
    """An error for YAML that could be misread, in one line."""


@dataclass
class _Collection:
    """A mapping or sequence that is being read; ``key`` is the key of a mapping whose value comes next."""

    is_mapping: bool
    lines: dict[str, int] = field(default_factory=dict)
    key: str | None = None


def load(text: str) -> Any:
    """Return the value that ``text`` describes; raise a YAMLError that says what is wrong with it."""
    try:
        # The parser keeps its own stack, so that no depth of nesting exhausts Python's.
        _refuse_traps(yaml.parse(text, Loader=_READER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise StrictYamlError(f"{where}{error.problem or error.context}") from None
    return _load(text)


def _refuse_traps(events: Iterator[yaml.Event]) -> None:
    open_ones: list[_Collection] = []
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            open_ones.pop()
            _value_is_read(open_ones)
        elif isinstance(event, yaml.NodeEvent):
            line = event.start_mark.line + 1
            where = f"line {line}: {''.join(f'{each.key}.' for each in open_ones if each.key)}".rstrip(".")
            where += "" if where.endswith(" ") else ": "
            _refuse_indirection(event, where)
            if open_ones and open_ones[-1].is_mapping and open_ones[-1].key is None:
                _note_key(event, open_ones[-1], line, where)
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(open_ones) == _MAX_DEPTH:
                    raise StrictYamlError(f"line {line}: nested deeper than {_MAX_DEPTH} levels")
                open_ones.append(_Collection(isinstance(event, yaml.MappingStartEvent)))
            else:
                _refuse_odd_number(event, where)
                _value_is_read(open_ones)


def _value_is_read(open_ones: list[_Collection]) -> None:
    if open_ones:
        open_ones[-1].key = None


def _refuse_indirection(event: yaml.NodeEvent, where: str) -> None:
    if event.anchor:
        raise StrictYamlError(f"{where}anchors and aliases (& and *) are not read; write the value out")
    if tag := getattr(event, "tag", None):
        raise StrictYamlError(f"{where}expected a plain value, got tag '{tag}'")


def _note_key(event: yaml.NodeEvent, mapping: _Collection, line: int, where: str) -> None:
    if not isinstance(event, yaml.ScalarEvent):
        raise StrictYamlError(f"{where}expected a name as key, got a list or mapping")
    if _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit) != "tag:yaml.org,2002:str":
        raise StrictYamlError(f"{where}expected a name as key, got '{event.value}'; if it is one, put it in quotes")
    if event.value in mapping.lines:
        first = mapping.lines[event.value]
        raise StrictYamlError(f"{where}key '{event.value}' is there twice, first in line {first}; keep one")
    mapping.lines[event.value], mapping.key = line, event.value


def _refuse_odd_number(event: yaml.ScalarEvent, where: str) -> None:
    if event.implicit[0]:  # neither in quotes nor tagged
        if _BASE_60.fullmatch(event.value):
            raise StrictYamlError(f"{where}expected a plain number, got {event.value}, which is base 60 to YAML")
        if _BASE_8.fullmatch(event.value):
            raise StrictYamlError(f"{where}expected a plain number, got {event.value}, which is base 8 to YAML")


_load = get_loader("yaml")  # reads 1e-3 as a number
