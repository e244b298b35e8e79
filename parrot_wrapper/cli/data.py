"""`parrot data`: show a data set, bring in one of someone else's, hand one out, gather parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from tqdm import tqdm

from parrot_wrapper.data import EpisodeDataset, contact_sheet, load_dataset
from parrot_wrapper.data.exchange import (
    ImportOptions,
    ImportReport,
    export_lerobot,
    export_minari,
    import_data,
)
from parrot_wrapper.data.exchange.source import RawEpisode
from parrot_wrapper.data.gathering import gather
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.types import REWARDS_FACT


@dataclass(frozen=True)
class ShowData:
    """Show the size of a data set, its actions and its images.

    Attributes:
        folder: The data set.
        sheet: Write a picture of its images to this PNG.
        episodes: Rows of the picture.
        frames: Columns of the picture.
        image_key: Which of several images, by its name; the first where left out.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    sheet: Path | None = None
    episodes: int = 8
    frames: int = 8
    image_key: str = ""

    def run(self) -> None:
        """Print it, and draw the picture if asked."""
        dataset = load_dataset(self.folder)
        print("\n".join(dataset_lines(dataset, self.folder)))
        if self.sheet is None:
            return
        if self.sheet.suffix != ".png":
            raise InvalidArgumentError(f"Expected a name that ends in .png, got {self.sheet}.")
        from parrot_wrapper.evaluation.pictures import save_png  # brings torch

        sheet = contact_sheet(
            dataset, episodes=self.episodes, frames=self.frames, image_key=self.image_key
        )
        save_png(self.sheet, sheet)
        print(f"{self.sheet}: images")


@dataclass(frozen=True)
class ImportData:
    """Write someone else's data set as one of ours; it appears whole or not at all.

    Attributes:
        form: What the source is.
        source: Its file or folder; for minari also the id of a local data set.
        out: Folder to write; new or empty.
        options: What to take, and how.
        progress: Show a progress bar.
    """

    form: Annotated[Literal["minari", "robomimic", "lerobot", "arrays"], tyro.conf.Positional]
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    options: Annotated[ImportOptions, tyro.conf.arg(name="")] = field(default_factory=ImportOptions)
    progress: bool = True

    def run(self) -> None:
        """Import, and say what was taken and what was not."""

        def watch(episodes: Iterable[RawEpisode], total: int | None) -> Iterable[RawEpisode]:
            bar: Iterable[RawEpisode] = tqdm(
                episodes, total=total, unit=" episodes", desc="import", disable=not self.progress
            )
            return bar

        report = import_data(self.form, self.source, self.out, self.options, watch=watch)
        print("\n".join(_report_lines(report)))


def _report_lines(report: ImportReport) -> Iterable[str]:
    counts = report.counts
    yield f"{report.folder}: {counts['kept']} episodes, {report.n_steps} steps."
    if counts["dropped_as_failures"]:
        yield f"  {counts['dropped_as_failures']} of {counts['read']} dropped as failures."
    if counts["success_unknown"]:
        yield (
            f"  {counts['success_unknown']} of them say nothing of success and count as such; "
            "--success-reward judges by the last reward."
        )
    if counts["last_observation_repeated"]:
        yield (
            f"  {counts['last_observation_repeated']} have no observation after the last action; "
            "the last is repeated."
        )
    choice = report.choice
    named: dict[str, str | None] = dict(choice.named_images)
    named[choice.vector_name] = ", ".join(choice.vectors)
    named |= {"actions": choice.action, "rewards": choice.reward, "success": choice.success}
    yield f"  taken: {'; '.join(f'{ours} from {name}' for ours, name in named.items() if name)}."
    if report.ends:
        ends = (f"{told} ({count})" for told, count in report.ends.items())
        yield f"  ends of episodes from: {', '.join(ends)}."
    if choice.flattened:
        shapes = (f"{name} {tuple(shape)}" for name, shape in choice.flattened.items())
        yield f"  flattened: {', '.join(shapes)}."
    if choice.left_out:
        yield f"  left out: {', '.join(choice.left_out)}."
    yield f"  action box: {report.action_box}."
    if report.action_box.startswith("spanned"):
        yield (
            "  The env's own box has to be the same: give it with --action-low and --action-high "
            "if it is another."
        )


