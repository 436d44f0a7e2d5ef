"""``UnityEnvironment`` of mlagents-envs, adapted for long renderings.

It listens on loopback only, on a free port, accepts messages of any size, notices at once that a player died, leaves
neither port nor process behind if starting fails, and starts the executable under the given path.
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

from datagen.unity.ml_agents import (
    PollCallback,
    RpcCommunicator,
    SideChannel,
    UnityCommunicatorStoppedException,
    UnityEnvironment,
    UnityOutputProto,
    UnityTimeOutException,
    UnityToExternalServicerImplementation,
    UnityWorkerInUseException,
    add_UnityToExternalProtoServicer_to_server,
    grpc,
)
from vision.errors import DactylError

_GRACE_S = 5.0  # for a player to quit by itself
_POLL_S = 0.2  # interval of checks whether a silent player is alive
_NO_PROXY = "localhost,127.0.0.1,::1"


class PlayerEnvironment(UnityEnvironment):
    """``UnityEnvironment`` that starts its player itself and always cleans up."""

    def __init__(
        self,
        command: list[str] | None,
        log: Path,
        port: int,
        start_timeout_s: float,
        channel: SideChannel,
        stop: threading.Event,
    ) -> None:
        self._command, self._log, self._stop = command, log, stop
        self._process: subprocess.Popen[bytes] | None = None
        try:
            # No file name, because the parent class would change the path and hide the player's output.
            super().__init__(None, base_port=port, timeout_wait=start_timeout_s, side_channels=[channel])
        except BaseException:
            self.end(grace_s=0)
            raise

    @property
    def reply_timeout_s(self) -> float:
        seconds: float = self._communicator.timeout_wait
        return seconds

    @reply_timeout_s.setter
    def reply_timeout_s(self, seconds: float) -> None:
        self._communicator.timeout_wait = seconds

    def end(self, grace_s: float = _GRACE_S) -> None:
        """End the connection and the player, whatever state they are in."""
        atexit.unregister(self._close)
        self._loaded = False
        if communicator := getattr(self, "_communicator", None):
            communicator.close()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace_s)
            # Kill the whole group, also after a clean end: an executable may be a script with its own children.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _close(self, timeout: int | None = None) -> None:  # called by the parent class at exit and in its constructor
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
    # If this process dies without cleaning up, the kernel ends the player (setpriv is part of Debian's base).
    guard = [path, "--pdeathsig", "KILL"] if (path := shutil.which("setpriv")) else []
    # The gRPC client inside the player would send loopback traffic to a configured proxy.
    environment = {**os.environ, "no_proxy": _NO_PROXY, "NO_PROXY": _NO_PROXY}
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            # A separate session: Ctrl-C reaches only Python, which then ends the player properly.
            return subprocess.Popen(
                [*guard, *command], stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment,
                start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise DactylError(f"{command[0]}: cannot be started: {error.strerror}") from error


class _Communicator(RpcCommunicator):
    """gRPC server on loopback, with any free port and messages of any size."""

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
    """Servicer that passes messages between gRPC's thread and ours; the parent's pipe would pickle every image."""

    def __init__(self) -> None:
        to_python: queue.Queue[Any] = queue.Queue()
        to_player: queue.Queue[Any] = queue.Queue()
        self.parent_conn = _End(to_python, to_player)
        self.child_conn = _End(to_player, to_python)


class _End:
    """One end of a two-way queue with the methods of ``multiprocessing.Connection`` that ML-Agents uses."""

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
        self._outgoing.put(None)  # wakes a thread that waits at the other end
