"""An agent and its prior as an ONNX file, run by onnxruntime."""

import json

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO, SAC

from parrot_wrapper import BehavioralPriorWrapper, BroadMixture
from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError
from parrot_wrapper.rl.onnx_export import export_onnx
from parrot_wrapper.types import ObservationSpec
from tests.any_env import AnyEnv
from tests.small_priors import make_prior

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
IMAGE = ObservationSpec(image=(8, 8, 3), proprio=2)
BOX = gym.spaces.Box(-1, 1, (1,), np.float32)


def image_env():
    return AnyEnv(frame=(8, 8, 3), image_key="image", vectors={"proprio": (2,)}, action_space=BOX)


def state_env():
    return AnyEnv(vectors={"state": (3,)}, action_space=BOX)


def agent(env, prior, latent="gaussian", algorithm=SAC, **options):
    wrapped = BehavioralPriorWrapper(env, prior, latent=latent, observation="features", **options)
    return algorithm("MlpPolicy", wrapped, device="cpu", seed=0)


@pytest.mark.parametrize(
    ("kind", "encoder", "latent"),
    [
        ("flow", "convolutional", "gaussian"),
        ("flow", "keypoints", "truncated:0.05"),
        ("flow", "state", "tempered:0.8"),
        ("chunk", "state", "gaussian"),
        ("cvae", "state", "box:2.0"),
    ],
)
def test_it_acts_as_the_original_does(kind, encoder, latent, tmp_path):
    seen, make = (None, state_env) if encoder == "state" else (IMAGE, image_env)
    prior = make_prior(kind, encoder, seen)
    prior.set_metadata({"env_id": "Any-v0"})
    model = agent(make(), prior, latent)
    path = tmp_path / "new" / "agent.onnx"
    assert export_onnx(model, path) < 1e-5
    session = onnxruntime.InferenceSession(str(path))
    facts = json.loads(session.get_modelmeta().custom_metadata_map["parrot"])
    assert facts == {"env_id": "Any-v0", "action_low": [-1.0], "action_high": [1.0]}
    wrapped = model.get_env().envs[0]
    features, _ = wrapped.reset(seed=1)
    for _ in range(3):
        bare = wrapped.unwrapped
        shown = {key: value[None].astype(np.float32) for key, value in bare.vectors.items()}
        if seen is not None:
            shown["image"] = bare.image[None]
        [[action]] = session.run(None, shown)
        u, _ = model.predict(features, deterministic=True)
        features, *_, info = wrapped.step(u)
        np.testing.assert_allclose(action, info["parrot/action"], atol=1e-5)


def test_what_cannot_be_exported_is_told(tmp_path):
    prior, path = make_prior("flow", "state"), tmp_path / "agent.onnx"
    refused = {
        "observation='features'": SAC("MlpPolicy", "Pendulum-v1", device="cpu"),
        "actor is SAC's, got PPO": agent(state_env(), prior, algorithm=PPO),
    }
    for message, model in refused.items():
        with pytest.raises(InvalidArgumentError, match=message):
            export_onnx(model, path)
    not_offered = {
        "a memory": make_prior("memory", "state"),
        "mixtures": BroadMixture(prior),
        "open loop": make_prior("skill", "state"),
    }
    for message, other in not_offered.items():
        with pytest.raises(NotOfferedError, match=message):
            export_onnx(agent(state_env(), other), path)
    with pytest.raises(NotOfferedError, match="ball"):
        export_onnx(agent(state_env(), prior, "ball:0.9"), path)
    assert not path.exists()
