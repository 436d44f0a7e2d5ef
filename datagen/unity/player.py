"""One Unity player and the conversation with it.

`UnityEnvironment` of mlagents-envs does the protocol; what it does not do well enough for long renderings is changed
here: it listens on loopback only, on a port that is free, takes messages of any size, notices at once that a player
died, leaves neither port nor process behind when starting fails, and starts the executable under the path it was given.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from mlagents_envs import logging_util
from mlagents_envs.communicator_objects.unity_output_pb2 import UnityOutputProto
from mlagents_envs.communicator_objects.unity_to_external_pb2_grpc import add_UnityToExternalProtoServicer_to_server
from mlagents_envs.environment import UnityEnvironment
from mlagents_envs.exception import (
    UnityCommunicatorStoppedException,
    UnityTimeOutException,
    UnityWorkerInUseException,
)
from mlagents_envs.rpc_communicator import PollCallback, RpcCommunicator, UnityToExternalServicerImplementation
from mlagents_envs.side_channel import IncomingMessage, OutgoingMessage, SideChannel

from datagen.unity import wire
from vision.errors import DactylError

EDITOR_PORT = UnityEnvironment.DEFAULT_EDITOR_PORT

_ANY_PORT = 0
_GRACE_S = 5.0  # for a player to quit by itself
_POLL_S = 0.2  # how often to look whether a silent player is alive
_NO_PROXY = "localhost,127.0.0.1,::1"


class PlayerFault(Exception):
    """A player that died, hangs or talks nonsense: a fresh one may do better."""


class Player:
    """A running player. Use it from one thread at a time, and let the thread that started it live as long as it does.

    Args:
        executable: the player, or None to wait for the editor's Play button.
        arguments: for the executable, besides the port and the log file.
        log: file for what the player writes.
        start_timeout_s: how long it may take until its first message.
        reply_timeout_s: how long it may take to answer a request.
        port: to listen on; None for any free one (for the editor: the one it looks for).
        stop: set it to end every wait for this player with a PlayerFault.

    Raises:
        PlayerFault: it died or said nothing in time.
        DactylError: it cannot be started, speaks another version of ML-Agents, or the port is taken.
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
        self.log = log
        self._id = 0
        self._channel = _Channel()
        if port is None:
            port = EDITOR_PORT if executable is None else _ANY_PORT
        command = None if executable is None else [str(_checked(executable)), *arguments]
        try:
            stop = stop or threading.Event()
            self._environment = _Environment(command, log, port, start_timeout_s, self._channel, stop)
        except UnityWorkerInUseException:
            raise DactylError(f"port {port} is in use: close what listens there, or set another port") from None
        except UnityTimeOutException:
            raise PlayerFault(f"said nothing within {start_timeout_s:g} s of its start") from None
        except DactylError:
            raise
        except Exception as error:
            # UnityEnvironment has one class for everything; only its text tells a foreign version from a dead player.
            if "version is not compatible" in str(error):
                raise DactylError(f"the player's ML-Agents package does not fit mlagents-envs: {error}") from None
            raise PlayerFault(f"{type(error).__name__}: {error}") from error
        self._environment.reply_timeout_s = reply_timeout_s

    def ask(self, kind: wire.Kind, payload: bytes = b"", scene: int = 0) -> wire.Reply:
        """Send a request, wait for its reply.

        Raises:
            PlayerFault: no reply in time, or none to this request, or the player says that it failed.
            DactylError: the player is of another version, or lacks what was asked for: no retry would mend it.
        """
        self._id = self._id % wire.MAX_ID + 1
        request = wire.Request(kind, self._id, scene, payload).encode()
        if len(request) > wire.MAX_REQUEST:
            raise DactylError(f"a request of {len(request):,} bytes is too large for ML-Agents: lower batch_size")
        self._channel.send(request)
        try:
            self._environment.step()
        except UnityTimeOutException:
            raise PlayerFault(f"no answer within {self._environment.reply_timeout_s:g} s") from None
        except Exception as error:  # the player's bytes have gone through protobuf, numpy and Pillow by now
            raise PlayerFault(f"{type(error).__name__}: {error}") from error
        return self._checked_reply(self._channel.take())

    def observed_images(self, reply: wire.Reply) -> np.ndarray:
        """The pictures of a RENDER reply that travelled as visual observations, uint8 (B, C, H, W, 3).

        Raises:
            PlayerFault: they are not there, or are not those of this reply.
        """
        (name,) = list(self._environment.behavior_specs) or [""]
        steps, _ = self._environment.get_steps(name)
        # ML-Agents sorts an agent's sensors by name: cam00, cam01, ...
        cameras = [observation for observation in steps.obs if observation.ndim == 4]
        vectors = [observation for observation in steps.obs if observation.ndim == 2]
        if len(steps) != reply.shape[0] or len(cameras) != reply.shape[1]:
            raise PlayerFault(f"{len(steps)} agents with {len(cameras)} pictures, {reply.shape[:2]} expected")
        images = np.empty(reply.shape, np.uint8)
        status, batch, sample, major = vectors[0].T
        if (status != wire.Status.OK).any() or (batch != reply.id).any() or (major != wire.MAJOR).any():
            raise PlayerFault("the agents' pictures are of another batch")
        if sorted(sample) != list(range(len(steps))) or any(c.shape[1:] != reply.shape[2:] for c in cameras):
            raise PlayerFault("the agents' pictures are of other samples, or of another size")
        for camera, pictures in enumerate(cameras):
            images[sample.astype(int), camera] = np.rint(255 * pictures)
        return images

    def close(self) -> None:
        """Ask the player to quit; kill it if it does not. Twice does no harm."""
        self._environment.end()

    def kill(self) -> None:
        """End a player of which nothing good is expected any more."""
        self._environment.end(grace_s=0)

    def _checked_reply(self, messages: list[bytes]) -> wire.Reply:
        if len(messages) != 1:
            raise PlayerFault(f"{len(messages)} replies to one request")
        try:
            reply = wire.Reply.decode(messages[0])
        except wire.VersionError as error:
            raise DactylError(f"the player is of another version than this package ({error}): build it anew") from None
        except wire.WireError as error:
            raise PlayerFault(f"answered garbage: {error}") from None
        if reply.status in (wire.Status.VERSION, wire.Status.MISMATCH):
            raise DactylError(f"the player refuses: {reply.text}")
        if reply.id != self._id:
            raise PlayerFault(f"answered request {reply.id} instead of {self._id}")
        if reply.status != wire.Status.OK:
            raise PlayerFault(f"{reply.status.name.lower()}: {reply.text.splitlines()[0] if reply.text else ''}")
        return reply


