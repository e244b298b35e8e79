"""The packaged prior does on novel objects what its card says."""

import json
from importlib.resources import files

import gymnasium as gym
import numpy as np
import pytest

import parrot_envs
from parrot_table.layout import LENGTH
from parrot_wrapper import load_prior
from parrot_wrapper.evaluation.policies import PriorSamples
from parrot_wrapper.evaluation.rollouts import evaluate
from parrot_wrapper.priors.flow import FlowPrior

FOLDER = files("parrot_wrapper") / "assets" / "priors" / "parrot-v0"


@pytest.fixture(scope="module")
def prior() -> FlowPrior:
    loaded = load_prior("parrot-v0")
    assert isinstance(loaded, FlowPrior)
    return loaded


def test_is_small_and_has_its_card() -> None:
    sizes = {entry.name: len(entry.read_bytes()) for entry in FOLDER.iterdir()}
    assert sum(sizes.values()) < 8 * 2**20
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "parrot collect" in card
    assert "parrot eval-prior" in card


def test_card_and_header_agree(prior: FlowPrior) -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert prior.metadata["data"]["sha256"] in card
    assert f"{prior.metadata['data']['episodes']:,}" in card
    assert f"{prior.metadata['metrics']['validation_nll']:.2f} nats" in card


def test_was_trained_on_training_objects_through_this_camera(prior: FlowPrior) -> None:
    assert prior.metadata["env_id"] == "ParrotMultiTask-v0"
    env = gym.make("ParrotGraspCup-v0")
    assert prior.metadata["camera"] == json.loads(json.dumps(env.unwrapped.camera_spec()))
    env.close()


def test_samples_lift_novel_objects(prior: FlowPrior) -> None:
    env = gym.make("ParrotGraspCup-v0")
    samples = PriorSamples(env, prior)
    result = evaluate(samples, env, episodes=40, on_reset=samples.begin).to_dict()
    assert result["any_lifted"]["value"] > 0.6  # 0.85 on 100 episodes
    env.close()


@pytest.mark.parametrize("env_id", ["ParrotGraspCup-v0", "ParrotPlaceCanInPan-v0"])
def test_features_know_where_a_novel_container_is(prior: FlowPrior, env_id: str) -> None:
    assert env_id in parrot_envs.ENV_IDS
    env = gym.make(env_id)
    images, places = [], []
    for seed in range(40):
        images.append(env.reset(seed=seed)[0])
        labels = env.unwrapped.privileged_labels()
        places.append(labels["landmarks"][-1] - labels["gripper"][:3])
    slot = prior.features(np.stack(images))[:, 5:9]
    error = slot[:, 1:] / slot[:, :1] * LENGTH - np.array(places)
    assert np.abs(error).mean() < 0.012  # metres; the table is 0.24 wide
    env.close()
