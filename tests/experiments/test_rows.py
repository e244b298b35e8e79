"""Result rows: written so that a kill leaves whole lines, checked when read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parrot_wrapper.errors import DataFileError
from parrot_wrapper.experiments.rows import (
    ResultRow,
    Share,
    append_row,
    read_rows,
)
from parrot_wrapper.experiments.run_worker import success_curve

HALF = Share(0.5, 0.4, 0.6, 100)
FACTS: dict[str, Any] = {
    "grid": "main",
    "setting": "laptop",
    "task": "ParrotGraspCup-v0",
    "method": "parrot",
    "prior_seed": 0,
    "rl_seed": 0,
    "data_episodes": 30_000,
    "labels": {"prior_data": "both"},
    "versions": {"numpy": "2"},
    "machine": {"cpu_count": 2, "torch_threads": 1, "processor": "x86_64"},
    "wall_seconds": 12.5,
    "finished": "2025-01-01T00:00:00+00:00",
}
ROW = ResultRow(
    **FACTS,
    config={"gamma": 0.95},
    env_steps=2_000,
    success=HALF,
    success_once=HALF,
    curve=((1_000, 0.25), (2_000, 0.5)),
)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_rows(tmp_path) == []
    rows = [ROW, replace(ROW, rl_seed=1, data_episodes=None, labels={})]
    for row in rows:
        append_row(tmp_path / "results", row)
    assert read_rows(tmp_path / "results") == rows
    assert read_rows(tmp_path / "results" / "rows.jsonl") == rows
    first = json.loads((tmp_path / "results" / "rows.jsonl").read_text().splitlines()[0])
    assert first["format"] == 1
    assert first["success"] == {"value": 0.5, "low": 0.4, "high": 0.6, "episodes": 100}
    assert first["curve"] == [[1000, 0.25], [2000, 0.5]]


def test_exploration_rows_have_a_file_of_their_own(tmp_path: Path) -> None:
    row = ResultRow(**FACTS, lifted=HALF, placed=None, success_once=HALF)
    append_row(tmp_path, row)
    append_row(tmp_path, ROW)
    assert read_rows(tmp_path) == [ROW, row]
    assert read_rows(tmp_path / "exploration.jsonl") == [row]
    assert (row.explores, row.score) == (True, HALF)


def test_torn_last_line_is_left_out_and_then_replaced(tmp_path: Path) -> None:
    append_row(tmp_path, ROW)
    path = tmp_path / "rows.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-1])  # all but the end of the line
    assert read_rows(tmp_path) == [ROW]
    path.write_bytes(whole + whole[:40])
    assert read_rows(tmp_path) == [ROW]
    append_row(tmp_path, replace(ROW, rl_seed=1))
    assert [row.rl_seed for row in read_rows(tmp_path)] == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "reads format 1, found 2; a newer one"),
        ({"success": None}, "success as a mapping"),
        ({"success": {"value": 0.5}}, "success with low, high, episodes, which it lacks"),
        ({"success": {"value": 2, "low": 0, "high": 3, "episodes": 1}}, "0 <= low <= value"),
        ({"success": {"value": 1, "low": 0, "high": 1, "episodes": True}}, "episodes of Share"),
        ({"task": ""}, "task as text"),
        ({"wall_seconds": -1}, "wall_seconds >= 0"),
        ({"curve": [[1000, "x"]]}, "curve of ResultRow as tuple"),
        ({"env_steps": 1.5}, "env_steps of ResultRow as int, got 1.5"),
        ({"rl_seed": True}, "rl_seed of ResultRow as int"),
        ({"data_episodes": -1}, "data_episodes >= 0"),
        ({"wall_seconds": "long"}, "wall_seconds of ResultRow as float"),
        ({"labels": {"a": 1}}, "labels of ResultRow as Mapping"),
        ({"curve": [[1000]]}, "curve of ResultRow as tuple"),
        ({"curve": [[2000, 0.1], [1000, 0.2]]}, "curve with growing env steps"),
        ({"curve": [[1000, 1.5]]}, "curve with growing env steps and shares"),
        ({"colour": "red"}, "unknown: \\['colour'\\]"),
    ],
)
def test_damaged_rows_are_named_by_file_and_line(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    append_row(tmp_path, ROW)
    other = json.dumps({**replace(ROW, rl_seed=1).to_dict(), **change})
    with (tmp_path / "rows.jsonl").open("a") as stream:
        stream.write(other + "\n")
    with pytest.raises(DataFileError, match=rf"rows\.jsonl, line 2: .*{message}"):
        read_rows(tmp_path)


def test_other_damage_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    line = json.dumps(ROW.to_dict()) + "\n"
    for content, message in {
        "{\n": "line 1: expected JSON",
        "[]\n": "line 1: Expected a row as a JSON object",
        line + line: "line 2: expected one row a run, but line 1",
        line.replace('"task"', '"tusk"'): r"missing: \['task'\], unknown: \['tusk'\]",
    }.items():
        path.write_text(content)
        with pytest.raises(DataFileError, match=message):
            read_rows(tmp_path)


def test_curve_is_binned_by_env_steps(tmp_path: Path) -> None:
    episodes = [(25, False), (1_000, True), (1_001, True), (2_400, False), (2_500, True)]
    with (tmp_path / "episodes.jsonl").open("w") as stream:
        for steps, success in episodes:
            row = {"env_steps": steps, "success": success, "success_once": True, "return": 1.0}
            stream.write(json.dumps(row) + "\n")
    assert success_curve(tmp_path, env_steps=2_500) == [(1000, 0.5), (2000, 1.0), (2500, 0.5)]
    assert success_curve(tmp_path / "none", env_steps=2_500) == []
