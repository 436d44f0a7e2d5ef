"""Players of a training: separate processes that simulate while the learner learns, or one player in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from datagen.policy.her_config import HerConfig
from datagen.policy.player import Orders, Played, Player
from datagen.workers.child import end, send_error, spawn
from vision.errors import DactylError
from vision.scene.scene import Scene


class LocalPlayer:
    """Single player in this process, which plays when its result is requested."""

    def __init__(self, player: Player) -> None:
        self._player = player

    def start(self, orders: Orders, steps: int) -> None:
        self._asked = orders, steps

    def finish(self) -> list[Played]:
        return [self._player.play(*self._asked)]


class PlayerProcesses:
    """Players in separate processes."""

    def __init__(self, connections: list[Connection]) -> None:
        self._connections = connections

    def start(self, orders: Orders, steps: int) -> None:
        """Let all players play ``steps`` steps."""
        for connection in self._connections:
            with contextlib.suppress(OSError):  # already dead: finish will report it
                connection.send((orders, steps))

    def finish(self) -> list[Played]:
        """Return the result of each player.

        Raises:
            DactylError: a process died.
        """
        played = []
        for connection in self._connections:
            try:
                result: Any = connection.recv()
            except (EOFError, OSError):
                raise DactylError(
                    "a process that plays died (out of memory?); the same command resumes from the last checkpoint"
                ) from None
            if isinstance(result, tuple):  # ("error", exception)
                raise result[1]
            played.append(result)
        return played


@contextlib.contextmanager
def started_players(
    config: HerConfig, scene: Scene, episodes: list[int], steps: int
) -> Iterator[LocalPlayer | PlayerProcesses]:
    """Provide the players.

    Args:
        config: configuration of the training.
        scene: its scene, complete.
        episodes: number of the next episode of each player.
        steps: steps trained so far.
    """
    if not config.players:
        yield LocalPlayer(Player(config, scene, 0, episodes[0], steps))
        return
    with contextlib.ExitStack() as stack:
        connections = []
        for number, episode in enumerate(episodes):
            process, connection = spawn(_play, config, scene, number, episode, steps)
            stack.callback(end, process, connection)
            connections.append(connection)
        yield PlayerProcesses(connections)


def _play(connection: Connection, config: HerConfig, scene: Scene, number: int, episode: int, steps: int) -> None:
    try:
        player = Player(config, scene, number, episode, steps)
        while True:
            connection.send(player.play(*connection.recv()))
    except EOFError:
        return
    except Exception as error:
        send_error(connection, error)
