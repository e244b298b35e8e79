"""Running a grid: real worker processes with real SAC, killed and stopped in the middle."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.errors import DataFileError, InvalidArgumentError
from parrot_wrapper.experiments.artifacts import begin, finish, place_of
from parrot_wrapper.experiments.figures import save_figures
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.grid_folders import Places
from parrot_wrapper.experiments.judged_priors import judged_table
from parrot_wrapper.experiments.page import report_markdown
from parrot_wrapper.experiments.plan import left_row
from parrot_wrapper.experiments.rows import ResultRow, append_row, read_rows
from parrot_wrapper.experiments.run_worker import make_artifact, train_and_score
from parrot_wrapper.experiments.runner import Outcome, run_grid
from parrot_wrapper.experiments.study import load_studies
from parrot_wrapper.priors import load_prior
from parrot_wrapper.rl.checkpoint import list_checkpoints
from parrot_wrapper.rl.evaluation import load_agent
from tests.experiments.toy_grid import ENV_ID, PACKAGE, save_toy_prior, toy_grid
from tests.helpers import wait_for

pytestmark = pytest.mark.slow
SLOW = {"delay": 0.02}
"""A run of the toy grid then takes some seconds of stepping."""


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_toy_prior(tmp_path_factory.mktemp("prior") / "toy")


@pytest.fixture(scope="module")
def unbroken(prior: str, tmp_path_factory: pytest.TempPathFactory) -> list[ResultRow]:
    """The rows of the toy grid, run without any trouble."""
    places = places_in(tmp_path_factory.mktemp("unbroken"))
    outcome = quiet(toy_grid(prior, env_kwargs=SLOW), places, workers=2)
    assert (outcome.done, outcome.failures) == (2, ())
    return sorted_rows(places)


def places_in(folder: Path) -> Places:
    return Places(folder / "results", folder / "runs")


def quiet(grid: Grid, places: Places, **options: Any) -> Outcome:
    return run_grid(grid, places, progress=False, **{"device": "cpu", **options})


def sorted_rows(places: Places) -> list[ResultRow]:
    return sorted(read_rows(places.results), key=lambda row: row.key)


def results(rows: list[ResultRow]) -> list[Any]:
    """What has to be the same however often a grid was stopped."""
    clock = {"wall_seconds": 0.0, "finished": "then"}
    return [replace(row, **clock) for row in rows]


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def has_checkpoint(places: Places) -> bool:
    return bool(list(places.runs.glob("*/*/p0/r0/checkpoints/step-*")))


@contextmanager
def command(grid: Grid, places: Places, tmp_path: Path, *more: str) -> Iterator[Any]:
    """`parrot experiment` in a process of its own, and a function to read its workers' ids."""
    path, log = tmp_path / "grid.json", tmp_path / "out.txt"
    path.write_text(json.dumps(grid.to_dict()))
    words = ["experiment", "--grid", str(path), "--no-progress", "--device", "cpu"]
    words += ["--out", str(places.results), "--runs", str(places.runs), "--workers", "2", *more]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "parrot_wrapper", *words], stdout=stream, stderr=stream
        )

    def workers() -> list[int]:
        lines = log.read_text().splitlines()
        return [int(line.split()[-1]) for line in lines if "started, process" in line]

    try:
        yield process, workers, log
    finally:
        process.kill()
        process.wait()


