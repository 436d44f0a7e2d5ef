"""Unity player and the exchange with it: exactly one reply for each request."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from datagen.unity import records, wire
from datagen.unity.ml_agents import (
    IncomingMessage,
    OutgoingMessage,
    SideChannel,
    UnityEnvironment,
    UnityTimeOutException,
    UnityWorkerInUseException,
    logging_util,
)
from datagen.unity.player_environment import PlayerEnvironment
from vision.errors import DactylError

EDITOR_PORT = UnityEnvironment.DEFAULT_EDITOR_PORT

_ANY_PORT = 0


class PlayerFault(Exception):
    """Fault of a player that died, hangs or sends invalid data; a new one may work."""


class UnityPlayer:
    """Running player. Use it from one thread at a time; the thread that started it must live as long as the player.

    Args:
        executable: path of the player, or None to wait for the editor's Play button.
        arguments: arguments of the executable, besides the port and the log file.
        log: file for the player's output.
        start_timeout_s: timeout until its first message, seconds.
        reply_timeout_s: timeout of a reply, seconds.
        port: port to listen on; None for any free one (for the editor: the one it looks for).
        stop: event that ends every wait for this player with a PlayerFault.

    Raises:
        PlayerFault: it died or sent nothing in time.
        DactylError: it cannot be started, uses another version of ML-Agents, or the port is taken.
    """

    def __init__(
        self,
        executable: Path | None,
        arguments: tuple[str, ...] = (),
        *,
        log: Path,
        start_timeout_s: float,
        reply_timeout_s: float,
        port: int | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        logging_util.set_log_level(logging_util.ERROR)
        self._id = 0
        self._channel = _Channel()
        if port is None:
            port = EDITOR_PORT if executable is None else _ANY_PORT
        command = None if executable is None else [str(_checked(executable)), *arguments]
        try:
            stop = stop or threading.Event()
            self._environment = PlayerEnvironment(command, log, port, start_timeout_s, self._channel, stop)
        except UnityWorkerInUseException:
            raise DactylError(f"port {port} is in use: close what listens there, or set another port") from None
        except UnityTimeOutException:
            raise PlayerFault(f"said nothing within {start_timeout_s:g} s of its start") from None
        except DactylError:
            raise
        except Exception as error:
            # UnityEnvironment raises one class for everything; only its text identifies a foreign version.
            if "version is not compatible" in str(error):
                raise DactylError(f"the player's ML-Agents package does not fit mlagents-envs: {error}") from None
            raise PlayerFault(f"{type(error).__name__}: {error}") from error
        self._environment.reply_timeout_s = reply_timeout_s
        self._pictures: dict[int, int] = {}  # sizes in bytes of the pictures that it keeps, by hash

    def load(self, pack: bytes) -> None:
        """Load the scene of this encoded pack. Raises what :meth:`ask` raises."""
        for piece in wire.pieces(pack):
            self.ask(wire.Kind.LOAD, piece, wire.content_hash(pack))

    def give(self, pictures: Mapping[int, bytes]) -> None:
        """Send those of these pictures, by hash, that it does not have. Raises what :meth:`ask` raises.

        Raises:
            DactylError: they are more than a player keeps.
        """
        sizes = {picture: len(content) for picture, content in pictures.items()}
        if not _fits(sizes):
            raise DactylError(
                f"{len(sizes)} pictures of {sum(sizes.values()):,} bytes in one batch, a Unity player keeps "
                f"{wire.MAX_PICTURES} of {wire.MAX_PICTURE_BYTES:,}: lower batch_size"
            )
        if not _fits(self._pictures | sizes):
            self.ask(wire.Kind.FORGET)
            self._pictures.clear()
        for picture in sizes.keys() - self._pictures.keys():
            for piece in wire.pieces(pictures[picture]):
                self.ask(wire.Kind.PICTURE, piece, picture)
            self._pictures[picture] = sizes[picture]

    def draw(self, batch: records.RenderBatch, scene: int) -> np.ndarray:
        """Draw images uint8 (B, C, H, W, 3) of a batch of the scene with this hash, whose pictures it already has.

        Raises:
            PlayerFault: the images are not the requested ones, or what :meth:`ask` raises.
        """
        reply = self.ask(wire.Kind.RENDER, batch.encode(), scene)
        if reply.shape != batch.image_shape:
            raise PlayerFault(f"drew images of shape {reply.shape}, {batch.image_shape} were asked for")
        if batch.form == records.Form.OBSERVATIONS:
            return self.observed_images(reply, batch)
        if reply.pixels is None or len(reply.pixels) != batch.image_bytes:
            count = 0 if reply.pixels is None else len(reply.pixels)
            raise PlayerFault(f"sent {count:,} bytes of images, {batch.image_bytes:,} were asked for")
        return batch.images(reply.pixels)

    def ask(self, kind: wire.Kind, payload: bytes = b"", content: int = 0) -> wire.Reply:
        """Send a request, about the scene or picture with this hash, and wait for its reply.

        Raises:
            PlayerFault: there is no reply in time or none to this request, or the player reports a failure.
            DactylError: the player is of another version, or lacks what was requested, so that a retry would not help.
        """
        self._id = self._id % wire.MAX_ID + 1
        request = wire.Request(kind, self._id, content, payload).encode()
        if len(request) > wire.MAX_REQUEST:
            raise DactylError(f"a request of {len(request):,} bytes is too large for ML-Agents: lower batch_size")
        self._channel.send(request)
        try:
            self._environment.step()
        except UnityTimeOutException:
            raise PlayerFault(f"no answer within {self._environment.reply_timeout_s:g} s") from None
        except Exception as error:  # protobuf, NumPy and Pillow have parsed the player's bytes by now
            raise PlayerFault(f"{type(error).__name__}: {error}") from error
        return self._checked_reply(self._channel.take())

    def observed_images(self, reply: wire.Reply, batch: records.RenderBatch) -> np.ndarray:
        """Return a batch's images that were sent as visual observations, uint8 (B, C, H, W, 3).

        Raises:
            PlayerFault: they are missing, or do not belong to this reply.
        """
        names = list(self._environment.behavior_specs)
        if len(names) != 1:
            raise PlayerFault(f"has {len(names)} kinds of agents, 1 expected")
        steps, _ = self._environment.get_steps(names[0])
        # ML-Agents sorts an agent's sensors by name: cam00000, cam00001, ...
        cameras = [observation for observation in steps.obs if observation.ndim == 4]
        vectors = [observation for observation in steps.obs if observation.ndim == 2]
        if len(steps) != reply.shape[0] or len(cameras) != reply.shape[1]:
            raise PlayerFault(f"{len(steps)} agents with {len(cameras)} pictures, {reply.shape[:2]} expected")
        if len(vectors) != 1 or vectors[0].shape[1] != 4:
            raise PlayerFault(f"agents with {len(vectors)} vectors, one of 4 numbers expected")
        images = np.zeros(reply.shape, np.uint8)
        status, answered, sample, major = vectors[0].T
        if (status != wire.Status.OK).any() or (answered != reply.id).any() or (major != wire.MAJOR).any():
            raise PlayerFault("the agents' pictures are of another batch")
        shapes = [(height, width, 3) for width, height in batch.sizes]
        if sorted(sample) != list(range(len(steps))) or [c.shape[1:] for c in cameras] != shapes:
            raise PlayerFault("the agents' pictures are of other samples, or of another size")
        for camera, (pictures, (width, height)) in enumerate(zip(cameras, batch.sizes, strict=True)):
            images[sample.astype(int), camera, :height, :width] = np.rint(255 * pictures)
        return images

    def close(self) -> None:
        """Ask the player to quit, and kill it if it does not; may be called twice."""
        self._environment.end()

    def kill(self) -> None:
        """Kill a player that is not expected to work any more."""
        self._environment.end(grace_s=0)

    def _checked_reply(self, messages: list[bytes]) -> wire.Reply:
        if len(messages) != 1:
            raise PlayerFault(f"{len(messages)} replies to one request")
        try:
            reply = wire.Reply.decode(messages[0])
        except wire.VersionError as error:
            raise DactylError(f"the player is of another version than this package ({error}): build it again") from None
        except wire.WireError as error:
            raise PlayerFault(f"answered garbage: {error}") from None
        if reply.status in (wire.Status.VERSION, wire.Status.MISMATCH):
            raise DactylError(f"the player refuses: {reply.text}")
        if reply.id != self._id:
            raise PlayerFault(f"answered request {reply.id} instead of {self._id}")
        if reply.status != wire.Status.OK:
            raise PlayerFault(f"{reply.status.name.lower()}: {reply.text.splitlines()[0] if reply.text else ''}")
        return reply


def _fits(sizes: Mapping[int, int]) -> bool:
    """Return whether a player can keep pictures of these sizes in bytes."""
    return len(sizes) <= wire.MAX_PICTURES and sum(sizes.values()) <= wire.MAX_PICTURE_BYTES


def _checked(executable: Path) -> Path:
    if not executable.is_file():
        raise DactylError(f"{executable}: no such player; build it (unity_project/README.md) or correct the path")
    if not os.access(executable, os.X_OK):
        raise DactylError(f"{executable}: may not be run; chmod +x it")
    return executable.absolute()


class _Channel(SideChannel):
    """Side channel that keeps arrived messages, which ML-Agents itself drops."""

    def __init__(self) -> None:
        super().__init__(wire.CHANNEL)
        self._arrived: list[bytes] = []

    def on_message_received(self, msg: IncomingMessage) -> None:
        self._arrived.append(bytes(msg.buffer))  # get_raw_bytes copies twice, and this may be megabytes

    def send(self, data: bytes) -> None:
        message = OutgoingMessage()
        message.set_raw_bytes(data)
        self.queue_message_to_send(message)

    def take(self) -> list[bytes]:
        arrived, self._arrived = self._arrived, []
        return arrived
