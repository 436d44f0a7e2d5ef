"""Players that share the work, and are replaced when they fail."""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from datagen.render.unity_options import PlayerOptions
from datagen.unity import probe, wire
from datagen.unity.player import EDITOR_PORT, Player, PlayerFault
from datagen.unity.scene_pack import scene_hash
from vision.errors import DactylError


@dataclass
class _Seat:
    """A place for a player; empty after a failure."""

    number: int
    player: Player | None = None


class Crew:
    """Players that all show one scene. A context manager; nothing runs any more once it is closed.

    Args:
        options: how many players, and how to run them.
        pack: encoded scene pack.
        cameras: pictures for each sample.
        image_size: side of the square images, pixels.
        msaa: samples per pixel.

    Raises:
        DactylError: a player cannot be started, is of another version, or its pictures cannot be trusted.
    """

    def __init__(self, options: PlayerOptions, pack: bytes, cameras: int, image_size: int, msaa: int) -> None:
        self._options, self._pack, self._scene = options, pack, scene_hash(pack)
        self._cameras, self._size, self._msaa = cameras, image_size, msaa
        self.form = wire.Form.RGB if options.reply == "raw" else wire.Form.OBSERVATIONS
        self.description: dict[str, str] = {}
        self._closing = threading.Event()
        self._failed = False
        self._logs = options.logs or Path(tempfile.mkdtemp(prefix="dactyl-unity-"))
        # The kernel ends a player together with the thread that started it, so these threads stay until the end.
        self._threads = ThreadPoolExecutor(options.players, "unity")
        self._idle: queue.SimpleQueue[_Seat] = queue.SimpleQueue()
        self._seats = [_Seat(number) for number in range(options.players)]
        try:
            list(self._threads.map(self._first_start, self._seats))
        except BaseException:
            self.close()
            raise

    def draw(self, batches: Sequence[wire.RenderBatch]) -> list[np.ndarray]:
        """Pictures uint8 (B, C, H, W, 3) of each batch, drawn side by side.

        Raises:
            DactylError: a batch failed with as many players as may fail at it.
        """
        return list(self._threads.map(self._draw, batches))

    def close(self) -> None:
        """End all players; those at work stop within a moment. Twice does no harm."""
        if self._closing.is_set():
            return
        self._closing.set()
        list(self._threads.map(self._vacate, self._seats))
        self._threads.shutdown()
        kept = self._options.logs is not None or (self._failed and any(self._logs.iterdir()))
        if not kept:
            shutil.rmtree(self._logs, ignore_errors=True)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _draw(self, batch: wire.RenderBatch) -> np.ndarray:
        seat = self._idle.get()
        try:
            fault = PlayerFault("was closed")
            for _ in range(self._options.attempts):
                if self._closing.is_set():
                    break
                try:
                    player = seat.player or self._fill(seat)
                    return self._pictures(player, batch, self._scene)
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

    def _fill(self, seat: _Seat) -> Player:
        """Start a player, make sure of it, and give it the scene."""
        options = self._options
        if options.executable is None:
            port = options.port or EDITOR_PORT
            Console(stderr=True).print(f"waiting for the Unity editor on port {port}: open unity_project, press Play")
        arguments = options.arguments
        if self.form == wire.Form.OBSERVATIONS:
            sizes = (self._cameras, self._size, self._size, max(options.batch_size, probe.SAMPLES))
            arguments = (*arguments, "--observations", "x".join(map(str, sizes)))
        player = seat.player = Player(
            options.executable,
            arguments,
            log=self._log(seat),
            start_timeout_s=options.start_timeout_s,
            reply_timeout_s=options.reply_timeout_s,
            port=options.port,
            stop=self._closing,
        )
        try:
            text = player.ask(wire.Kind.DESCRIBE).text
            self.description = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
            self._probe(player)
            self._load(player, self._pack)
        except BaseException:
            self._dismiss(seat)
            raise
        return player

    def _probe(self, player: Player) -> None:
        pack = probe.probe_pack(self._cameras).encode()
        self._load(player, pack)
        batch = probe.probe_batch(self._cameras, self._size, self.form, self._msaa)
        if wrong := probe.complaint(self._pictures(player, batch, scene_hash(pack))):
            raise DactylError(
                f"the Unity player is not to be trusted: {wrong}; build it from this repository's unity_project, "
                "in linear colour space"
            )

    def _pictures(self, player: Player, batch: wire.RenderBatch, scene: int) -> np.ndarray:
        reply = player.ask(wire.Kind.RENDER, batch.encode(), scene)
        if reply.shape != batch.image_shape:
            raise PlayerFault(f"drew pictures of shape {reply.shape}, {batch.image_shape} were asked for")
        if batch.form == wire.Form.OBSERVATIONS:
            return player.observed_images(reply)
        if reply.images is None:
            raise PlayerFault("sent no pictures")
        return reply.images

    def _load(self, player: Player, pack: bytes) -> None:
        for piece in wire.scene_pieces(pack):
            player.ask(wire.Kind.LOAD, piece, scene_hash(pack))

    def _vacate(self, seat: _Seat) -> None:
        player, seat.player = seat.player, None
        if player is not None:
            player.close()

    def _dismiss(self, seat: _Seat) -> None:
        player, seat.player = seat.player, None
        if player is not None:
            player.kill()

    def _log(self, seat: _Seat) -> Path:
        return self._logs / f"player-{seat.number}.log"

    def _blame(self, seat: _Seat, fault: PlayerFault) -> str:
        where = "" if self._options.executable is None else f"; its output is in {self._log(seat)}"
        return f"{fault}{where}"
