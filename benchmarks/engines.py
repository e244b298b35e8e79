"""What engines gain and cost: shards, runs and steps of training a second, as ratios.

    python benchmarks/engines.py

The same shards and runs with one and with more workers, of this machine's own processes and of a
Ray that is started here, beside one process, all in this run; and the steps of a prior's training
under `torchrun`, and with a window of two shards in memory. The last table is what an engine itself
costs: its start with the first task, and each further task that does nothing.
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
from pathlib import Path

from held_commands import ENV_ID, tiny_grid

from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.experiments.places import Places
from parrot_wrapper.experiments.runner import run_grid
from parrot_wrapper.io.executors import Task, engine_maker
from parrot_wrapper.record.collect import ExpertSource, collect

ENGINES = ("local", "ray")
os.environ.update(RAY_worker_niceness="0")  # as local processes have it


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def shards(engine: str, workers: int, count: int, folder: Path) -> float:
    """Seconds of a collection of so many shards."""
    source = ExpertSource(ENV_ID, {"obs": "state"}, ("parrot_envs",), shard_attempts=50)
    return seconds(
        lambda: collect(
            source, n_episodes=50 * count, folder=folder, workers=workers, engine=engine,
            progress=False,
        )
    )  # fmt: skip


def runs(engine: str, workers: int, count: int, folder: Path) -> float:
    """Seconds of a grid of so many runs."""
    grid = tiny_grid(folder / "prior", seeds=count, methods=("parrot",), env_steps=300)
    places = Places(folder / "rows", folder / "runs")

    def work() -> None:
        outcome = run_grid(
            grid, places, workers=workers, engine=engine, device="cpu", progress=False
        )
        assert not outcome.failures, outcome.failures

    return seconds(work)


def steps(processes: int, count: int, data: Path, out: Path, *more: str) -> float:
    """Seconds of so many steps of a prior's training, without what starting takes."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    places = ("--data", str(data), "--out", str(out), "--steps", str(count), "--no-progress")
    command = [sys.executable, *torchrun, "-m", "parrot_wrapper", "train-prior", *places, *more]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return float(json.loads((out / "report.json").read_text())["seconds"])


def own_cost(engine: str, tasks: int) -> tuple[float, float]:
    """Seconds until a first task that does nothing is done, and of each further one."""
    begun = time.perf_counter()
    with closing(engine_maker(engine)()) as made:

        def one() -> None:
            made.submit(Task("nothing", os.getpid))
            while not (ended := made.poll(60.0)):
                pass
            ended[0].result()

        one()
        first = time.perf_counter() - begun
        return first, seconds(lambda: [one() for _ in range(tasks)]) / tasks


def rows(what: str, ways: Sequence[tuple[str, Callable[[], float]]], count: int) -> list[list[str]]:
    """A row for each way, as ratios to the first."""
    found = [(name, count / measure()) for name, measure in ways]
    return [[what, name, f"{rate:.3g}", f"{rate / found[0][1]:.2f}"] for name, rate in found]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=400, help="of the training of a prior")
    parser.add_argument("--tasks", type=int, default=20, help="that do nothing")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)  # paths that are carried are relative
        ways = [(engine, workers) for engine in ENGINES for workers in args.workers]
        found = [
            row
            for what, measure, count in (("shards", shards, args.shards), ("runs", runs, args.runs))
            for row in rows(
                what,
                [
                    (f"{e}, {w}", lambda e=e, w=w, m=measure, c=count: m(e, w, c, Path(f"{e}{w}")))
                    for e, w in ways
                ],
                count,
            )
        ]
        data = Path(f"local{args.workers[0]}")
        torchrun = [
            (f"torchrun, {w}", lambda w=w: steps(w, args.steps, data, Path(f"prior{w}")))
            for w in args.workers
        ]
        window = ("window", lambda: steps(1, args.steps, data, Path("window"), "--shards", "2"))
        found += rows("steps", [*torchrun, window], args.steps)
        print(markdown_table(["what", "engine, workers", "a second", "of the first"], found))
        costs = [[e, *(f"{s:.3g}" for s in own_cost(e, args.tasks))] for e in ENGINES]
        print(markdown_table(["engine", "s to the first task", "s for each further one"], costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