def _checked(executable: Path) -> Path:
    if not executable.is_file():
        raise DactylError(f"{executable}: no such player; build it (unity_project/README.md) or correct the path")
    if not os.access(executable, os.X_OK):
        raise DactylError(f"{executable}: may not be run; chmod +x it")
    return executable.absolute()


class _Channel(SideChannel):
    """Keeps what arrives; ML-Agents itself forgets or swallows."""

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


class _Environment(UnityEnvironment):
    """A `UnityEnvironment` that starts its player itself and always cleans up."""

    def __init__(
        self,
        command: list[str] | None,
        log: Path,
        port: int,
        start_timeout_s: float,
        channel: _Channel,
        stop: threading.Event,
    ) -> None:
        self._command, self._log, self._stop = command, log, stop
        self._process: subprocess.Popen[bytes] | None = None
        try:
            # No file name: the parent would change the path and hide the player's output.
            super().__init__(None, base_port=port, timeout_wait=start_timeout_s, side_channels=[channel])
        except BaseException:
            self.end(grace_s=0)
            raise

    @property
    def reply_timeout_s(self) -> float:
        return self._communicator.timeout_wait

    @reply_timeout_s.setter
    def reply_timeout_s(self, seconds: float) -> None:
        self._communicator.timeout_wait = seconds

    def end(self, grace_s: float = _GRACE_S) -> None:
        """End the conversation and the player, whatever state they are in."""
        atexit.unregister(self._close)
        self._loaded = False
        if communicator := getattr(self, "_communicator", None):
            communicator.close()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace_s)
            # The whole group, also after a clean end: an executable may be a script with children of its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _close(self, timeout: int | None = None) -> None:  # the parent's, at exit and in its constructor
        self.end(_GRACE_S if timeout is None else timeout)

    def _poll_process(self) -> None:  # called while waiting
        if self._stop.is_set():
            raise UnityCommunicatorStoppedException("was told to stop")
        super()._poll_process()

    @staticmethod
    def _get_communicator(worker_id: int, base_port: int, timeout_wait: float) -> RpcCommunicator:
        return _Communicator(worker_id, base_port, timeout_wait)

    def _send_academy_parameters(self, init_parameters: Any) -> UnityOutputProto:
        if self._command is not None:
            port = str(self._communicator.port)
            self._process = _start([*self._command, self._PORT_COMMAND_LINE_ARG, port], self._log)
        return super()._send_academy_parameters(init_parameters)


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    command = [*command, "-logFile", "-"]  # to standard output
    # When this process dies without a word, the kernel ends the player (setpriv is part of Debian's base).
    guard = [path, "--pdeathsig", "KILL"] if (path := shutil.which("setpriv")) else []
    # The gRPC client inside the player would send loopback traffic to a configured proxy.
    environment = {**os.environ, "no_proxy": _NO_PROXY, "NO_PROXY": _NO_PROXY}
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            # A session of its own: Ctrl-C is for Python, which then ends the player in good order.
            return subprocess.Popen(
                [*guard, *command], stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment,
                start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise DactylError(f"{command[0]}: cannot be started: {error.strerror}") from error


class _Communicator(RpcCommunicator):
    """The gRPC server: loopback, any free port, messages of any size."""

    port: int

    def create_server(self) -> None:
        self.server = grpc.server(
            ThreadPoolExecutor(max_workers=2),
            options=(
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
            ),
        )
        self.unity_to_external = _Servicer()
        add_UnityToExternalProtoServicer_to_server(self.unity_to_external, self.server)
        try:
            self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        except RuntimeError:
            self.port = 0
        if self.port == 0:
            raise UnityWorkerInUseException(self.worker_id)
        self.server.start()
        self.is_open = True

    def poll_for_timeout(self, poll_callback: PollCallback | None = None) -> None:
        deadline = time.monotonic() + self.timeout_wait
        while time.monotonic() < deadline:
            if self.unity_to_external.parent_conn.poll(_POLL_S):
                return
            if poll_callback:
                poll_callback()
        raise UnityTimeOutException


class _Servicer(UnityToExternalServicerImplementation):
    """Hands messages from gRPC's thread to ours and back; the parent's pipe would pickle every picture."""

    def __init__(self) -> None:
        to_python: queue.Queue[Any] = queue.Queue()
        to_player: queue.Queue[Any] = queue.Queue()
        self.parent_conn = _End(to_python, to_player)
        self.child_conn = _End(to_player, to_python)


class _End:
    """One end of a two-way queue with the methods of a `multiprocessing.Connection` that ML-Agents uses."""

    def __init__(self, incoming: queue.Queue[Any], outgoing: queue.Queue[Any]) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._peeked: list[Any] = []

    def send(self, message: Any) -> None:
        self._outgoing.put(message)

    def recv(self) -> Any:
        message = self._peeked.pop() if self._peeked else self._incoming.get()
        if message is None:
            raise EOFError
        return message

    def poll(self, timeout: float) -> bool:
        if not self._peeked:
            with contextlib.suppress(queue.Empty):
                self._peeked.append(self._incoming.get(timeout=timeout))
        return bool(self._peeked)

    def close(self) -> None:
        self._outgoing.put(None)  # wakes whoever waits at the other end