def test_rows_hold_the_runs_and_nothing_is_done_twice(
    prior: str, unbroken: list[ResultRow], tmp_path: Path
) -> None:
    grid, places = toy_grid(prior, env_kwargs=SLOW), places_in(tmp_path)
    heard: list[str] = []
    outcome = quiet(grid, places, say=heard.append)
    assert outcome == Outcome(done=2, total=2, failures=(), blocked=(), out_of_time=False)
    started = [line.partition(":")[0] for line in heard if "started" in line]
    assert started == [run.id for run in grid.runs()]  # one worker: in order
    rows = read_rows(places.results)
    assert [row.key for row in rows] == [run.key for run in grid.runs()]
    assert results(sorted_rows(places)) == results(unbroken)
    parrot, sac = rows
    assert (parrot.method, parrot.env_steps, parrot.success.episodes) == ("parrot", 96, 3)
    assert parrot.config["raw_actions"] is None and sac.config["raw_actions"] is not None
    assert [steps for steps, _ in parrot.curve] == [96]
    assert parrot.wall_seconds > 0
    assert parrot.machine["torch_threads"] == 1
    assert {"parrot-wrapper", "stable-baselines3", "torch"} <= set(parrot.versions)

    folder = places.run_folder(grid.runs()[0])
    assert not list(folder.glob("checkpoints/*/replay.safetensors"))
    model, env = load_agent(folder)  # what is left is still an agent
    env.close()
    assert model.num_timesteps == 96

    text = (places.results / "rows.jsonl").read_bytes()
    assert quiet(grid, places, say=heard.append).done == 2
    assert (places.results / "rows.jsonl").read_bytes() == text
    assert sum("started" in line for line in heard) == 2

    # rows that are gone come back from what the runs left, without doing them again
    (places.results / "rows.jsonl").unlink()
    assert quiet(grid, places, say=heard.append).done == 2
    assert (places.results / "rows.jsonl").read_bytes() == text
    (folder / "row.json").unlink()
    (places.results / "rows.jsonl").write_bytes(text[: len(text) // 2])
    assert quiet(grid, places, say=heard.append).done == 2
    assert results(sorted_rows(places)) == results(unbroken)


def test_killed_worker_is_a_failure_that_the_next_call_mends(
    prior: str, unbroken: list[ResultRow], tmp_path: Path
) -> None:
    places = places_in(tmp_path)
    grid = toy_grid(prior, env_kwargs=SLOW)
    with command(grid, places, tmp_path) as (process, workers, log):
        wait_for(lambda: has_checkpoint(places))
        os.kill(workers()[0], signal.SIGKILL)
        assert process.wait(60) == 2
        told = log.read_text().splitlines()[-1]
    assert told.startswith("parrot: Expected all processes")
    assert f"{ENV_ID}/parrot/p0/r0: killed by signal 9" in told
    assert len(read_rows(places.results)) == 1  # the other one was not disturbed
    assert quiet(grid, places).failures == ()
    assert results(sorted_rows(places)) == results(unbroken)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_killed_parent_leaves_no_workers_and_goes_on(
    prior: str, unbroken: list[ResultRow], tmp_path: Path
) -> None:
    places = places_in(tmp_path)
    grid = toy_grid(prior, env_kwargs=SLOW)
    with command(grid, places, tmp_path) as (process, workers, _):
        wait_for(lambda: has_checkpoint(places))
        with pytest.raises(DataFileError, match="no one else writes to"):
            quiet(grid, places)
        process.send_signal(signal.SIGKILL)
        process.wait()
        pids = workers()
        assert len(pids) == 2
        wait_for(lambda: not any(map(is_alive, pids)), 10)
    assert read_rows(places.results) == []
    quiet(grid, places, workers=2)
    assert results(sorted_rows(places)) == results(unbroken)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_stopped_parent_stops_its_workers_at_a_checkpoint(
    prior: str, unbroken: list[ResultRow], tmp_path: Path
) -> None:
    places = places_in(tmp_path)
    grid = toy_grid(prior, env_kwargs=SLOW, methods=("parrot",))
    with command(grid, places, tmp_path) as (process, workers, log):
        wait_for(lambda: has_checkpoint(places))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
        assert not any(map(is_alive, workers()))
        assert "goes on where it can" in log.read_text()
    assert read_rows(places.results) == []
    quiet(grid, places)
    assert results(sorted_rows(places)) == results(unbroken)[:1]


def test_time_limit_leaves_what_can_go_on(prior: str, tmp_path: Path) -> None:
    grid, places = toy_grid(prior, env_kwargs={"delay": 0.3}), places_in(tmp_path)
    outcome = quiet(grid, places, max_minutes=0.3, workers=1)
    assert outcome == Outcome(done=0, total=2, failures=(), blocked=(), out_of_time=True)
    first, second = (places.run_folder(run) for run in grid.runs())
    [checkpoint] = list_checkpoints(first / "checkpoints")
    assert json.loads((checkpoint / "checkpoint.json").read_text())["at_episode_start"]
    assert not second.exists()


def test_failing_run_does_not_stop_the_others(prior: str, tmp_path: Path) -> None:
    grid = toy_grid(prior, tasks=("ToyBroken-v0", ENV_ID), methods=("parrot",), env_steps=40)
    places = places_in(tmp_path)
    outcome = quiet(grid, places)
    assert outcome.done == 1
    [failure] = outcome.failures
    assert failure.name == "ToyBroken-v0/parrot/p0/r0"
    assert failure.reason == "RuntimeError: this env is broken"
    assert "Traceback" in failure.log.read_text()
    assert [row.task for row in read_rows(places.results)] == [ENV_ID]


COLLECT = {"env_id": ENV_ID, "gym_packages": [PACKAGE], "shard_attempts": 4}
TINY = {
    "hidden": 8,
    "steps": 4,
    "batch_size": 8,
    "validation_batches": 1,
    "threads": 1,
}


def from_data(**fields: Any) -> Grid:
    values: dict[str, Any] = {
        "prior": "",
        "prior_options": TINY,
        "data": [{"episodes": 4, "collect": COLLECT}],
        "methods": ("parrot",),
        "env_steps": 40,
        **fields,
    }
    return Grid.from_dict({**toy_grid("any").to_dict(), **values})


def test_what_runs_need_is_made_first_and_once(tmp_path: Path) -> None:
    grid, places = from_data(), places_in(tmp_path)
    heard: list[str] = []
    assert quiet(grid, places, say=heard.append).failures == ()
    made = [line.partition(":")[0] for line in heard if "started" in line]
    assert made == ["data", "prior-p0", f"{ENV_ID}/parrot/p0/r0"]
    [row] = read_rows(places.results)
    assert row.data_episodes == 4
    assert row.config["prior"] == str(places.artifacts / "prior-p0" / "prior")
    assert not list((places.artifacts / "making").iterdir())
    _, *words = shlex.split(load_prior(row.config["prior"]).metadata["command"])
    again = [*words, "--out", str(tmp_path / "again"), "--no-progress"]
    assert main(again) == 0
    assert load_prior(tmp_path / "again").metadata["metrics"]["steps"] == 4

    explored = from_data(name="look", kind="exploration", methods=["uniform", "parrot"])
    with pytest.raises(InvalidArgumentError, match="kind: 'rl' there, 'exploration' given"):
        quiet(explored, places)
    looks = places_in(tmp_path / "looks")
    shutil.copytree(places.artifacts, looks.artifacts)
    heard.clear()
    assert quiet(explored, looks, say=heard.append).failures == ()
    assert not any("data" in line or "prior-p0" in line for line in heard)
    rows = read_rows(looks.results)
    assert [row.method for row in rows] == ["uniform", "parrot"]
    assert all(row.lifted is not None and row.lifted.episodes == 3 for row in rows)
    assert all(row.placed is None for row in rows)
    assert (rows[0].data_episodes, rows[1].data_episodes) == (None, 4)

    other = from_data(prior_options={**TINY, "steps": 5})
    others = Places(tmp_path / "others", tmp_path / "others")
    shutil.copytree(places.artifacts, others.artifacts)
    with pytest.raises(InvalidArgumentError, match="prior-p0 was made in another way"):
        quiet(other, others)


def test_priors_are_judged_beside_what_rl_makes_of_them(tmp_path: Path) -> None:
    """Two parts of one kind, each with a row of its own in table and figure; in this process."""
    options = {"chunk-2": {}, "chunk-2-replanned": {"replan": True}}
    grid = from_data(
        methods=[{"name": name, "prior": name} for name in options],
        baseline_options={
            name: {**TINY, "kind": "chunk", "horizon": 2, **one} for name, one in options.items()
        },
        rl_seeds=[0, 1],
        judge_episodes=6,
    )
    assert [run.judge_episodes for run in grid.runs()] == [6, 6, 0, 0]
    runs = grid.runs()[:2]
    made = {artifact.name: artifact for artifact in grid.artifacts(runs)}
    assert list(made) == ["data", "prior-p0", "chunk-2-p0", "chunk-2-replanned-p0"]
    for artifact in made.values():
        begin(artifact, tmp_path)
        make_artifact(artifact, made, tmp_path, 1, "cpu")
        finish(artifact, tmp_path)
    for run in runs:
        folder = tmp_path / run.method.name
        needs = {part: place_of(name, made, tmp_path) for part, name in run.needs.items()}
        train_and_score(run, folder, needs, "cpu")
        row = left_row(run, folder)
        append_row(tmp_path / "rows", row)
        told = row.judged
        assert (told["horizon"], told["nll_is_bound"]) == (2.0, float("replan" in row.method))
        assert 0.0 <= told["samples"] <= 1.0 and 0.0 <= told["clone"] <= 1.0
        assert told["nll"] is not None and told["decision_ms"] > 0 < told["training_minutes"]
    [study] = load_studies([tmp_path / "rows"])
    assert [row.judged for row in study.rows] != [{}, {}]
    text = report_markdown([study])
    [line] = [line for line in text.splitlines() if line.startswith("| chunk-2-replanned | <= ")]
    assert line.count("|") == 10
    assert judged_table(study).header[4:6] == ("SAC at 16", "SAC at 40")
    paths = save_figures(study, tmp_path / "figures")
    assert [path.name for path in paths if "judged" in path.name] == ["toy-tiny-judged.png"]


def test_what_needs_a_failed_part_is_not_tried(tmp_path: Path) -> None:
    broken = [{"episodes": 3, "name": "none", "collect": {**COLLECT, "env_id": "ToyBroken-v0"}}]
    wrong = [{"episodes": 2, "name": "typo", "collect": {**COLLECT, "shard_attempt": 2}}]
    grid = from_data(data=[*broken, *wrong, {"episodes": 4, "collect": COLLECT}])
    places = places_in(tmp_path)
    outcome = quiet(grid, places, workers=2)
    assert (outcome.done, outcome.total) == (1, 3)
    assert {failure.name for failure in outcome.failures} == {"data-none", "data-typo"}
    assert any("Did you mean 'shard_attempts'" in f.reason for f in outcome.failures)
    blocked = {f"{ENV_ID}/parrot/{name}/p0/r0" for name in ("none", "typo")}
    assert set(outcome.blocked) == blocked


def test_arguments_are_checked(prior: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="workers >= 1 and max_minutes >= 0, got 0"):
        quiet(toy_grid(prior), places_in(tmp_path), workers=0)
