"""A Unity player without Unity: an executable that `UnityEnvironment` starts and that talks as ML-Agents' C# does.

It shows what it received over the wire and nothing else: with `--content scene` it rebuilds the scene from its pack in
MuJoCo and draws it, with `--content ready` it returns made-up pictures at once (to time the protocol). `--fault` makes
it misbehave, to test what Python then does.
"""

from __future__ import annotations

import argparse
import io
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import grpc
import numpy as np
from mlagents_envs.communicator_objects.observation_pb2 import NONE, PNG
from mlagents_envs.communicator_objects.unity_input_pb2 import UnityInputProto
from mlagents_envs.communicator_objects.unity_message_pb2 import UnityMessageProto
from mlagents_envs.communicator_objects.unity_output_pb2 import UnityOutputProto
from mlagents_envs.communicator_objects.unity_to_external_pb2_grpc import UnityToExternalProtoStub
from mlagents_envs.side_channel import DefaultTrainingAnalyticsSideChannel
from mlagents_envs.side_channel.raw_bytes_channel import RawBytesChannel
from mlagents_envs.side_channel.side_channel_manager import SideChannelManager
from PIL import Image

from datagen.unity import records, wire
from datagen.unity.scene_pack import ScenePack
from tests.unity.codec import decode_batch, decode_pack, decode_request, encode_reply, open_piece, pixels_of

BEHAVIOR = "Stage?team=0"
FAULTS = (
    "none", "die", "hang", "garbage", "two-replies", "wrong-id", "wrong-observations", "other-version", "fail",
    "forget-scene", "die-at-start", "silent-at-start", "old-mlagents", "upside-down", "mirrored", "swapped-colors",
    "linear", "twice-encoded", "shuffled-cameras",
)  # fmt: skip


class Content(Protocol):
    """What the stand-in shows."""

    def describe(self) -> str: ...

    def load(self, pack: ScenePack) -> None: ...

    def add_picture(self, number: int, png: bytes) -> None: ...

    def forget(self) -> None: ...

    def render(self, batch: records.RenderBatch) -> np.ndarray: ...


class ReadyPictures:
    """Noise of the right size, made once: what remains is the cost of the protocol."""

    def __init__(self) -> None:
        self._pictures = np.zeros((0, 0, 0, 0, 3), np.uint8)

    def describe(self) -> str:
        return f"engine: ready pictures\nprocess: {os.getpid()}"

    def load(self, pack: ScenePack) -> None:
        pass

    def add_picture(self, number: int, png: bytes) -> None:
        pass

    def forget(self) -> None:
        pass

    def render(self, batch: records.RenderBatch) -> np.ndarray:
        if self._pictures.shape != batch.image_shape:
            self._pictures = np.random.default_rng(0).integers(0, 256, batch.image_shape, dtype=np.uint8)
        return self._pictures


