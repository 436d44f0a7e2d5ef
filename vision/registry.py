"""Registries of parts that a laboratory can add: renderers, policies and the like, by name.

Ours are listed where they are used. Those of other installed packages are found by entry point, one group per kind:
``dactyl.renderers``, ``dactyl.policies`` and so on. A part is imported on first use. Looking for entry points reads the
metadata of all installed packages, so they are looked up once.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from vision.errors import DactylError, printable


class Registry:
    """Parts of one kind by name.

    Args:
        kind: singular, for messages, for example ``renderer``.
        group: group of the entry points, for example ``dactyl.renderers``.
        ours: the parts of this package, as ``module:attribute``. No entry point replaces one of them.
        made: type of what :meth:`build` returns.
    """

    def __init__(self, kind: str, group: str, ours: Mapping[str, str], made: type = object) -> None:
        self.kind, self.group, self._made = kind, group, made
        self._ours = {name: EntryPoint(name, target, group) for name, target in ours.items()}

    def names(self) -> tuple[str, ...]:
        """Return our names in their order, then those of other packages, sorted."""
        return tuple(self._found)

    def package_of(self, name: str) -> str | None:
        """Return name and version of the other package that provides a part; None for ours and for unknown ones."""
        found = None if name in self._ours else self._found.get(name)
        return None if found is None or found.dist is None else f"{found.dist.name} {found.dist.version}"

    def load(self, name: str) -> Any:
        """Load the part of that name.

        Raises:
            DactylError: there is none, or its package cannot be imported.
        """
        found = self._found
        if name not in found:
            raise DactylError(f"unknown {self.kind} '{name}': choose one of {', '.join(found)}")
        if name in self._ours:
            return found[name].load()
        try:
            return found[name].load()
        except Exception as error:  # another package's code may raise anything
            raise self._fault(name, "loaded", error) from error

    def build(self, name: str) -> Any:
        """Call the part of that name, which takes no arguments, and return what it makes.

        Raises:
            DactylError: as :meth:`load`, the part cannot be made, or is not of the type.
        """
        part = self.load(name)
        if name in self._ours:
            return part()
        try:
            built = part()
            if not isinstance(built, self._made):
                raise TypeError(f"it returns {built!r:.60}, expected a {self._made.__module__}.{self._made.__name__}")
        except Exception as error:
            raise self._fault(name, "made", error) from error
        return built

    def _fault(self, name: str, done: str, error: Exception) -> DactylError:
        target, reason = self._found[name].value, printable(str(error)) or type(error).__name__
        return DactylError(f"{self.kind} '{name}' ({target}) cannot be {done}: {reason}")

    def refresh(self) -> None:
        """Look up entry points again on next use: a package was installed, or removed, after the first."""
        importlib.invalidate_caches()
        self.__dict__.pop("_found", None)

    @functools.cached_property
    def _found(self) -> dict[str, EntryPoint]:
        others = {entry.name: entry for entry in sorted(entry_points(group=self.group), key=lambda entry: entry.name)}
        return self._ours | {name: entry for name, entry in others.items() if name not in self._ours}
