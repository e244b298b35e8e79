"""Every part of an observation is looked at, or refused, or said to be left aside."""

import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

from parrot_table.redirected import RedirectedMixture
from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    BehavioralPriorWrapper,
    flow_config,
    load_prior,
)
from parrot_wrapper.cli import main
from parrot_wrapper.data import save_dataset
from parrot_wrapper.errors import (
    InvalidArgumentError,
    NotOfferedError,
    SpaceMismatchError,
    UnreadDataWarning,
)
from parrot_wrapper.io.strict_json import seal_of
from parrot_wrapper.priors.checkpoint import HEADER_FILE
from parrot_wrapper.priors.encoders import build_encoder, parts_read
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.types import PARTS, ObservationSpec
from tests.any_env import AnyEnv
from tests.small_priors import KINDS, SIDE, SIZES, data, fit, make_prior, observations, spec

IMAGE = (SIDE, SIDE, 3)
COMBINATIONS = [(0, 0), (4, 0), (0, 2), (4, 2)]
PRIORS = [
    (kind, encoder)
    for kind in KINDS
    for encoder in SIZES
    if kind != "features" or encoder == "residual"
]


def test_every_encoder_says_what_it_reads():
    for name in SIZES:
        assert parts_read(name) and set(parts_read(name)) <= set(PARTS)
    with pytest.raises(InvalidArgumentError, match="state"):
        build_encoder("state", ObservationSpec(image=IMAGE, state=3), {})


@pytest.mark.parametrize(("proprio", "state"), COMBINATIONS)
@pytest.mark.parametrize(("kind", "encoder"), PRIORS)
def test_what_the_spec_lists_is_looked_at(tmp_path, kind, encoder, proprio, state):
    """By features and densities, before and after training, from memory and from disk."""
    seen = spec(encoder, proprio, state)
    prior = make_prior(kind, encoder, seen)
    fit(prior, data(seen))
    with torch.no_grad():  # two steps say little yet: a flow begins as the identity
        for weight in prior.parameters():
            weight += 0.1 * torch.randn_like(weight)
    prior.save(tmp_path / "prior")
    loaded = load_prior(tmp_path / "prior")
    assert loaded.observation_spec == seen
    obs = observations(seen)
    features = prior.features(obs)
    np.testing.assert_array_equal(loaded.features(obs), features)
    for part, values in obs.items():
        other = {**obs, part: 255 - values if part == "image" else values + 1}
        changed = prior.features(other)
        assert (np.abs(changed - features).max(axis=1) > 1e-7).all(), part
        single = [
            prior.features({name: rows[i : i + 1] for name, rows in other.items()})
            for i in range(4)
        ]
        np.testing.assert_allclose(np.concatenate(single), changed, atol=1e-5)
        if prior.looks and kind != "features":
            z = np.full((4, prior.latent_dim), 0.5, np.float32)
            assert (prior.decode(z, other) != prior.decode(z, obs)).all()
        with pytest.raises(SpaceMismatchError, match=part):
            prior.features({name: rows for name, rows in obs.items() if name != part})
    cached = FeatureCache(tmp_path / "cache", prior).make(data(seen), progress=False)
    whole = prior.features(data(seen).observations)[:, : prior.encoder.feature_dim]
    np.testing.assert_allclose(cached.observations["features"], whole, atol=1e-2)


@pytest.mark.parametrize("encoder", ["auto", "convolutional", "residual"])
@pytest.mark.parametrize(("proprio", "state"), COMBINATIONS)
def test_by_default_a_prior_looks_at_all_that_data_have(encoder, proprio, state):
    made = data(ObservationSpec(IMAGE, proprio, state))
    assert flow_config(made, encoder=encoder).observation == made.observation_spec
    without = flow_config(made, encoder=encoder, proprio=False, state=False).observation
    assert without == ObservationSpec(IMAGE)
    if state:  # an encoder that is asked for by name decides what is read
        chosen = flow_config(made, encoder="state").observation
        assert chosen == ObservationSpec(proprio=proprio, state=state)


def test_a_vector_that_stands_alone_is_called_state():
    made = data(ObservationSpec(proprio=3))
    with pytest.raises(InvalidArgumentError, match="needs a state vector.*called 'state'"):
        make_prior("flow", "state", flow_config(made).observation)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "trajectory"])
def test_what_is_left_aside_is_said(kind):
    encoder = "residual" if kind == "features" else "convolutional"
    prior = make_prior(kind, encoder)
    rows = len(data(spec(encoder)).observations["image"])
    more = {"joints": np.zeros((rows, 5)), "state": np.zeros((rows, 2)), "no": np.zeros((rows, 0))}
    with pytest.warns(UnreadDataWarning, match=r"joints \(5,\), state \(2,\)\."):
        fit(prior, data(spec(encoder), **more))


