"""What engines gain and cost: shards, runs and steps of training a second, as ratios.

    python benchmarks/engines.py

The same shards and runs with one and with more workers, of this machine's own processes and of a
Ray that is started here, as ratios to one process, all in this run; and the steps of a prior's
training under `torchrun`, and with a window of two shards in memory. What starts once is left out:
shards and runs count from the moment when as many are done as there are workers. The last table is
what an engine itself costs: its start with the first task, and each further task that does nothing,
one after the other and as many at a time as there are workers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path

from held_commands import ENV_ID, tiny_grid

from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.experiments.grid_folders import Places
from parrot_wrapper.experiments.runner import run_grid
from parrot_wrapper.io.executors import Task, engine_maker
from parrot_wrapper.record.collect import ExpertSource, collect

ENGINES = ("local", "ray")
os.environ.update(
    RAY_worker_niceness="0",  # as local processes have it
    RAY_raylet_start_wait_time_s="300",  # machines may be busy
)


def rate(done: Sequence[float], workers: int) -> float:
    """How many are done a second, by the moments at which they were, without the first ones."""
    times = sorted(done)
    return (len(times) - workers) / (times[-1] - times[workers - 1])


def shards(engine: str, workers: int, count: int, folder: Path) -> float:
    """Shards a second of a collection of so many."""
    source = ExpertSource(ENV_ID, {"obs": "state"}, ("parrot_envs",), shard_attempts=50)
    collect(
        source, n_episodes=50 * count, folder=folder, workers=workers, engine=engine, progress=False
    )  # fmt: skip
    return rate([file.stat().st_mtime for file in folder.glob("shard-*.json")], workers)


def runs(engine: str, workers: int, count: int, folder: Path) -> float:
    """Runs a second of a grid of so many."""
    grid = tiny_grid(folder / "prior", seeds=count, methods=("parrot",), env_steps=300)
    places = Places(folder / "rows", folder / "runs")
    done: list[float] = []

    def note(line: str) -> None:
        if ": done, " in line:
            done.append(time.time())

    outcome = run_grid(
        grid, places, workers=workers, engine=engine, device="cpu", say=note, progress=False
    )
    assert not outcome.failures, outcome.failures
    return rate(done, workers)


def steps(processes: int, *more: str, count: int, data: Path, out: Path) -> float:
    """Steps a second of a prior's training."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    places = ("--data", str(data), "--out", str(out), "--steps", str(count), "--no-progress")
    command = [sys.executable, *torchrun, "-m", "parrot_wrapper", "train-prior", *places, *more]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return count / float(json.loads((out / "report.json").read_text())["seconds"])


def own_cost(engine: str, tasks: int, workers: int) -> list[float]:
    """Seconds of tasks that do nothing.

    Returns:
        Until the first one is done; for each of `tasks` more, one after the other; for each of as
        many again, `workers` at a time.
    """
    moments = [time.perf_counter()]
    with closing(engine_maker(engine)()) as made:
        for count, at_a_time in ((1, 1), (workers, workers), (tasks, 1), (tasks, workers)):
            running, left = 0, count
            while running or left:
                more = min(left, at_a_time - running)
                for _ in range(more):
                    made.submit(Task("nothing", os.getpid))
                ended = made.poll(60.0)
                running, left = running + more - len(ended), left - more
                for task in ended:
                    task.result()
            moments.append(time.perf_counter())
    first, _, further, together = (b - a for a, b in pairwise(moments))
    return [first, further / tasks, together / tasks]


def rows(what: str, ways: Sequence[tuple[str, Callable[[], float]]]) -> list[list[str]]:
    """A row for each way, as ratios to the first."""
    found = [(name, measure()) for name, measure in ways]
    return [[what, name, f"{rate:.3g}", f"{rate / found[0][1]:.2f}"] for name, rate in found]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=400, help="of the training of a prior")
    parser.add_argument("--tasks", type=int, default=50, help="that do nothing")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)  # paths that are carried are relative
        ways = [(engine, workers) for engine in ENGINES for workers in args.workers]
        found: list[list[str]] = []
        for what, measure, count in (("shards", shards, args.shards), ("runs", runs, args.runs)):
            found += rows(
                what,
                [
                    (f"{e}, {w}", partial(measure, e, w, count, Path(f"{what}-{e}{w}")))
                    for e, w in ways
                ],
            )
        train = partial(steps, count=args.steps, data=Path(f"shards-local{args.workers[0]}"))
        torchrun = [
            (f"torchrun, {w}", partial(train, w, out=Path(f"prior{w}"))) for w in args.workers
        ]
        window = partial(train, 1, "--shards", "2", out=Path("window"))
        found += rows("steps", [*torchrun, ("torchrun, 1, a window", window)])
        print(markdown_table(["what", "engine, workers", "a second", "of the first"], found))
        most = max(args.workers)
        costs = [[e, *(f"{s:.3g}" for s in own_cost(e, args.tasks, most))] for e in ENGINES]
        header = ["engine", "s to the first task", "s for each further one", f"{most} at a time"]
        print(markdown_table(header, costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