@dataclass(frozen=True)
class ExportData:
    """Write one of our data sets for others.

    Attributes:
        form: What to write.
        folder: The data set.
        dataset_id: Its id in Minari, such as parrot/mine-v0; for lerobot the folder to write.
        author: Stands in Minari's metadata, as all that follows.
        author_email: How to reach them.
        algorithm_name: What the actions came from.
        code_permalink: The code behind it.
        description: Of the data set.
        fps: Env steps in a second, which LeRobot's times go by.
        task: Instruction that LeRobot's policies may read.
    """

    form: Annotated[Literal["minari", "lerobot"], tyro.conf.Positional]
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    dataset_id: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET_ID")]
    author: str = ""
    author_email: str = ""
    algorithm_name: str = ""
    code_permalink: str = ""
    description: str = ""
    fps: float = 10.0
    task: str = "task"

    def run(self) -> None:
        """Export, and say where to."""
        dataset = load_dataset(self.folder)
        if self.form == "lerobot":
            target = export_lerobot(dataset, self.dataset_id, fps=self.fps, task=self.task)
        else:
            target = export_minari(
                dataset,
                self.dataset_id,
                author=self.author,
                author_email=self.author_email,
                algorithm_name=self.algorithm_name,
                code_permalink=self.code_permalink,
                description=self.description,
            )
        print(f"{target}: {dataset.n_episodes} episodes, {dataset.n_steps} steps.")


@dataclass(frozen=True)
class GatherData:
    """Put together what `parrot collect --world-size` made in parts; again, it adds what is new.

    Attributes:
        folder: The data set.
        parts: Folders of the parts; those below FOLDER where left out.
        episodes: How many episodes; 0 for as many as the parts were asked for.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    parts: tuple[Path, ...] = ()
    episodes: int = 0

    def run(self) -> None:
        """Gather, and say what there is."""
        manifest = gather(self.folder, self.parts, n_episodes=self.episodes or None)
        counts = manifest.facts["counts"]
        print(
            f"{self.folder}: {manifest.n_episodes} episodes; {counts['kept']} of "
            f"{counts['attempts']} attempts kept."
        )


@dataclass(frozen=True)
class DataCommand:
    """Show, import, export and gather data sets.

    Attributes:
        action: What to do.
    """

    action: (
        Annotated[ShowData, tyro.conf.subcommand(name="show")]
        | Annotated[ImportData, tyro.conf.subcommand(name="import")]
        | Annotated[ExportData, tyro.conf.subcommand(name="export")]
        | Annotated[GatherData, tyro.conf.subcommand(name="gather")]
    )

    def run(self) -> None:
        """Do it."""
        self.action.run()


_MANY_ON_EDGE = 0.5


def dataset_lines(dataset: EpisodeDataset, folder: Path) -> Iterable[str]:
    """Size, observations, actions and what is odd about them, line by line."""
    stored = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    parts = [*dataset.observations.values(), *dataset.labels.values(), dataset.actions]
    memory = sum(part.nbytes for part in parts)
    shortest, middle, longest = np.percentile(dataset.lengths, [0, 50, 100])
    yield f"data set {folder}"
    yield (
        f"  {dataset.n_episodes} episodes, {dataset.n_steps} steps; {shortest:.0f} to "
        f"{longest:.0f} in an episode, half of them up to {middle:.0f}"
    )
    yield f"  {_size(stored)} on disk, {_size(memory)} in memory"
    yield f"  successes: {dataset.success.mean():.1%}"
    yield f"  rewards: {_rewards(dataset)}"
    for name, part in dataset.observations.items():
        yield f"  {name}: {part.shape[1:]} {part.dtype}"
    if dataset.labels:
        yield f"  labels: {', '.join(dataset.labels)}"
    yield from _action_lines(dataset)


def _rewards(dataset: EpisodeDataset) -> str:
    if not dataset.metadata.get(REWARDS_FACT, True):
        return "unknown; the data have none"
    if not dataset.rewards.any():  # folders of earlier versions do not say which of the two it is
        return "0 on every step, or unknown"
    returns = np.add.reduceat(dataset.rewards, dataset.step_offsets)
    return f"{returns.mean():.3g} in an episode on average, {returns.max():.3g} at most"


def _action_lines(dataset: EpisodeDataset) -> Iterator[str]:
    low, high = dataset.action_bounds
    told = dataset.action_statistics()
    least, most = dataset.actions.min(0), dataset.actions.max(0)
    yield "  action      box                 mean       std       min       max   on edge"
    for index in range(dataset.action_dim):
        yield (
            f"  {index:>6} {low[index]:>8.3g} ... {high[index]:<8.3g}{told.mean[index]:>9.3g} "
            f"{told.std[index]:>9.3g} {least[index]:>9.3g} {most[index]:>9.3g} "
            f"{told.clip_fraction[index]:>9.1%}"
        )
    still = np.flatnonzero(least == most)
    if len(still):
        yield f"  dimensions that never change: {', '.join(map(str, still))}"
    outside = np.flatnonzero((least < low) | (most > high))
    if len(outside):
        yield f"  dimensions that leave the box: {', '.join(map(str, outside))}"
    crowded = np.flatnonzero(told.clip_fraction > _MANY_ON_EDGE)
    if len(crowded):
        yield (
            f"  dimensions mostly on the box's edge: {', '.join(map(str, crowded))}; a flow fits "
            "such jumps badly, noise on the actions helps"
        )


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError("unreachable")
