"""kill -9 at random moments of collect, train-prior, train and experiment, then go on.

    python benchmarks/kill_and_resume.py --out kills.json

Tiny work of each kind is begun in a fresh folder, killed and begun again until it ends; then the
next folder, until so many kills are made. After every kill all files that count are read: none may
be torn, and nothing that was finished may be missing. At the end the result has to equal that of
an unbroken run: data, weights and replay buffers bit for bit, logs and rows but for their clocks.
No process may outlive the killed one. Moments follow from `--seed`. The script itself may be
killed: it goes on with the kills that the file of `--out` lacks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kill_scenarios import Scenario, lost, prepare, scenarios

from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.io.atomic_files import write_json

SHARES = {"collect": 0.3, "train-prior": 0.3, "train": 0.3, "experiment": 0.1}
ORPHAN_SECONDS = 120.0  # a worker that is still being born has to get so far first
SESSION = "PARROT_KILL_SESSION"


class Process:
    """Work in a forked process, at the head of a session of its own."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.pid = os.fork()
        if not self.pid:
            code = 1
            try:
                os.setsid()
                os.environ[SESSION] = str(os.getpid())  # the workers of a grid leave the session
                # spawned workers would import this script and all that it imports
                vars(sys.modules["__main__"]).pop("__file__", None)
                log = os.open(folder.parent / "output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(log, 1)
                os.dup2(log, 2)
                scenario.work(folder)
                code = 0
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
            finally:
                os._exit(code)

    def wait(self, seconds: float) -> int | None:
        """Its exit code, or None if it is still at work after so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        return None

    def kill(self) -> None:
        """Kill it alone, not those that it started."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def orphans(self) -> bool:
        """Whether a process that it started outlives it."""
        end = time.monotonic() + ORPHAN_SECONDS
        while _descends(self.pid):
            if time.monotonic() > end:
                return True
            time.sleep(0.05)
        return False


def _descends(session: int) -> bool:
    """Whether a process of this session, or of one begun in it by a worker, is alive."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{SESSION}={session}\0".encode() in path.read_bytes():
                return True
            stat = (path.parent / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat[3]) == session and stat[0] != "Z":
            return True
    return False


def unbroken(scenario: Scenario, folder: Path) -> tuple[Any, float]:
    """The result of a run without kills, and its seconds."""
    folder.mkdir(parents=True)
    started = time.perf_counter()
    if Process(scenario, folder).wait(3_600.0) != 0:
        raise SystemExit(f"The unbroken run failed; see {folder.parent / 'output.log'}.")
    return scenario.result(folder), time.perf_counter() - started


def cycle(
    scenario: Scenario, folder: Path, expected: Any, seconds: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """One folder, from the first start to the end: a row for each kill."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    before: Any = {}
    while True:
        process = Process(scenario, folder)
        moment = float(rng.uniform(0.0, seconds))
        code = process.wait(moment)
        if code is None:
            process.kill()
            row: dict[str, Any] = {"seconds": moment, "wrong": []}
            rows.append(row)
            if process.orphans():
                row["wrong"].append("a process outlived the killed one")
        elif code:
            rows.append({"seconds": moment, "wrong": [f"ended with {code}; see output.log"]})
            return rows
        try:
            after = scenario.finished(folder)
        except Exception as error:
            rows[-1]["wrong"].append(f"{type(error).__name__}: {error}")
            return rows
        missing = lost(before, after)
        if missing and rows:
            rows[-1]["wrong"].append(f"lost: {missing}")
        before = after
        if code == 0:
            if rows and scenario.result(folder) != expected:
                rows[-1]["wrong"].append("the result is not that of an unbroken run")
            return rows


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Kills of each command, and what was wrong."""
    header = ["command", "kills", "finished work lost or files torn", "other results"]
    rows = []
    for name, kills in results.items():
        wrong = [text for row in kills for text in row["wrong"]]
        other = sum("result" in text for text in wrong)
        rows.append([name, str(len(kills)), str(len(wrong) - other), str(other)])
    sums = [str(sum(int(row[i]) for row in rows)) for i in (1, 2, 3)]
    return markdown_table(header, [*rows, ["all", *sums]])


def main(argv: Sequence[str] | None = None) -> int:
    """Kill, print the table; 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200, help="of all commands together")
    parser.add_argument("--only", nargs="*", default=list(SHARES), help="commands")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, help="JSON file of the results")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    known = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    results: dict[str, list[dict[str, Any]]] = {name: known.get(name, []) for name in args.only}
    share = sum(SHARES[name] for name in args.only)
    with tempfile.TemporaryDirectory() as root:
        shared = Path(root)
        prepare(shared)
        for name, scenario in scenarios(shared).items():
            wanted = round(args.kills * SHARES[name] / share) if name in args.only else 0
            if len(results.get(name, [])) >= wanted:
                continue
            expected, seconds = unbroken(scenario, shared / name / "unbroken")
            while len(results[name]) < wanted:
                rng = np.random.default_rng([args.seed, len(results[name])])
                rows = cycle(scenario, shared / name / "killed", expected, seconds, rng)
                results[name] += rows[: wanted - len(results[name])]
                if args.out:
                    write_json(args.out, results)
    print(table(results))
    wrong = [f"{name}: {t}" for name, kills in results.items() for k in kills for t in k["wrong"]]
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
