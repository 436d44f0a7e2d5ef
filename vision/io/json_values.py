"""JSON values: how they are written, identified by a hash, and compared."""

from __future__ import annotations

import functools
import hashlib
import json
import operator
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from upath import UPath


def canonical_json(value: Any) -> bytes:
    """Return UTF-8 JSON with one line a key, in the given order, and a final newline: equal values give equal bytes."""
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def fingerprint(value: Any) -> str:
    """Return the hexadecimal SHA-256 of a JSON value, for comparing configurations."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def to_jsonable(value: Any) -> Any:
    """Convert a configuration to JSON values, for manifests and fingerprints."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_jsonable(item) for item in value]
    if isinstance(value, (Path, UPath)):
        return str(value)
    return value.value if isinstance(value, Enum) else value


def identity_of(config: Any, free: Collection[str] = (), later: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a configuration as JSON values, without what does not change the results that it is recorded with.

    Args:
        config: a dataclass.
        free: keys that never change them, dotted in groups.
        later: keys that older records do not have, dotted in groups, with the values at which they change nothing and
            are left out.
    """
    found: dict[str, Any] = to_jsonable(config)
    for path in free:
        group, key = _group_of(found, path)
        del group[key]
    for path, neutral in (later or {}).items():
        group, key = _group_of(found, path)
        if group is not None and group[key] == neutral:  # a whole group may be null
            del group[key]
    return found


def _group_of(values: dict[str, Any], path: str) -> tuple[Any, str]:
    *groups, key = path.split(".")
    return functools.reduce(operator.getitem, groups, values), key


def differences(there: Any, here: Any, prefix: str = "") -> list[str]:
    """Return dotted keys in which two plain configurations differ, each as ``key: old there, new here``."""
    if isinstance(there, dict) and isinstance(here, dict):
        return [
            line
            for key in dict.fromkeys([*there, *here])
            for line in differences(there.get(key), here.get(key), f"{prefix}{key}.")
        ]
    return [] if there == here else [f"{prefix[:-1]}: {there!r} there, {here!r} here"]
