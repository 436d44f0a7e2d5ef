"""A dataset's ``README.md``: contents, randomizations, a preview, and how to load it with ``webdataset`` alone."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

from datagen.inspection.info import facts
from vision.drawing.sheets import dataset_sheet
from vision.io import store
from vision.io.files import atomic_write, read_start
from vision.io.store import Location
from vision.statistics.spacing import evenly_spaced
from vision.storage.datasets import TripletDataset
from vision.storage.schema import IMAGES, LABEL, MASKS
from vision.templating import render

TEMPLATES = Path(__file__).parent / "templates"
CARD, PREVIEW = "README.md", "preview.jpg"

_PICTURED = 6
_MARK = re.compile(r"<!-- made by dactyl render, sha256 ([0-9a-f]{64}) -->\n\Z")


def write_card(dataset: TripletDataset) -> bool:
    """Write ``README.md`` and ``preview.jpg`` into the dataset's folder, unless a person has changed the card.

    Like everything in a dataset, their bytes depend only on the configuration, not on the folder's name.

    The card is written last, so that an up-to-date card implies an up-to-date preview.

    Returns:
        Whether both exist as this program makes them.
    """
    path, text = dataset.folder / CARD, card(dataset)
    text += f"<!-- made by dactyl render, sha256 {hashlib.sha256(text.encode()).hexdigest()} -->\n"
    found = _read(path)
    if found == text:  # a finished dataset was requested again
        return True
    if found is not None and not _is_ours(found):
        return False
    if not store.is_remote(dataset.folder):  # a preview would fetch shards from the whole dataset
        picture = io.BytesIO()
        sheet = dataset_sheet(dataset, evenly_spaced(len(dataset), _PICTURED), columns=2, named=False)
        sheet.convert("RGB").save(picture, "JPEG", quality=85)
        atomic_write(dataset.folder / PREVIEW, picture.getvalue())
    atomic_write(path, text.encode())
    return True


def card(dataset: TripletDataset) -> str:
    """Return the card in Markdown, with the front matter that dataset hubs read."""
    cameras = [camera.name for camera in dataset.rig.cameras]
    each = f"{{{', '.join(cameras)}}}"
    fields = {f"{name} in `label.json`": field for name, field in LABEL.items() if not field.optional}
    fields[f"`{each}.jpg`"] = IMAGES
    if len(dataset) and "visibility" in dataset.label(0):
        fields |= {f"{name} in `label.json`": field for name, field in LABEL.items() if field.optional}
        fields[f"`mask_{each}.png`"] = MASKS
    return render(
        TEMPLATES,
        "card.md",
        object=dataset.object.name,
        cameras=cameras,
        samples=len(dataset),
        size=_size(len(dataset)),
        preview=None if store.is_remote(dataset.folder) else PREVIEW,
        facts=facts(dataset),
        fields=fields,
    )


def _size(samples: int) -> str:
    """Return the size category of a dataset as dataset hubs name it."""
    bounds = [(10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")]
    return next((name for bound, name in bounds if samples < bound), "1M<n<10M")


def _read(path: Location) -> str | None:
    """Read a card; None if there is none, empty if it is too large to be ours or not a regular file."""
    if (size := store.size(path)) is None:
        return None
    try:
        return read_start(path, size).decode("utf-8", "replace") if size < 1 << 20 else ""
    except OSError:
        return ""


def _is_ours(text: str) -> bool:
    """Return whether a card is unchanged since this program wrote it."""
    found = _MARK.search(text)
    return found is not None and hashlib.sha256(text[: found.start()].encode()).hexdigest() == found[1]
