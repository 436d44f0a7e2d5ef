"""Materials of a compiled scene, which samples set."""

from __future__ import annotations

from typing import Literal

from vision.objects.pose_object import Part

Group = Literal["link", "surface", "letter", "background"]


class Material(str):
    """Name of a material in the model, with what the material covers. It equals the plain name.

    Attributes:
        group: a link of the hand, a surface or a letter of the object, or the background.
        part: the object's part that it covers; None for a link or the background.
    """

    group: Group
    part: Part | None

    def __new__(cls, name: str, group: Group, part: Part | None = None) -> Material:
        made = super().__new__(cls, name)
        made.group, made.part = group, part
        return made

    def __getnewargs__(self) -> tuple[str, Group, Part | None]:  # type: ignore[override]
        return str(self), self.group, self.part