@pytest.mark.parametrize("kind", ["flow", "cvae", "bc", "features"])
def test_commands_say_what_they_leave_aside(tmp_path, capsys, kind):
    seen = ObservationSpec((48, 48, 3), 4, 2)
    rows = len(data(seen).observations["image"])
    save_dataset(data(seen, joints=np.ones((rows, 5))), tmp_path / "data")
    small = ["--steps", "2", "--batch-size", "8", "--device", "cpu", "--no-progress"]
    more = ["--hidden", "8", "--no-state"] if kind == "flow" else []
    folders = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert main(["train-prior", "--kind", kind, *folders, *small, *more]) == 0
    told = capsys.readouterr()
    assert told.err.count("joints (5,)") == 1
    assert ("proprio (4,)" in told.err) == (kind == "bc")
    if kind == "flow":
        assert "state (2,)" in told.err and "image (48, 48, 3), proprio 4" in told.out
        assert load_prior(tmp_path / "run").observation_spec == replace(seen, state=0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "features"])
@pytest.mark.parametrize("encoder", ["structured", "convolutional", "residual"])
def test_files_whose_encoder_left_vectors_aside_open_as_ever(tmp_path, kind, encoder):
    """They have no scale of these; an env need not supply them any longer."""
    read = 4 if encoder != "structured" else 0
    prior = make_prior(kind, encoder, spec(encoder, proprio=read)).requires_grad_(False)
    prior.save(tmp_path)
    header = json.loads((tmp_path / HEADER_FILE).read_text())
    header["config"]["observation"].update(proprio=4, state=2)
    header["sha256"] = seal_of(header, key="sha256")
    (tmp_path / HEADER_FILE).write_text(json.dumps(header))
    loaded = load_prior(tmp_path)
    assert loaded.observation_spec == prior.observation_spec == spec(encoder, proprio=read)
    assert loaded.encoder_digest == prior.encoder_digest
    obs = observations(spec(encoder, 4, 2))
    np.testing.assert_array_equal(loaded.features(obs), prior.features(obs))
    z = np.ones((4, prior.latent_dim), np.float32)
    np.testing.assert_array_equal(loaded.decode(z, obs), prior.decode(z, obs))


class Blind(gym.Env):
    """Its observation is nothing that a prior could read."""

    observation_space = gym.spaces.Dict({"mission": gym.spaces.Text(5)})
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"mission": "go"}, {}

    def step(self, action):
        return {"mission": "on"}, float(action[0]), False, False, {}


def test_a_prior_that_looks_at_nothing_demands_nothing():
    prior = make_prior("trajectory", "structured", ObservationSpec(IMAGE, 4, 2))
    env = BehavioralPriorWrapper(Blind(), prior)
    env.reset(seed=0)
    u = np.array([0.5, -0.5], np.float32)
    seen, *_, info = env.step(u)
    assert seen == {"mission": "on"}
    z = env.chart.to_latent(u)[None]
    expected = prior.decode(z, observations(prior.observation_spec, rows=1))[0]
    np.testing.assert_array_equal(info["parrot/action"], np.clip(expected, -1, 1))
    assert env.encode(expected).shape == (2,)
    with pytest.raises(SpaceMismatchError, match="image"):
        BehavioralPriorWrapper(Blind(), prior, observation="features")


def test_wrappers_hand_over_vectors_beside_the_image():
    prior = make_prior("flow", "structured", ObservationSpec(IMAGE, 4, 2))
    box = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def make():
        vectors = {"proprio": (4,), "state": (2,)}
        return AnyEnv(frame=IMAGE, image_key="image", vectors=vectors, action_space=box)

    env = BehavioralPriorWrapper(make(), prior, observation="features")
    seen, _ = env.reset(seed=0)
    bare = env.unwrapped
    parts = {"image": bare.image, **{k: v.astype(np.float32) for k, v in bare.vectors.items()}}
    expected = prior.features({name: part[None] for name, part in parts.items()})[0]
    np.testing.assert_array_equal(seen, expected)
    envs = BehavioralPriorVectorWrapper(
        gym.vector.SyncVectorEnv([make] * 2), prior, observation="features"
    )
    np.testing.assert_allclose(envs.reset(seed=[0, 0])[0][1], expected, atol=1e-6)
    with pytest.raises(SpaceMismatchError, match="state"):
        BehavioralPriorWrapper(
            AnyEnv(frame=IMAGE, image_key="image", action_space=box, vectors={"proprio": (4,)}),
            prior,
        )


def test_what_the_hand_holds_is_not_rewritten_in_vectors():
    prior = make_prior("flow", "structured", ObservationSpec(IMAGE, proprio=4))
    with pytest.raises(NotOfferedError, match="images alone"):
        RedirectedMixture(prior)
