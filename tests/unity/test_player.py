"""One player and what can go wrong with it: each fault ends as documented, soon, and leaves nothing behind."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datagen.render.unity_options import PlayerOptions
from datagen.unity import records, wire
from datagen.unity.unity_player import PlayerFault, UnityPlayer
from tests.unity.batches import random_batch, small_pack
from tests.unity.conftest import running_players
from vision.errors import DactylError

PACK = small_pack().encode()


def start(options: PlayerOptions, **changes: float) -> UnityPlayer:
    timeouts = {"start_timeout_s": 60.0, "reply_timeout_s": 60.0} | changes
    assert options.logs is not None
    return UnityPlayer(
        options.executable, options.arguments, log=options.logs / "player.log", port=options.port, **timeouts
    )


def load(player: UnityPlayer) -> None:
    for piece in wire.pieces(PACK, piece_size=100):
        player.ask(wire.Kind.LOAD, piece, wire.content_hash(PACK))


SIZES = ((16, 8), (16, 8), (5, 20))
OBSERVATIONS = ("--observations", "4:16x8,16x8,5x20")


def made_up(
    samples: int = 2, form: records.Form = records.Form.RGB, pictures: tuple[int, ...] = ()
) -> records.RenderBatch:
    return random_batch(np.random.default_rng(0), samples, sizes=SIZES, form=form, pictures=pictures)


def draw(player: UnityPlayer, samples: int = 2, form: records.Form = records.Form.RGB) -> np.ndarray:
    return player.draw(made_up(samples, form), wire.content_hash(PACK))


def test_a_conversation(player_options: Callable[..., PlayerOptions]) -> None:
    options = player_options("--content", "ready", *OBSERVATIONS)
    player = start(options)
    try:
        assert player.ask(wire.Kind.DESCRIBE).text.startswith("engine: ready pictures")
        with pytest.raises(PlayerFault, match="scene"):
            draw(player)  # nothing is loaded yet
        load(player)
        raw = draw(player)
        assert raw.shape == (2, 3, 20, 16, 3)
        np.testing.assert_array_equal(draw(player, form=records.Form.OBSERVATIONS), raw)
        (process,) = running_players()
        listening = listeners(os.getpid())
        assert listening, "found no listening socket to look at"
        assert all(ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback for address in listening)
    finally:
        player.close()
    assert not Path(f"/proc/{process}").exists()
    player.close()


def test_pictures_are_brought_once_and_forgotten_before_they_are_too_many(
    player_options: Callable[..., PlayerOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_PICTURES", 3)
    asked: list[wire.Kind] = []
    ask = UnityPlayer.ask
    monkeypatch.setattr(UnityPlayer, "ask", lambda player, kind, *rest: asked.append(kind) or ask(player, kind, *rest))
    contents = {wire.content_hash(name): name for name in (b"a", b"b" * 2**21, b"c", b"d")}
    first, large, third, fourth = contents
    player = start(player_options("--content", "ready"))
    try:
        load(player)
        asked.clear()
        with pytest.raises(PlayerFault, match="a picture is not here"):
            player.draw(made_up(pictures=(first,)), wire.content_hash(PACK))
        for shown in ((first, large), (large, third), (third, fourth), (third,)):
            player.give({picture: contents[picture] for picture in shown})
            assert player.draw(made_up(pictures=shown), wire.content_hash(PACK)).any()
        draw, picture, forget = wire.Kind.RENDER, wire.Kind.PICTURE, wire.Kind.FORGET
        assert asked[1:] == [picture] * 3 + [draw, picture, draw, forget, picture, picture, draw, draw]
        with pytest.raises(DactylError, match=r"4 pictures of 2,097,155 bytes in one batch.*lower batch_size"):
            player.give(contents)
    finally:
        player.close()


def listeners(process: int) -> list[str]:
    """IPv4 and IPv6 addresses that a process listens on."""
    links = [str(path.readlink()) for path in Path(f"/proc/{process}/fd").iterdir() if path.is_symlink()]
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    found = []
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            local, state, inode = (line.split()[column] for column in (1, 3, 9))
            if state == "0A" and inode in sockets:
                words = np.frombuffer(bytes.fromhex(local.split(":")[0]), ">u4").astype("<u4").tobytes()
                found.append(socket.inet_ntop(family, words))
    return found


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("die", PlayerFault, "return code 3"),
        ("garbage", PlayerFault, "answered garbage"),
        ("two-replies", PlayerFault, "2 replies to one request"),
        ("wrong-id", PlayerFault, "answered request .* instead of"),
        ("fail", PlayerFault, "failed: out of memory$"),
        ("other-version", DactylError, "of another version .* build it again"),
    ],
)
def test_a_fault_while_drawing(
    player_options: Callable[..., PlayerOptions], fault: str, error: type[Exception], message: str
) -> None:
    player = start(player_options("--content", "ready", "--fault", fault, "--fault-at", 1))
    try:
        load(player)
        draw(player)
        began = time.monotonic()
        with pytest.raises(error, match=message):
            draw(player)
        assert time.monotonic() - began < 20  # not the timeout of a minute
    finally:
        player.close()


def test_pictures_of_another_batch(player_options: Callable[..., PlayerOptions]) -> None:
    player = start(player_options("--content", "ready", "--fault", "wrong-observations", *OBSERVATIONS))
    try:
        load(player)
        with pytest.raises(PlayerFault, match="another batch"):
            draw(player, form=records.Form.OBSERVATIONS)
    finally:
        player.close()


def test_a_player_that_hangs_is_given_up_and_killed(player_options: Callable[..., PlayerOptions]) -> None:
    player = start(player_options("--content", "ready", "--fault", "hang"), reply_timeout_s=3.0)
    load(player)
    with pytest.raises(PlayerFault, match="no answer within 3 s"):
        draw(player)
    player.kill()
    assert not running_players()


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("die-at-start", PlayerFault, "return code 5"),
        ("silent-at-start", PlayerFault, "said nothing within 2 s"),
        ("old-mlagents", DactylError, "ML-Agents package does not fit .* Unity API: 0.9.0"),
    ],
)
def test_a_fault_at_the_start(
    player_options: Callable[..., PlayerOptions], fault: str, error: type[Exception], message: str
) -> None:
    options = player_options("--content", "ready", "--fault", fault)
    before = listeners(os.getpid())
    with pytest.raises(error, match=message):
        start(options, start_timeout_s=2.0 if fault.startswith("silent") else 60.0)
    assert not running_players()
    assert listeners(os.getpid()) == before, "a port stays taken"


def test_what_cannot_be_started(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "player.log"
    with pytest.raises(DactylError, match="no such player; build it"):
        UnityPlayer(tmp_path / "nothing", log=log, start_timeout_s=1, reply_timeout_s=1)
    forbidden = tmp_path / "forbidden"
    forbidden.write_text("#!/bin/sh\n")
    with pytest.raises(DactylError, match="may not be run; chmod"):
        UnityPlayer(forbidden, log=log, start_timeout_s=1, reply_timeout_s=1)


def test_a_port_that_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(DactylError, match=f"port {port} is in use"):
            UnityPlayer(None, log=Path("unused"), start_timeout_s=1, reply_timeout_s=1, port=port)


def test_the_editor_connects_by_itself(executable: Path, tmp_path: Path) -> None:
    """Without an executable Python waits; here the stand-in plays the editor, started by hand."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    editor = subprocess.Popen([executable, "--mlagents-port", str(port), "--content", "ready"])
    try:
        player = UnityPlayer(None, log=tmp_path / "log", start_timeout_s=60, reply_timeout_s=60, port=port)
        load(player)
        assert draw(player).any()
        player.close()
        assert editor.wait(20) == 0
    finally:
        editor.kill()
        editor.wait()


