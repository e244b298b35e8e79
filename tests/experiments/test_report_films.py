"""`parrot report --film`: agents of runs filmed into the page."""

from pathlib import Path

import pytest

from parrot_wrapper.cli import main
from tests.experiments.synthetic_rows import row, write_rows

pytest.importorskip("pybullet")

ENV_ID = "ParrotGraspCup-v0"


def test_report_films_what_has_no_film(prior_folder: str, tmp_path: Path, capsys) -> None:
    run = tmp_path / "runs" / ENV_ID / "parrot" / "p0" / "r0"
    train = ["train", "--env-id", ENV_ID, "--prior", prior_folder, "--out", str(run)]
    assert main([*train, "--total-steps", "25", "--episodes", "0", "--no-progress"]) == 0
    rows = [row(ENV_ID, method, 0) for method in ("parrot", "sac")]
    page = tmp_path / "page.html"
    report = ["report", str(write_rows(tmp_path / "rows", rows)), "--out", str(page)]
    report += ["--runs", str(tmp_path / "runs"), "--film"]
    capsys.readouterr()
    assert main(report) == 0
    film = run / "held-out.gif"
    assert str(film) in capsys.readouterr().out
    assert 1_000 < film.stat().st_size < 200_000
    assert page.read_text(encoding="utf-8").count("data:image/gif;base64,") == 1
    made = film.stat().st_mtime_ns
    assert main(report) == 0
    assert film.stat().st_mtime_ns == made