class StandIn:
    """Answers requests as `StageServer.cs` does, and misbehaves as it was told to."""

    def __init__(self, content: Content, fault: str, fault_at: int, once: Path | None) -> None:
        self._content = content
        self._fault, self._fault_at, self._once = fault, fault_at, once
        self._scene = -1
        self._pieces = bytearray()
        self._pictures: set[int] = set()
        self._renders = 0
        self._id_error = 0

    def answer(self, message: bytes) -> tuple[list[bytes], wire.Reply, np.ndarray | None]:
        """(messages for the side channel, the reply among them, pictures that go back as observations)."""
        try:
            request = decode_request(message)
            reply, observed = self._obey(request)
        except wire.WireError as error:
            request = wire.Request(wire.Kind.DESCRIBE, 0)
            reply, observed = wire.Reply(0, wire.Status.MALFORMED, text=str(error)), None
        self._id_error = 0
        if request.kind != wire.Kind.RENDER or not self._misbehaves():
            return [encode_reply(reply)], reply, observed
        return self._wrong(reply), reply, observed

    def _obey(self, request: wire.Request) -> tuple[wire.Reply, np.ndarray | None]:
        if request.kind == wire.Kind.DESCRIBE:
            return wire.Reply(request.id, wire.Status.OK, text=self._content.describe()), None
        if request.kind in (wire.Kind.LOAD, wire.Kind.PICTURE):
            whole, offset, piece = open_piece(request.payload)
            self._pieces[offset:] = piece
            if len(self._pieces) == whole:
                content = bytes(self._pieces)
                if wire.content_hash(content) != request.hash:
                    return wire.Reply(request.id, wire.Status.SCENE, text="another hash"), None
                self._take(request, content)
            return wire.Reply(request.id, wire.Status.OK), None
        if request.kind == wire.Kind.FORGET:
            self._content.forget()
            self._pictures.clear()
            return wire.Reply(request.id, wire.Status.OK), None
        if request.hash != self._scene:
            return wire.Reply(request.id, wire.Status.SCENE, text="another scene is loaded"), None
        batch = decode_batch(request.payload)
        if not self._pictures.issuperset(batch.pictures):
            return wire.Reply(request.id, wire.Status.SCENE, text="a picture is not here"), None
        images = self.distorted(self._content.render(batch))
        if batch.form == records.Form.RGB:
            return wire.Reply(request.id, wire.Status.OK, images.shape, pixels_of(batch, images)), None
        return wire.Reply(request.id, wire.Status.OK, images.shape), images

    def _take(self, request: wire.Request, content: bytes) -> None:
        if request.kind == wire.Kind.LOAD:
            self._content.load(decode_pack(content))
            self._scene = request.hash
        else:
            self._content.add_picture(request.hash, content)
            self._pictures.add(request.hash)

    def _misbehaves(self) -> bool:
        self._renders += 1
        if self._renders <= self._fault_at or self._fault == "none":
            return False
        if self._once is not None:
            if self._once.exists():
                return False
            self._once.touch()
        return True

    def _wrong(self, reply: wire.Reply) -> list[bytes]:
        message = encode_reply(reply)
        if self._fault == "die":
            os._exit(3)
        if self._fault == "hang":
            time.sleep(3600)
        if self._fault == "garbage":
            return [os.urandom(64)]
        if self._fault == "two-replies":
            return [message, message]
        if self._fault == "wrong-id":
            return [message[:12] + (reply.id + 1).to_bytes(4, "little") + message[16:]]
        if self._fault == "other-version":
            return [message[:4] + (wire.MAJOR + 1).to_bytes(2, "little") + message[6:]]
        if self._fault == "fail":
            return [encode_reply(wire.Reply(reply.id, wire.Status.FAILED, text="out of memory\n  at Draw()"))]
        if self._fault == "forget-scene":
            self._scene = -1
        if self._fault == "wrong-observations":
            self._id_error = 1
        return [message]

    def distorted(self, images: np.ndarray) -> np.ndarray:
        """The picture as a player would draw it that has one convention wrong."""
        if self._fault == "upside-down":
            return images[:, :, ::-1]
        if self._fault == "mirrored":
            return images[:, :, :, ::-1]
        if self._fault == "swapped-colors":
            return images[..., ::-1]
        if self._fault == "linear":  # a display's gamma of 2.2 is near enough to sRGB for a fault
            return np.rint(255 * (images / 255) ** 2.2).astype(np.uint8)
        if self._fault == "twice-encoded":
            return np.rint(255 * (images / 255) ** (1 / 2.2)).astype(np.uint8)
        if self._fault == "shuffled-cameras":
            return images[:, [*range(1, images.shape[1]), 0]]
        return images

    def observed_id(self, reply: wire.Reply) -> int:
        """Of which batch the agents say that their pictures are."""
        return reply.id + self._id_error