def test_waiting_ends_when_told(player_options: Callable[..., PlayerOptions]) -> None:
    options, stop = player_options("--content", "ready", "--fault", "silent-at-start"), threading.Event()
    threading.Timer(1.0, stop.set).start()
    assert options.logs is not None
    began = time.monotonic()
    with pytest.raises(PlayerFault, match="told to stop"):
        UnityPlayer(options.executable, options.arguments, log=options.logs / "log", start_timeout_s=60,
               reply_timeout_s=60, stop=stop)  # fmt: skip
    assert time.monotonic() - began < 20


def test_players_end_when_python_is_killed(player_options: Callable[..., PlayerOptions]) -> None:
    """Also one that hangs and would not notice."""
    options = player_options("--content", "ready", "--fault", "hang")
    program = f"""if True:
        from pathlib import Path
        from tests.unity.test_player import *
        player = UnityPlayer(Path({str(options.executable)!r}), {options.arguments!r},
                        log=Path({str(options.logs)!r}) / "log", start_timeout_s=60, reply_timeout_s=60)
        load(player)
        print("ready", flush=True)
        draw(player)"""
    python = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert python.stdout is not None
    assert python.stdout.readline() == "ready\n"
    time.sleep(0.5)  # into the request that never ends
    assert running_players()
    python.send_signal(signal.SIGKILL)
    python.wait()
    deadline = time.monotonic() + 5
    while running_players() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running_players()
