"""The examples run from top to bottom, with tiny numbers."""

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = {path.name: path for path in sorted((ROOT / "examples").glob("*.py"))}


def run(name: str, *args: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *args])
    runpy.run_path(str(EXAMPLES[name]), run_name="__main__")


def test_all_are_tested_and_short() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert EXAMPLES
    for name, path in EXAMPLES.items():
        assert f'"{name}"' in source
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 80


def test_wrap_any_env(monkeypatch, capsys) -> None:
    run("01_wrap_any_env.py", "--episodes", "3", "--steps", "20", monkeypatch=monkeypatch)
    assert "return of random latents" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::parrot_wrapper.errors.UntaughtWarning")  # few episodes
def test_train_prior(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("pybullet")
    few = ["--episodes", "8", "--steps", "5", "--batch-size", "16", "--rollouts", "1"]
    out = ["--out", str(tmp_path), "--workers", "1"]
    run("02_train_prior.py", *few, *out, monkeypatch=monkeypatch)
    assert "samples of the prior: an object is lifted" in capsys.readouterr().out
    assert (tmp_path / "prior" / "prior.json").is_file()


def test_sac_in_latent_space(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("pybullet")
    monkeypatch.chdir(tmp_path)
    few = ["--steps", "60", "--rollouts", "1"]
    run("03_sac_in_latent_space.py", *few, monkeypatch=monkeypatch)
    assert "success on some step" in capsys.readouterr().out


def test_own_task(monkeypatch, capsys) -> None:
    pytest.importorskip("pybullet")
    run("04_own_task.py", "--episodes", "6", monkeypatch=monkeypatch)
    landed = re.search(r"landed a rocket in (\d) of 6", capsys.readouterr().out)
    assert int(landed[1]) >= 3
    source = EXAMPLES["04_own_task.py"].read_text(encoding="utf-8")
    assert len(source.splitlines()) < 60


def test_sac_in_one_file(monkeypatch, capsys) -> None:
    pytest.importorskip("pybullet")
    few = ["--steps", "60", "--warm-up", "40"]
    run("05_sac_in_one_file.py", *few, monkeypatch=monkeypatch)
    assert re.search(r"success in the last 50 episodes: \d+%", capsys.readouterr().out)


@pytest.mark.filterwarnings("ignore::parrot_wrapper.errors.UntaughtWarning")  # few episodes
def test_images_alone(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(EXAMPLES["coin_puck.py"].parent)
    few = ["--episodes", "8", "--prior-steps", "5", "--batch-size", "16", "--steps", "60"]
    out = ["--out", str(tmp_path), "--rollouts", "1"]
    run("06_images_alone.py", *few, *out, monkeypatch=monkeypatch)
    assert "the red coin: success" in capsys.readouterr().out


def test_onnx(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("onnxscript")
    out = ["--out", str(tmp_path / "agent.onnx")]
    run("08_onnx.py", "--steps", "110", *out, monkeypatch=monkeypatch)
    difference = re.search(r"largest difference: (\S+)", capsys.readouterr().out)
    assert float(difference[1]) < 1e-5


@pytest.mark.filterwarnings("ignore")  # LeRobot's packages warn of each other
def test_lerobot_diffusion(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("lerobot")
    monkeypatch.syspath_prepend(EXAMPLES["two_marks.py"].parent)
    few = ["--policy-steps", "30", "--steps", "500", "--rollouts", "2"]
    run("07_lerobot_diffusion.py", "--out", str(tmp_path), *few, monkeypatch=monkeypatch)
    assert "SAC in its noise: at the mark" in capsys.readouterr().out