class Connection:
    """The client's half of ML-Agents' protocol, as `RpcCommunicator.cs` speaks it."""

    def __init__(self, port: int) -> None:
        options = [("grpc.max_receive_message_length", 4_194_304), ("grpc.enable_http_proxy", 0)]
        self._stub = UnityToExternalProtoStub(grpc.insecure_channel(f"localhost:{port}", options=options))
        self._channel = RawBytesChannel(wire.CHANNEL)
        analytics = DefaultTrainingAnalyticsSideChannel()
        analytics.on_message_received = lambda msg: None
        self._channels = SideChannelManager([self._channel, analytics])
        self._introduced = False

    def begin(self, communication_version: str) -> None:
        """Introduce this player and wait for Python's first step; its messages are then in `received`."""
        output = UnityOutputProto()
        hello = output.rl_initialization_output
        hello.name, hello.communication_version, hello.package_version = "stand-in", communication_version, "2.0.1"
        hello.capabilities.baseRLCapabilities = True
        self._exchange(output)
        self._receive(self._exchange(None))

    def received(self) -> list[bytes]:
        return [bytes(message) for message in self._channel.get_and_clear_received_messages()]

    def step(
        self, messages: list[bytes], vectors: np.ndarray, images: np.ndarray | None, sizes: list[tuple[int, ...]]
    ) -> None:
        """Send what agents observe, (A, 4) and perhaps uint8 (A, C, H, W, 3), and wait for Python's next step.

        `sizes` are width and height of each camera's images, the rest of the array is padding.
        """
        output = UnityOutputProto()
        agents = output.rl_output.agentInfos[BEHAVIOR].value
        for index, vector in enumerate(vectors):
            agent = agents.add(id=index)
            for camera, padded in enumerate(images[index] if images is not None else ()):
                picture = np.ascontiguousarray(padded[: sizes[camera][1], : sizes[camera][0]])
                properties = {"name": f"cam{camera:05}", "shape": picture.shape, "dimension_properties": [2, 2, 1]}
                agent.observations.add(**properties, compression_type=PNG, compressed_data=_stored_png(picture))
            status = agent.observations.add(name="status", shape=[len(vector)], compression_type=NONE)
            status.float_data.data.extend(vector)
        framed = [(wire.CHANNEL.bytes_le, struct.pack("<i", len(message)), message) for message in messages]
        output.rl_output.side_channel = b"".join(part for parts in framed for part in parts)
        if not self._introduced:
            brain = output.rl_initialization_output.brain_parameters.add(brain_name=BEHAVIOR, is_training=True)
            brain.action_spec.num_continuous_actions = 1
            self._introduced = True
        self._receive(self._exchange(output))

    def _receive(self, received: UnityInputProto) -> None:
        self._channels.process_side_channel_message(received.rl_input.side_channel)

    def _exchange(self, output: UnityOutputProto | None) -> UnityInputProto:
        message = UnityMessageProto()
        message.header.status = 200
        if output is not None:
            message.unity_output.CopyFrom(output)
        reply = self._stub.Exchange(message, wait_for_ready=True)
        if reply.header.status != 200:
            sys.exit(0)
        return reply.unity_input


def _stored_png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=0)
    return file.getvalue()


def _content(name: str) -> Content:
    if name == "ready":
        return ReadyPictures()
    from tests.unity.mujoco_stage import MujocoStage  # seconds to import, and only needed to draw

    return MujocoStage()


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--mlagents-port", type=int, required=True)
    parser.add_argument("-logFile")
    parser.add_argument("--observations", help="AGENTS:WIDTHxHEIGHT,..., as the Unity player takes it")
    parser.add_argument("--content", choices=("scene", "ready"), default="scene")
    parser.add_argument("--fault", choices=FAULTS, default="none")
    parser.add_argument("--fault-at", type=int, default=0, help="batches to draw well before the fault")
    parser.add_argument("--once", type=Path, help="misbehave only while this file is missing, and make it")
    options: Any = parser.parse_args()
    if options.fault == "die-at-start":
        sys.exit(5)
    if options.fault == "silent-at-start":
        time.sleep(3600)
    stand_in = StandIn(_content(options.content), options.fault, options.fault_at, options.once)
    connection = Connection(options.mlagents_port)
    try:
        connection.begin("0.9.0" if options.fault == "old-mlagents" else "1.5.0")
        observed_sizes = options.observations.partition(":")[2].split(",") if options.observations else []
        sizes = [tuple(map(int, size.split("x"))) for size in observed_sizes]
        while True:
            messages: list[bytes] = []
            vectors = np.array([[wire.Status.OK, 0, 0, wire.MAJOR]], np.float32)
            images = (
                np.zeros((1, len(sizes), max(h for _, h in sizes), max(w for w, _ in sizes), 3), np.uint8)
                if sizes
                else None
            )
            for request in connection.received():
                messages, reply, observed = stand_in.answer(request)
                if observed is not None:
                    images = observed
                    vectors = np.array([
                        (reply.status, stand_in.observed_id(reply), sample, wire.MAJOR) for sample in range(len(images))
                    ], np.float32)  # fmt: skip
            connection.step(messages, vectors, images, sizes)
    except grpc.RpcError as error:
        # As the C# client does: Python went away, so there is nothing left to do.
        sys.exit(0 if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED) else 4)


if __name__ == "__main__":
    main()
