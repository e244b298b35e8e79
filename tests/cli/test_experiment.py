"""`parrot experiment`: what it lists, and users' mistakes."""

import json
import re
from pathlib import Path

import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.experiments.grid import Grid, PriorData
from parrot_wrapper.experiments.grid_folders import Places
from parrot_wrapper.experiments.plan import make_plan
from parrot_wrapper.experiments.studies import study_grid
from parrot_wrapper.experiments.study import load_rows
from tests.experiments.toy_grid import ENV_ID, save_toy_prior, toy_grid

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_dry_run_lists_runs_and_touches_nothing(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = ["--only", "method=parrot,method=hirl", "task=ParrotGraspCup-v0"]
    command = ["experiment", "main", "--dry-run", "--workers", "2", *only]
    assert main([*command, "--seeds", "4", "1"]) == 0
    shown = capsys.readouterr().out
    runs = re.findall(r"^\| (Parrot\S+) +\| to do", shown, re.M)
    assert runs == [
        "ParrotGraspCup-v0/parrot/p0/r1",
        "ParrotGraspCup-v0/hirl/p0/r1",
        "ParrotGraspCup-v0/parrot/p0/r4",
        "ParrotGraspCup-v0/hirl/p0/r4",
    ]
    assert re.search(r"^\| cvae-p0 +\| to make \|$", shown, re.M)
    assert "0 of 4 runs done; the others take about 12 min on 2 cores" in shown
    assert not list(workplace.iterdir())


@pytest.mark.parametrize("study", ["main", "exploration"])
def test_without_rows_a_study_takes_what_its_committed_rows_took(
    study: str, tmp_path: Path
) -> None:
    grid, places = study_grid(study, "laptop"), Places(tmp_path / "rows", tmp_path / "runs")
    took = sum(row.wall_seconds for row in load_rows(ROOT / "results" / f"{study}-laptop"))
    told = make_plan(grid, grid.runs(), places).seconds_left(places, workers=2)
    assert told == pytest.approx(took / 2, rel=0.02)


@pytest.mark.slow
def test_grid_file_from_start_to_end(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = toy_grid(save_toy_prior(workplace / "prior"), methods=("parrot",), env_steps=40)
    Path("mine.json").write_text(json.dumps(grid.to_dict()))
    command = ["experiment", "--grid", "mine.json", "--no-progress", "--device", "cpu"]
    assert main([*command, "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert f"{ENV_ID}/parrot/p0/r0: done, 1 of 1" in shown
    assert f"{Path('results/toy-tiny')}: 1 of 1 runs done." in shown
    assert main([*command, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^\| ToyReach-v0/parrot/p0/r0 +\| done", shown, re.M)
    assert "1 of 1 runs done." in shown
    assert json.loads(Path("results/toy-tiny/grid.json").read_text()) == grid.to_dict()
    assert main([*command, "--seeds", "3", "--only", "method=parrot"]) == 0
    assert "1 of 1 runs done" in capsys.readouterr().out
    kept = json.loads(Path("results/toy-tiny/grid.json").read_text())
    assert kept == {**grid.to_dict(), "rl_seeds": [*grid.rl_seeds, 3]}  # a report counts all
    Path("mine.json").write_text(json.dumps({**grid.to_dict(), "env_steps": 50}))
    assert main(command) == 2
    assert "env_steps: 40 there, 50 given" in capsys.readouterr().err


def test_examples_of_the_page_are_grids() -> None:
    text = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
    grid, data = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.S))
    assert len(Grid.from_dict(grid).runs()) == 12
    assert PriorData(**data).name == "5k"
