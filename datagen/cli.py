"""``dactyl scene check``, ``states``, ``coverage``, ``render``, ``info``, ``check`` and ``doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vision.configuration.command_line import parse
from vision.errors import DactylError
from vision.machine.console import Console


def main_scene_check(argv: Sequence[str]) -> None:
    """Print how a scene file was read, warn of likely mistakes, and draw a sheet of it.

    Exit status 1 if the scene cannot be used; warnings leave it at 0.

    examples:
      dactyl scene check block
      dactyl scene check my-scene.yaml --output sheet.png
      dactyl scene check my-scene.yaml --renderer null           in words only
    """
    from datagen.inspection.scene import SceneConfig, camera_table, scene_table
    from datagen.inspection.scene_contacts import model_warnings
    from datagen.inspection.scene_sheet import scene_sheet
    from datagen.inspection.scene_warnings import warnings
    from datagen.sim.complete import complete_scene
    from datagen.sim.scene import compile_scene
    from vision.drawing.sheets import save_png
    from vision.io.files import refuse_unwritable

    arguments = list(argv)
    if arguments and not arguments[0].startswith("-"):
        arguments.insert(0, "--scene")
    config = parse(SceneConfig, arguments, "dactyl scene check", main_scene_check.__doc__ or "")
    scene = complete_scene(config.scene)
    output = config.output or Path(f"scene-{scene.name}.png")
    if config.renderer is not None:
        refuse_unwritable(output)
    compiled = compile_scene(scene)
    console = Console(highlight=False)
    console.print(scene_table(scene), camera_table(scene))
    found = 0
    for warning in (*warnings(scene), *model_warnings(compiled)):
        console.print(f"warning: {warning}")
        found += 1
    if config.renderer is not None:
        save_png(scene_sheet(scene, config.renderer), output)
        console.print(f"sheet: {output}")
    console.print("1 warning" if found == 1 else f"{found or 'no'} warnings")


def main_states(argv: Sequence[str]) -> None:
    """Collect hand-and-object states in MuJoCo.

    A policy moves the object in the hand. Every state that is finite, not dropped and without a physics warning is kept
    in Parquet files. The same seed gives the same bytes with any number of threads; a killed run resumes.

    examples:
      dactyl states --config configs/states/trained.yaml --output data/states
      dactyl states --output data/states-test --count 5000 --seed 1     states for a test set: a seed of their own
      dactyl states --scene prism --output data/states-prism --count 100000
    """
    from datagen.states.collect import StatesConfig, collect
    from datagen.states.coverage import stillness_warning

    config = parse(StatesConfig, argv, "dactyl states", main_states.__doc__ or "")
    states = collect(config)
    console = Console()
    console.print(
        f"{config.output}: {len(states):,} states of the {states.scene.object.name} by policy {states.policy}"
    )
    if warning := stillness_warning(states):
        console.print(f"{config.output}: warning: {warning}")


def main_coverage(argv: Sequence[str]) -> None:
    """Report how evenly states cover orientations and positions, how many episodes dropped, and how alike neighbours
    are.

    The plot and the figures (JSON) go beside the states, or to --output.

    examples:
      dactyl coverage --states data/states
      dactyl coverage --states data/states --output docs/images/coverage.png
    """
    from datagen.states.coverage import CoverageConfig, coverage

    config = parse(CoverageConfig, argv, "dactyl coverage", main_coverage.__doc__ or "")
    figures = coverage(config).figures()
    Console().print_json(data=figures)


def main_render(argv: Sequence[str]) -> None:
    """Render randomised image triplets of collected states into a sharded dataset.

    Shards are WebDataset tars; a manifest written last commits them. A killed run resumes, a larger --count extends, a
    finished dataset is reused. The same configuration gives the same bytes with any number of workers (samples name
    pictures of a folder by their paths). A README.md says what is in the folder; once you have edited it, it is not
    overwritten.

    examples:
      dactyl render --config configs/render/filament.yaml --states data/states --output data/train --count 100000
      dactyl render --config configs/render/classic.yaml --states data/states-test --output data/classic-test
      dactyl render ... --appearance.light_total_intensity.high 10 --workers 8
      dactyl render ... --output s3://bucket/train --executor ray --ray_address auto        on a cluster (docs/scale.md)
      dactyl render ... --only 4711             that sample only, byte for byte, into <output>/only
    """
    from datagen.generate.config import RenderConfig
    from datagen.generate.dataset import generate, render_one
    from datagen.inspection.data_card import write_card

    config = parse(RenderConfig, argv, "dactyl render", main_render.__doc__ or "")
    if config.only is not None:
        Console().print(f"sample {config.only}: {render_one(config, config.only)}")
        return
    dataset = generate(config)
    write_card(dataset)
    devices = ", ".join(f"{info['name']} on {info['device']}" for info in dataset.manifest.renderers)
    Console().print(
        f"{config.output}: {len(dataset):,} triplets in {len(dataset.shards)} shards, rendered by {devices}"
    )


def main_info(argv: Sequence[str]) -> None:
    """Print what a dataset holds: counts, sizes, renderer, versions, distributions.

    examples:
      dactyl info --dataset data/train
    """
    from datagen.inspection.info import InfoConfig, dataset_table
    from vision.storage.datasets import TripletDataset

    Console().print(
        dataset_table(TripletDataset(parse(InfoConfig, argv, "dactyl info", main_info.__doc__ or "").dataset))
    )


def main_check(argv: Sequence[str]) -> None:
    """Check a dataset: hashes, decoding, labels, blank and duplicate images; some samples are rendered again.

    Prints a line for each bad shard or sample; exit status 1 if there are any.

    examples:
      dactyl check --dataset data/train
      dactyl check --dataset data/train --rerender 10
    """
    from datagen.inspection.check import CheckConfig, faults

    config = parse(CheckConfig, argv, "dactyl check", main_check.__doc__ or "")
    found = 0
    for fault in faults(config):
        Console().print(fault, highlight=False)
        found += 1
    if found:
        raise DactylError(f"{config.dataset}: {found} fault{'s' if found > 1 else ''}, named above")
    again = f"; {config.rerender} samples rendered again are the same" if config.rerender else ""
    Console().print(f"{config.dataset}: sound{again}")


def main_doctor(argv: Sequence[str]) -> None:
    """Try every renderer on a known scene: which device draws, in software or hardware, and whether the image is right.

    Exit status 1 if one does not work; the line says which package is missing. Unity has a separate check.

    examples:
      dactyl doctor
      dactyl doctor --renderers [filament]
      dactyl unity check --player.executable unity_project/Build/stage.x86_64
    """
    from datagen.inspection.doctor import DoctorConfig, examine

    config = parse(DoctorConfig, argv, "dactyl doctor", main_doctor.__doc__ or "")
    ill = []
    for name in config.renderers:
        finding = examine(name, config.timeout_s)
        ill += [name] if finding.complaint else []
        line = f"{name}: {finding.complaint or f'works, on {finding.device}'}; {finding.seconds:.1f} s"
        Console().print(line, highlight=False)
    if ill:
        raise DactylError(f"{', '.join(ill)} cannot be used here; see above")
