"""Options of the renderer `unity`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vision.configuration.bounds import at_least_one, fraction, positive


@dataclass(frozen=True)
class PlayerOptions:
    """How to run Unity. No option here changes an image.

    Attributes:
        executable: the built player; null waits for the Unity editor's Play button, with one worker and one player.
        arguments: arguments for the executable, for example ``-screen-fullscreen 0``.
        players: number of players that each render process runs in parallel.
        batch_size: number of samples in one message.
        reply: raw (pixels in one message, fast) or png (visual observations, ML-Agents' usual way).
        start_timeout_s: seconds a player may take to start, or you to press Play.
        reply_timeout_s: seconds it may take for a batch.
        attempts: number of players that may fail at a batch before the command gives up.
        port: port to listen on, on loopback, which also leaves one worker and one player; null for any free one (for
            the editor: the one it looks for).
        logs: folder for the players' output; null for a temporary one, kept only if something goes wrong.
    """

    executable: Path | None = None
    arguments: tuple[str, ...] = ()
    players: int = 1
    batch_size: int = 32
    reply: Literal["raw", "png"] = "raw"
    start_timeout_s: float = 120.0
    reply_timeout_s: float = 60.0
    attempts: int = 3
    port: int | None = None
    logs: Path | None = None

    def __post_init__(self) -> None:
        at_least_one(self, "players", "batch_size", "attempts")
        positive(self, "start_timeout_s", "reply_timeout_s")
        if self.players > 1 and self.serves_one:
            raise ValueError("players: more than one needs an executable, and a free port each (port: null)")

    @property
    def serves_one(self) -> bool:
        """Whether there is one port, so that only one process and player can use it."""
        return self.executable is None or self.port is not None


@dataclass(frozen=True)
class UnityOptions:
    """What Unity's images depend on besides the samples, and how to run it.

    Attributes:
        msaa: samples per pixel, 1, 2, 4 or 8.
        light_range: distance at which a light's effect ends, metres. It falls off on the way there: with Unity's
            documented 1 / (1 + 25 (distance / range)^2), 2.5 m makes images about as bright as Filament's.
        ambient: grey level of the uniform light from all sides, sRGB-encoded, [0, 1]; 0.35 is a tenth of white.
            Surroundings of brightness 1 are as bright.
        reflection: strength of the surroundings, white ones or a sample's, that glossy surfaces reflect, [0, 1].
        player: how to run Unity.
    """

    msaa: int = 8
    light_range: float = 2.5
    ambient: float = 0.35
    reflection: float = 0.1
    player: PlayerOptions = field(default_factory=PlayerOptions)

    def __post_init__(self) -> None:
        if self.msaa not in (1, 2, 4, 8):
            raise ValueError(f"msaa: must be 1, 2, 4 or 8, got {self.msaa}")
        positive(self, "light_range")
        fraction(self, "ambient", "reflection")
