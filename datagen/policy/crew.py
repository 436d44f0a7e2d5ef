"""The players of a training: processes of their own that play while the learner learns, or one in this process."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from datagen.policy.her_config import HerConfig
from datagen.policy.player import Orders, Played, Player
from datagen.workers.child import begin
from vision.errors import DactylError

_LEAVE_S = 10.0  # that a player may take to end


class Here:
    """A single player in this process, which plays when its result is asked for."""

    def __init__(self, player: Player) -> None:
        self._player = player

    def start(self, orders: Orders, steps: int) -> None:
        self._asked = orders, steps

    def finish(self) -> list[Played]:
        return [self._player.play(*self._asked)]


class Processes:
    """Players in processes of their own."""

    def __init__(self, connections: list[Connection]) -> None:
        self._connections = connections

    def start(self, orders: Orders, steps: int) -> None:
        """Let everyone play so many steps."""
        for connection in self._connections:
            with contextlib.suppress(OSError):  # dead already: finish will tell
                connection.send((orders, steps))

    def finish(self) -> list[Played]:
        """What each brought back.

        Raises:
            DactylError: a process died.
        """
        played = []
        for connection in self._connections:
            try:
                result: Any = connection.recv()
            except (EOFError, OSError):
                raise DactylError(
                    "a process that plays died (out of memory?); the same command goes on from the last checkpoint"
                ) from None
            if isinstance(result, tuple):  # ("error", what it raised)
                raise result[1]
            played.append(result)
        return played


@contextlib.contextmanager
def crew(config: HerConfig, episodes: list[int], steps: int) -> Iterator[Here | Processes]:
    """The players; `episodes` are the numbers of their next episodes, `steps` those that the training has behind it."""
    if not config.players:
        yield Here(Player(config, 0, episodes[0], steps))
        return
    context = multiprocessing.get_context("spawn")
    processes, connections = [], []
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:  # the players inherit the mask: signals are for the learner, which ends them
        for number, episode in enumerate(episodes):
            ours, theirs = context.Pipe()
            process = context.Process(target=begin, args=(theirs, os.getpid()))
            process.start()
            theirs.close()
            with contextlib.suppress(OSError):  # dead already: finish will tell
                ours.send((_play, (config, number, episode, steps)))
            processes.append(process)
            connections.append(ours)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    try:
        yield Processes(connections)
    finally:
        for process, connection in zip(processes, connections, strict=True):
            process.kill()
            process.join(_LEAVE_S)
            connection.close()


def _play(connection: Connection, config: HerConfig, number: int, episode: int, steps: int) -> None:
    try:
        player = Player(config, number, episode, steps)
        while True:
            connection.send(player.play(*connection.recv()))
    except EOFError:
        return
    except DactylError as error:
        connection.send(("error", error))
    except Exception as error:
        error.add_note(traceback.format_exc())  # it stays behind with this process, so its text goes along
        connection.send(("error", error))
