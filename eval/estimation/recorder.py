"""Recording of live shots, in the layout of docs/recording.md."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from eval.laboratory.shots import Shot
from vision.errors import DactylError
from vision.storage.shards import encode_image


class ShotRecorder:
    """Writes images as JPEG, and each camera's table line by line. Entering the context manager begins the tables.

    Args:
        folder: new folder, or one that holds no recording or images of the cameras.
        names: names of the cameras, in the order of a shot's images.

    Raises:
        DactylError: the folder already holds a recording or files of a camera, or it cannot be written.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names, self.count = folder, names, 0
        self._files = contextlib.ExitStack()
        self._tables: list[tuple[IO[str], Any]] = []
        if there := [name for name in names if (folder / f"{name}.csv").exists()]:
            raise DactylError(f"{folder / there[0]}.csv: there is a recording already; choose another folder")
        if there := [name for name in names if (folder / name).is_dir() and any((folder / name).iterdir())]:
            raise DactylError(f"{folder / there[0]}: there are files already; choose another folder")

    def keep(self, shot: Shot) -> None:
        """Write a shot that has a time, with each image's own if the cameras are live."""
        times = shot.times_s or [shot.time_s] * len(self.names)
        with _writing(self.folder):
            rows = zip(self.names, shot.pictures, times, self._tables, strict=True)
            for name, picture, time_s, (file, writer) in rows:
                path = f"{name}/{self.count:06d}.jpg"
                (self.folder / path).write_bytes(encode_image(picture))
                writer.writerow([f"{time_s:.6f}", path])
                file.flush()
        self.count += 1

    def __enter__(self) -> ShotRecorder:
        with _writing(self.folder):
            for name in self.names:
                (self.folder / name).mkdir(parents=True, exist_ok=True)
                file = self._files.enter_context((self.folder / f"{name}.csv").open("w", newline="", encoding="utf-8"))
                writer = csv.writer(file)
                writer.writerow(["time_s", "file"])
                self._tables.append((file, writer))
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DactylError(f"{folder}: cannot write: {error.strerror or error}; free space or choose another") from error
