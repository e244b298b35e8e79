"""Trainings on Weights & Biases, offline: what its file holds afterwards."""

import json
import os
import struct

import numpy as np
import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.io.tracking import PROJECT_VARIABLE, tracked
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.types import ObservationSpec
from tests.training.toy_rl import toy_config, toy_train

wandb = pytest.importorskip("wandb")
pytestmark = pytest.mark.filterwarnings("ignore")
BLOCK = 32 * 1024


@pytest.fixture(autouse=True)
def switched_on(monkeypatch, tmp_path):
    monkeypatch.setenv(PROJECT_VARIABLE, "priors")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)


def records(folder):
    """What offline runs wrote, in order: records of protobuf in a log of LevelDB's format."""
    from wandb.proto.wandb_internal_pb2 import Record

    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"), key=os.path.getmtime):
        content, place, whole = path.read_bytes(), 7, b""  # behind its own header
        while place + 7 <= len(content):
            if BLOCK - place % BLOCK < 7:
                place += BLOCK - place % BLOCK
                continue
            length, kind = struct.unpack_from("<HB", content, place + 4)
            whole += content[place + 7 : place + 7 + length]
            place += 7 + length
            if kind in (1, 4):  # whole, or its last part
                record = Record()
                record.ParseFromString(whole)
                whole = b""
                yield record


def logged(folder):
    """Names of all numbers, and the settings and project of the run."""
    keys, config, project = set(), {}, ""
    for record in records(folder):
        keys |= {item.key or ".".join(item.nested_key) for item in record.history.item}
        if record.HasField("run"):
            project = record.run.project
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
    return keys, config, project


def test_an_rl_run_is_logged_and_goes_on(tmp_path):
    folder = tmp_path / "run"
    toy_train(toy_config(total_steps=120), folder)
    keys, config, project = logged(folder)
    assert {"train/actor_loss", "rollout/success_rate"} <= keys
    assert (project, config["total_steps"], config["kl"]) == ("priors", 120, "auto")
    toy_train(toy_config(total_steps=180), folder)
    ids = {record.run.run_id for record in records(folder) if record.HasField("run")}
    assert len(ids) == 1


def test_a_prior_is_logged(tmp_path):
    rng = np.random.default_rng(0)
    data = EpisodeDataset.from_arrays(
        rng.normal(size=(44, 2)), rng.uniform(-1, 1, (40, 1)), [10] * 4
    )
    config = PriorTrainingConfig(steps=4, batch_size=8, log_every=1)
    own = {"run_folder": tmp_path / "prior", "progress": False}
    fit_prior(FlowPrior.for_data(data, hidden=8), data, config, **own)
    keys, told, _ = logged(tmp_path / "prior")
    assert any("nll" in key for key in keys) and told["kind"] == "flow"


def test_held_out_episodes_are_filmed(tmp_path):
    box = {"action_low": (-2.0,), "action_high": (2.0,)}
    prior = FlowPrior(FlowPriorConfig(ObservationSpec(state=3), 1, "state", hidden=8, **box))
    prior.save(tmp_path / "prior")
    own = ["--env-id", "Pendulum-v1", "--env-kwargs", "max_episode_steps=8"]
    few = ["--total-steps", "60", "--learning-starts", "20", "--episodes", "1", "--no-progress"]
    small = ["--batch-size", "8", "--net-arch", "8"]
    assert main(["train", "--prior", "prior", "--out", "run", *own, *few, *small]) == 0
    assert "evaluation/film.path" in logged(tmp_path / "run")[0]
    assert list((tmp_path / "run").glob("wandb/offline-run-*/files/media/videos/**/*.gif"))


def test_without_the_switch_nothing_is_logged(tmp_path, monkeypatch):
    monkeypatch.delenv(PROJECT_VARIABLE)
    with tracked(tmp_path) as run:
        assert run is None
    assert not list(tmp_path.iterdir())
