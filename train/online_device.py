"""Online triplets that are rendered on the training's own device, and never leave it.

Worker processes make the values of each batch (``datagen.generate.value_batches``). This process renders them all at
once with the renderer ``warp``, one batch ahead of the training step, on a GPU in a separate stream. A sample's pixels
are those that ``dactyl render --renderer warp`` encodes as JPEG. They depend only on the sample, so neither the number
of processes nor the batch at which a training was resumed matters.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from datagen.generate.value_batches import Labels, ValueBatches, cached_values
from datagen.render.warp_device import WarpDevice, import_warp
from datagen.render.world_values import Values
from datagen.workers.pool import TaskFailedError
from datagen.workers.stream import OrderedStream
from train.batches import Batch
from vision.errors import DactylError

_MOST_WORLDS = 128  # rendered at once, to limit memory


class DeviceBatches:
    """Iterable of batches whose images are on ``device``; :meth:`close` ends the worker processes.

    Args:
        values: source of the values.
        numbers: numbers of the batches.
        device: device that renders.
        workers: number of processes that make values.
        timeout_s: seconds without a batch of values after which a process is assumed to hang.

    Raises:
        DactylError: on iteration: the renderer cannot be used here, or a worker process kept failing.
    """

    def __init__(
        self, values: ValueBatches, numbers: range, device: torch.device, workers: int, timeout_s: float
    ) -> None:
        self._values, self._numbers, self._device = values, numbers, device
        self._workers, self._timeout_s = workers, timeout_s
        self._stream: OrderedStream[tuple[Values, Labels]] | None = None
        self._renderer: WarpDevice | None = None

    def __iter__(self) -> Iterator[Batch]:
        self.close()
        config, per_batch = self._values.config, self._values.per_batch
        worlds = config.render.warp.worlds or min(per_batch, _MOST_WORLDS)
        options = replace(config.render, warp=replace(config.render.warp, device=str(self._device), worlds=worlds))
        self._renderer = self._renderer or WarpDevice(cached_values(self._values.scene, config.render).stage, options)
        rig = self._values.scene.rig
        queue = _Queue(self._renderer, self._device, rig.height, rig.width)
        self._stream = stream = OrderedStream(
            *(self._values, self._numbers, self._workers, lambda made: made),
            timeout_s=self._timeout_s,
            tasks_per_process=sys.maxsize,  # they use no driver that leaks
        )
        try:
            ahead: _PendingBatch | None = None
            for values, labels in stream:
                following = queue.draw(values, labels)
                if ahead is not None:
                    yield ahead.take()
                ahead = following
            if ahead is not None:
                yield ahead.take()
        except TaskFailedError as error:
            index = self._values.indices(error.number).start
            raise DactylError(f"online sample {index}: gave up: {error}; the same command resumes") from None
        finally:
            stream.close()

    def close(self) -> None:
        """End the worker processes; calling it twice is harmless."""
        if self._stream is not None:
            self._stream.close()


class _Queue:
    """Rendering on a device, concurrent with its other work."""

    def __init__(self, renderer: WarpDevice, device: torch.device, height: int, width: int) -> None:
        self._renderer, self._device, self._size = renderer, device, (height, width)
        self._wp, _ = import_warp()
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def draw(self, values: Values, labels: Labels) -> _PendingBatch:
        """Start rendering."""
        wp, stream, count = self._wp, self._stream, len(values["geom_xpos"])
        with (
            torch.cuda.stream(stream) if stream is not None else nullcontext(),
            wp.ScopedStream(wp.stream_from_torch(stream)) if stream is not None else nullcontext(),
        ):
            images = torch.empty(
                (count, self._renderer.cameras, math.prod(self._size), 3), dtype=torch.uint8, device=self._device
            )
            for first in range(0, count, self._renderer.worlds):
                rows = slice(first, first + self._renderer.worlds)
                part = {name: value[rows] for name, value in values.items()}
                self._renderer.draw(part, wp.from_torch(images[rows], dtype=wp.uint8))
            drawn = None if stream is None else stream.record_event()
        return _PendingBatch(images.unflatten(2, self._size), labels, drawn)


class _PendingBatch:
    """A batch whose rendering may not have finished."""

    def __init__(self, images: Tensor, labels: Labels, drawn: Any) -> None:
        self._images, self._labels, self._drawn = images, labels, drawn

    def take(self) -> Batch:
        """Return the batch, for work submitted to the device from now on; on a GPU this does not wait."""
        images = self._images
        if self._drawn is not None:
            current = torch.cuda.current_stream(images.device)
            current.wait_event(self._drawn)
            images.record_stream(current)  # else its memory could be reused for rendering while still in training
        labels = {key: torch.from_numpy(value) for key, value in self._labels.items()}
        index = labels.pop("index")
        return {
            "images": images.permute(0, 1, 4, 2, 3),
            "index": index,
            "online": torch.ones(len(index), dtype=torch.bool),
            **{key: value.float() for key, value in labels.items()},
        }
