"""Unity players that share the work, and are replaced when they fail."""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datagen.render.unity_options import PlayerOptions
from datagen.unity import probe, probe_verdict, records, wire
from datagen.unity.unity_player import EDITOR_PORT, PlayerFault, UnityPlayer
from vision.errors import DactylError
from vision.machine.console import Console


@dataclass
class _Seat:
    """Place for a player; empty after a failure. ``log`` is of the last of ``started`` players."""

    number: int
    log: Path
    started: int = 0
    player: UnityPlayer | None = None


class PlayerPool:
    """Players that all show one scene. A context manager that ends all players when closed.

    Args:
        options: number of players, and how to run them.
        pack: encoded scene pack.
        sizes: width and height of each camera's images, pixels.
        msaa: samples per pixel.

    Raises:
        DactylError: a player cannot be started, is of another version, or its images cannot be trusted.
    """

    def __init__(self, options: PlayerOptions, pack: bytes, sizes: Sequence[tuple[int, int]], msaa: int) -> None:
        self._options, self._pack, self._scene = options, pack, wire.content_hash(pack)
        self._sizes, self._msaa = tuple(sizes), msaa
        self.form = records.Form.RGB if options.reply == "raw" else records.Form.OBSERVATIONS
        self.description: dict[str, str] = {}
        self._closing = threading.Event()
        self._failed = False
        self._logs = options.logs or Path(tempfile.mkdtemp(prefix="dactyl-unity-"))
        # The kernel ends a player together with the thread that started it, so these threads live until the end.
        self._threads = ThreadPoolExecutor(options.players, "unity")
        self._idle: queue.SimpleQueue[_Seat] = queue.SimpleQueue()
        self._seats = [_Seat(number, self._logs) for number in range(options.players)]
        try:
            list(self._threads.map(self._first_start, self._seats))
        except BaseException:
            self.close()
            raise

    def draw(
        self, batches: Sequence[records.RenderBatch], pictures: Mapping[int, bytes] | None = None
    ) -> list[np.ndarray]:
        """Draw images uint8 (B, C, H, W, 3) of each batch, in parallel.

        Args:
            batches: batches to draw.
            pictures: contents by hash, including at least the pictures that the batches show.

        Raises:
            DactylError: a batch failed with ``options.attempts`` players.
        """
        return list(self._threads.map(lambda batch: self._draw(batch, pictures or {}), batches))

    def close(self) -> None:
        """End all players, also busy ones, within a moment; may be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        list(self._threads.map(self._vacate, self._seats))
        self._threads.shutdown()
        kept = self._options.logs is not None or (self._failed and any(self._logs.iterdir()))
        if not kept:
            shutil.rmtree(self._logs, ignore_errors=True)

    def __enter__(self) -> PlayerPool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _draw(self, batch: records.RenderBatch, pictures: Mapping[int, bytes]) -> np.ndarray:
        seat = self._idle.get()
        try:
            fault = PlayerFault("was closed")
            for _ in range(self._options.attempts):
                if self._closing.is_set():
                    break
                try:
                    player = seat.player or self._fill(seat)
                    player.give({picture: pictures[picture] for picture in batch.pictures})
                    return player.draw(batch, self._scene)
                except PlayerFault as error:
                    fault, self._failed = error, True
                    self._dismiss(seat)
            count = self._options.attempts
            raise DactylError(f"{count} Unity players failed at a batch, the last one so: {self._blame(seat, fault)}")
        finally:
            self._idle.put(seat)

    def _first_start(self, seat: _Seat) -> None:
        try:
            self._fill(seat)
        except PlayerFault as fault:
            self._failed = True
            raise DactylError(f"the Unity player does not work: {self._blame(seat, fault)}") from None
        self._idle.put(seat)

    def _fill(self, seat: _Seat) -> UnityPlayer:
        """Start a player, probe it, and load the scene into it."""
        options = self._options
        if options.executable is None:
            port = options.port or EDITOR_PORT
            Console(stderr=True).print(f"waiting for the Unity editor on port {port}: open unity_project, press Play")
        arguments = options.arguments
        if self.form == records.Form.OBSERVATIONS:
            sizes = ",".join(f"{width}x{height}" for width, height in self._sizes)
            arguments = (*arguments, "--observations", f"{max(options.batch_size, probe.SAMPLES)}:{sizes}")
        # A log of its own, since a replacement must not overwrite a failed player's, nor other processes each other's.
        seat.started += 1
        seat.log = self._logs / f"player-{os.getpid()}-{seat.number}-{seat.started}.log"
        player = seat.player = UnityPlayer(
            options.executable,
            arguments,
            log=seat.log,
            start_timeout_s=options.start_timeout_s,
            reply_timeout_s=options.reply_timeout_s,
            port=options.port,
            stop=self._closing,
        )
        try:
            text = player.ask(wire.Kind.DESCRIBE).text
            self.description = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
            self._probe(player)
            player.load(self._pack)
        except BaseException:
            self._dismiss(seat)
            raise
        return player

    def _probe(self, player: UnityPlayer) -> None:
        pack = probe.probe_pack(len(self._sizes)).encode()
        player.load(pack)
        player.give(probe.pictures())
        batch = probe.probe_batch(self._sizes, self.form, self._msaa)
        if wrong := probe_verdict.complaint(player.draw(batch, wire.content_hash(pack)), self._sizes):
            raise DactylError(
                f"the Unity player is not to be trusted: {wrong}; build it from this repository's unity_project, "
                "in linear colour space"
            )

    def _vacate(self, seat: _Seat) -> None:
        player, seat.player = seat.player, None
        if player is not None:
            player.close()

    def _dismiss(self, seat: _Seat) -> None:
        player, seat.player = seat.player, None
        if player is not None:
            player.kill()

    def _blame(self, seat: _Seat, fault: PlayerFault) -> str:
        where = "" if self._options.executable is None else f"; its output is in {seat.log}"
        return f"{fault}{where}"
