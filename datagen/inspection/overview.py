"""Inspection of a dataset: its summary, a contact sheet, and a page to browse samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datagen.inspection.filters import SampleErrors
from datagen.inspection.gallery import page, page_numbers
from datagen.inspection.info import dataset_table
from vision.configuration.bounds import at_least_one, not_negative
from vision.drawing.sheets import dataset_sheet, save_png
from vision.io.files import atomic_write
from vision.io.store import Location
from vision.machine.console import Console
from vision.statistics.spacing import evenly_spaced
from vision.storage.datasets import TripletDataset


@dataclass(frozen=True)
class InspectConfig:
    """What to look at.

    Attributes:
        dataset: folder or URL of a finished dataset.
        output: PNG of the contact sheet; null for contact-sheet.png inside the dataset's folder.
        samples: triplets on the sheet, spread evenly over the dataset.
        page: HTML page to browse samples with all their values; null for browse.html inside the dataset's folder.
        page_samples: triplets on the page; 0 for no page.
        evaluation: folder of dactyl evaluate; the page then shows its errors on this dataset and filters by them, and
            half of its samples are those with the largest errors.
        columns: triplets side by side.
        scale: enlargement of the images.
        wireframe: draw the labelled object's edges and axes over the images.
        viewer: rerun, to look at page_samples triplets in the Rerun viewer instead of on a sheet and a page.
        save: .rrd file for that viewer to open later, instead of starting it now.
    """

    dataset: Location
    output: Path | None = None
    samples: int = 12
    page: Path | None = None
    page_samples: int = 60
    evaluation: Path | None = None
    columns: int = 2
    scale: int = 1
    wireframe: bool = False
    viewer: Literal["rerun"] | None = None
    save: Path | None = None

    def __post_init__(self) -> None:
        not_negative(self, "page_samples")
        if self.save is not None and (self.viewer is None or self.save.suffix != ".rrd"):
            raise ValueError(f"save: expected a file that ends in .rrd, with viewer rerun, got {self.save}")
        if self.evaluation is not None and (self.viewer is not None or self.page_samples == 0):
            raise ValueError("evaluation: its errors are shown on the page, and none is asked for")
        at_least_one(self, "samples", "columns", "scale")


def inspect(config: InspectConfig, errors_of: Callable[[Path, TripletDataset], SampleErrors]) -> None:
    """Print a summary of the dataset and write its contact sheet and its page, or open a viewer.

    Args:
        config: configuration of the inspection.
        errors_of: function that reads an evaluation's errors on the dataset, since this package has no evaluations.

    Raises:
        DactylError: the dataset does not exist or is unfinished, a sample shown has a fault, or the evaluation is of
            other data.
    """
    dataset = TripletDataset(config.dataset)
    errors = None if config.evaluation is None else errors_of(config.evaluation, dataset)
    console = Console()
    if config.viewer is not None:
        from datagen.inspection.viewer import view_in_rerun

        console.print(dataset_table(dataset))
        view_in_rerun(dataset, evenly_spaced(len(dataset), config.page_samples), config.save)
        if config.save is not None:
            console.print(f"recording: {config.save}; open it with: rerun {config.save}")
        return
    # Everything is written before anything is printed: a reader, such as head, may close the pipe.
    output = config.output or config.dataset / "contact-sheet.png"
    numbers = evenly_spaced(len(dataset), config.samples)
    save_png(dataset_sheet(dataset, numbers, config.columns, config.scale, config.wireframe), output)
    written = [f"contact sheet: {output}"]
    if config.page_samples:
        output = config.page or config.dataset / "browse.html"
        atomic_write(output, page(dataset, page_numbers(dataset, config.page_samples, errors), errors).encode())
        written.append(f"page: {output}")
    console.print(dataset_table(dataset))
    console.print("\n".join(written))
