"""Another package's prior and encoder: trained, judged, wrapped, in RL and in a study."""

import importlib
import os
import shutil
import sys
from dataclasses import make_dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv

from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
)
from parrot_wrapper.cli import main
from parrot_wrapper.data import load_dataset
from parrot_wrapper.errors import CheckpointError, InvalidArgumentError, MissingExtraError
from parrot_wrapper.experiments.grid import Grid, PriorData
from parrot_wrapper.experiments.grid_folders import Places
from parrot_wrapper.experiments.rows import read_rows
from parrot_wrapper.experiments.runner import run_grid
from parrot_wrapper.priors import load_prior
from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.encoders import Encoder, build_encoder
from parrot_wrapper.priors.registry import ENCODERS, PRIORS
from parrot_wrapper.priors.trainable import prior_kind
from parrot_wrapper.registry import Registry
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.types import ObservationSpec
from tests.expert_env import ENV_ID
from tests.project_file import tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "examples" / "own_prior_package"
NAME = "parrot_flow_matching"
EXPERTS = "tests.expert_env"
FEW = ["--steps", "4", "--batch-size", "8", "--threads", "1", "--device", "cpu", "--no-progress"]
KIND = ["--kind", "my-flow-matching", "--encoder", "pooled", "--encoder-options", "cells=3"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory):
    """The package as pip would leave it: the file, and its entry points beside it."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(PACKAGE / f"{NAME}.py", site)
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"{NAME}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 0.1.0\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))
        importlib.invalidate_caches()
        yield
        PRIORS._defined.pop("my-flow-matching", None)
    sys.modules.pop(NAME, None)


@pytest.fixture(scope="module")
def data(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "data"
    collect = ["--env-id", ENV_ID, "--gym-packages", EXPERTS, "--episodes", "12"]
    options = ["--out", str(folder), "--workers", "1", "--shard-attempts", "8", "--no-progress"]
    assert main(["collect", *collect, *options]) == 0
    return folder


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    assert main(["train-prior", *KIND, "--data", str(data), "--out", str(data.parent), *FEW]) == 0
    return data.parent


def test_the_example_is_small() -> None:
    assert sum(len(p.read_text().splitlines()) <= 80 for p in PACKAGE.glob("*.py")) == 1


def test_it_is_trained_and_loaded(run: Path) -> None:
    prior = load_prior(run)
    assert (prior.type_tag, prior.config.encoder) == ("my-flow-matching", "pooled")
    assert prior.feature_dim == 27
    assert prior.metadata["metrics"]["validation"].keys() == {"velocity"}
    assert "--kind my-flow-matching" in prior.metadata["command"]


def test_it_learns(data: Path) -> None:
    """Three lines of Python from data to a prior whose samples are like the data."""
    dataset = load_dataset(data)
    prior = prior_kind("my-flow-matching").for_data(dataset, encoder="pooled")
    settings = PriorTrainingConfig(steps=300, batch_size=64, learning_rate=3e-3, threads=1)
    report = fit_prior(prior, dataset, settings, progress=False)
    losses = [row["validation"]["velocity"] for row in report.history]
    assert report.validation["velocity"] == min(losses) < 1.5


def test_it_is_judged(run: Path, tmp_path: Path) -> None:
    env = ["--env-id", ENV_ID, "--gym-packages", EXPERTS]
    few = ["--episodes", "1", "--expert-episodes", "3", "--gif-episodes", "0"]
    command = ["eval-prior", "--prior", str(run), *env, *few, "--trajectories", "1"]
    assert main([*command, "--out", str(tmp_path / "judged"), "--no-progress"]) == 0


def test_it_is_wrapped_in_all_three_ways(run: Path) -> None:
    def make() -> gym.Env:
        return gym.make(ENV_ID)

    u = np.array([0.3, -0.4], np.float32)
    single = BehavioralPriorWrapper(make(), str(run))
    single.reset(seed=3)
    expected = single.step(u)[4]["parrot/action"]
    vector = BehavioralPriorVectorWrapper(gym.vector.SyncVectorEnv([make, make]), str(run))
    vector.reset(seed=[3, 4])
    np.testing.assert_allclose(
        vector.step(np.stack([u, u]))[4]["parrot/action"][0], expected, atol=1e-5
    )
    vec = BehavioralPriorVecWrapper(DummyVecEnv([make, make]), str(run))
    vec.seed(3)
    vec.reset()
    np.testing.assert_allclose(
        vec.step(np.stack([u, u]))[3][0]["parrot/action"], expected, atol=1e-5
    )


def test_it_is_used_by_parrot_train(run: Path, tmp_path: Path) -> None:
    command = ["train", "--env-id", f"{EXPERTS}:{ENV_ID}", "--prior", str(run), "--kl", "2"]
    few = ["--total-steps", "40", "--episodes", "1", "--device", "cpu", "--no-progress"]
    assert main([*command, "--out", str(tmp_path / "agent"), *few]) == 0


@pytest.mark.slow
def test_it_is_a_method_of_a_study(run: Path, tmp_path: Path) -> None:
    options = {"encoder": "pooled", "steps": 4, "batch_size": 8}
    grid = Grid(
        "own",
        "tiny",
        (ENV_ID,),
        ("my-flow-matching",),
        rl_seeds=(0,),
        data=(PriorData(12, folder=str(run / "data")),),
        shared_encoder=False,
        baseline_options={"my-flow-matching": options},
        env_steps=40,
        evaluation_episodes=1,
        rl={"learning_starts": 16, "batch_size": 8, "net_arch": [8]},
        gym_packages=(EXPERTS,),
    )
    places = Places(tmp_path / "results", tmp_path / "runs")
    outcome = run_grid(grid, places, progress=False, device="cpu")
    assert (outcome.done, outcome.failures) == (1, ())
    [row] = read_rows(places.results)
    assert row.method == "my-flow-matching"
    assert load_prior(tmp_path / "runs" / "artifacts" / "my-flow-matching-p0").feature_dim == 12


class TestEncoders:
    IMAGE = ObservationSpec(image=(6, 5, 3), proprio=2)

    def test_a_backbone_is_never_trained(self, data: Path, monkeypatch) -> None:
        backbone = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(90, 4))
        before = backbone[1].weight.clone()
        monkeypatch.setitem(ENCODERS._defined, "mine", lambda: backbone)
        dataset = load_dataset(data)
        prior = prior_kind("flow").for_data(dataset, encoder="mine", hidden=8)
        fit_prior(prior, dataset, PriorTrainingConfig(steps=3, batch_size=8), progress=False)
        assert torch.equal(prior.encoder.module[1].weight, before)
        assert not prior.train().encoder.module.training

    def test_vectors_stand_after_the_features(self, installed: None) -> None:
        encoder = build_encoder("pooled", self.IMAGE, {"cells": 1})
        encoder.initialise({"proprio": torch.tensor([[1.0, 0.0], [3.0, 0.0]])})
        image = torch.full((1, 6, 5, 3), 51, dtype=torch.uint8)
        seen = {"image": image, "proprio": torch.tensor([[3.0, 2.0]])}
        torch.testing.assert_close(encoder(seen), torch.tensor([[0.2, 0.2, 0.2, 1.0, 2.0]]))

    @pytest.mark.parametrize(
        ("made", "message"),
        [
            (torch.nn.Linear(2, 3), "expected other observations"),
            (torch.nn.Identity(), r"features \(B, D\) of the encoder 'mine'"),
            ("text", "as a torch.nn.Module, got 'text'"),
        ],
    )
    def test_what_is_no_encoder(self, made: object, message: str, monkeypatch) -> None:
        monkeypatch.setitem(ENCODERS._defined, "mine", lambda: made)
        with pytest.raises(InvalidArgumentError, match=message):
            build_encoder("mine", self.IMAGE, {})


class TestMistakes:
    def test_a_name_that_is_taken(self) -> None:
        with pytest.raises(InvalidArgumentError, match=r"new name .* got 'flow'"):
            type("Other", (EncoderPrior,), {"type_tag": "flow"})
        with pytest.raises(InvalidArgumentError, match=r"new name .* got 'state'"):
            type("Other", (Encoder,), {"name": "state"})

    def test_an_entry_point_that_leads_nowhere(self) -> None:
        registry = Registry("kind", "no.such.group", {"lost": "parrot_wrapper.nowhere:Class"})
        with pytest.raises(MissingExtraError, match="'lost' at parrot_wrapper.nowhere:Class"):
            registry.get("lost")

    def test_an_option_that_the_training_has_too(self, monkeypatch, capsys) -> None:
        config = make_dataclass("Config", [("steps", int, 3)], bases=(PriorConfig,), frozen=True)
        kind = type("Clash", (EncoderPrior,), {"type_tag": "clash", "config_class": config})
        monkeypatch.setitem(PRIORS._defined, "clash", kind)
        assert main(["train-prior", "--kind", "clash", "--data", "x"]) == 2
        assert "steps" in capsys.readouterr().err

    def test_what_is_no_kind(self, monkeypatch) -> None:
        monkeypatch.setitem(PRIORS._defined, "number", 3)
        with pytest.raises(InvalidArgumentError, match="subclass of EncoderPrior, got 3"):
            prior_kind("number")

    def test_a_folder_of_a_package_that_is_gone(self, run: Path, monkeypatch) -> None:
        monkeypatch.setattr(PRIORS, "_group", "no.such.group")
        monkeypatch.setattr(PRIORS, "_defined", {})
        with pytest.raises(CheckpointError, match="needs the package that offers it"):
            load_prior(run)
