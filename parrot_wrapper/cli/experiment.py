"""`parrot experiment`: a study, or a grid of one's own, run by run and side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tqdm import tqdm

from parrot_wrapper.cli.durations import in_words
from parrot_wrapper.errors import InvalidArgumentError, ParrotError
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.grid_folders import Places, read_grid
from parrot_wrapper.experiments.methods import Run
from parrot_wrapper.experiments.studies import STUDIES, study_grid

if TYPE_CHECKING:  # they bring torch and SB3, which --help should not
    from parrot_wrapper.experiments.plan import Plan
    from parrot_wrapper.experiments.runner import Outcome


class ExperimentError(ParrotError, RuntimeError):
    """Some runs of a grid failed."""


@dataclass(frozen=True)
class ExperimentCommand:
    """Run a study of the paper, or a grid of your own; the same command goes on after a kill.

    Appends a row to OUT/rows.jsonl (OUT/exploration.jsonl for that study) for every finished run.

    Attributes:
        study: main, data-size, mismatch, agent, exploration, packaged, priors, sight,
            safety or information; left out with --grid.
        setting: ci (does it run at all), laptop or paper.
        grid: JSON file of a grid in place of a study.
        out: Folder of the rows; results/STUDY-SETTING where left out.
        runs: Folder of runs and what they need; runs/STUDY-SETTING where left out.
        workers: Cores to use; 0 for all.
        engine: What does the work: local for processes of this machine, ray for the machines of a
            Ray cluster, slurm for jobs of Slurm, or another by name.
        address: Of the cluster, as HOST:PORT; left out, ray starts one on this machine.
        device: Torch device.
        max_minutes: Stop after so much time, where all can go on later; 0 for no limit.
        only: Runs to do, as key=value: task, method, data, prior_seed, rl_seed or a label.
        seeds: RL seeds to do, those of the grid or more; all of the grid's where left out.
        dry_run: Only list the runs, what is done, and about how long the rest takes.
        progress: Show a progress bar.
    """

    study: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[STUDY]")] = ""
    setting: str = "laptop"
    grid: Path | None = None
    out: Path | None = None
    runs: Path | None = None
    workers: int = 0
    engine: str = "local"
    address: str = ""
    device: str = "auto"
    max_minutes: float = 0.0
    only: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    dry_run: bool = False
    progress: bool = True

    def run(self) -> None:
        """Do what is left, or list it."""
        from parrot_wrapper.experiments.plan import make_plan, select_runs
        from parrot_wrapper.experiments.runner import run_grid

        grid = self._grid()
        seeds = self.seeds or grid.rl_seeds
        chosen = select_runs([run for run in grid.runs() if run.rl_seed in seeds], self.only)
        places = Places(
            self.out or Path("results") / grid.folder, self.runs or Path("runs") / grid.folder
        )
        workers = self.workers or _usable_cores()
        if self.dry_run:
            print(_listing(make_plan(grid, chosen, places), places, workers))
            return
        plan = make_plan(grid, chosen, places)
        if plan.left:
            print(_amount(plan, places, workers), flush=True)
        outcome = run_grid(
            grid,
            places,
            runs=chosen,
            workers=workers,
            engine=self.engine,
            address=self.address,
            device=self.device,
            max_minutes=self.max_minutes,
            say=tqdm.write,
            progress=self.progress,
        )
        _conclude(outcome, places, self.max_minutes)

    def _grid(self) -> Grid:
        if bool(self.study) == (self.grid is not None):
            raise InvalidArgumentError(
                f"Expected a study ({', '.join(STUDIES)}) or --grid FILE, and not both, got "
                f"{self.study!r} and {str(self.grid or '')!r}."
            )
        grid = study_grid(self.study, self.setting) if self.grid is None else read_grid(self.grid)
        more = tuple(seed for seed in self.seeds if seed not in grid.rl_seeds)
        return replace(grid, rl_seeds=(*grid.rl_seeds, *more))


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _listing(plan: Plan, places: Places, workers: int) -> str:
    left = {run.id for run in plan.left}
    rows = [[run.id, _state(run, places) if run.id in left else "done"] for run in plan.runs]
    needed = [[a.name, "made"] for a in plan.made] + [[a.name, "to make"] for a in plan.missing]
    parts = [markdown_table(["run", "state"], rows)]
    if needed:
        parts.append(markdown_table(["needed", "state"], needed))
    return "\n\n".join([*parts, _amount(plan, places, workers)])


def _amount(plan: Plan, places: Places, workers: int) -> str:
    done = f"{len(plan.runs) - len(plan.left)} of {len(plan.runs)} runs done"
    if not plan.left:
        return f"{done}."
    about = in_words(plan.seconds_left(places, workers))
    return f"{done}; the others take {about} on {workers} cores, beside what is to be made."


def _state(run: Run, places: Places) -> str:
    from parrot_wrapper.experiments.plan import steps_so_far

    steps = steps_so_far(places.run_folder(run))
    return f"{steps} of {run.env_steps} steps" if steps else "to do"


def _conclude(outcome: Outcome, places: Places, minutes: float) -> None:
    print(f"{places.results}: {outcome.done} of {outcome.total} runs done.")
    if outcome.out_of_time:
        print(f"Stopped after {minutes:g} minutes. The same command goes on.")
    if outcome.failures:
        raise ExperimentError(_failure_message(outcome, places))


def _failure_message(outcome: Outcome, places: Places) -> str:
    told = "; ".join(f"{f.name}: {f.reason} (see {f.log})" for f in outcome.failures)
    others: Sequence[str] = outcome.blocked
    blocked = f" Not tried, because they need those: {', '.join(others)}." if others else ""
    return (
        f"Expected all processes of {places.runs} to end well, but {len(outcome.failures)} failed: "
        f"{told}.{blocked} The same command tries them again."
    )
