"""Priors that look at some of what there is: trained, saved, wrapped, judged and replayed."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import SAC

import parrot_envs
from parrot_wrapper import BehavioralPriorWrapper, load_prior
from parrot_wrapper.cli import main
from parrot_wrapper.data import EpisodeDataset, load_dataset
from parrot_wrapper.errors import DataError, SpaceMismatchError, UnknownNameError
from parrot_wrapper.evaluation.recordings import recording_of
from parrot_wrapper.priors.trainable import prior_kind
from parrot_wrapper.record.expert_episodes import record_episode
from parrot_wrapper.rl.replay.demonstrations import fill_replay_buffer
from parrot_wrapper.training.feature_cache import FeatureCache
from tests.small_priors import KINDS, fit

ENV_ID = parrot_envs.POINT_MASS_IDS[1]
SIGHTS = {"proprio": 4, "proprio box": 6, "box targets": 8, "": 0}


def episodes(obs: str = "keys") -> EpisodeDataset:
    env = gym.make(ENV_ID, obs=obs)
    recorded = [record_episode(env, seed)[0] for seed in range(4)]
    return EpisodeDataset.from_episodes(recorded)


@pytest.fixture(scope="module")
def data() -> EpisodeDataset:
    return episodes()


def trained(kind: str, data: EpisodeDataset, sight: str):
    horizon = {"horizon": 3} if kind in ("trajectory", "skill", "latent-variable") else {}
    small = {"widths": (8,)} if horizon or kind == "cvae" else {"hidden": 8}
    prior = prior_kind(kind).for_data(data, sees=tuple(sight.split()), **small, **horizon)
    fit(prior, data)
    return prior


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "features"])
def test_a_prior_sees_its_part_and_the_agent_sees_all(kind, sight, data, tmp_path):
    trained(kind, data, sight).save(tmp_path / "prior")
    prior = load_prior(tmp_path / "prior")
    assert prior.metadata["sees"] == sight.split()
    assert prior.metadata["data"]["sha256"] == data.content_hash
    assert prior.looks == (bool(sight) and kind != "trajectory")
    if sight:
        assert prior.observation_spec.parts == {"state": (SIGHTS[sight],)}
        seen = np.concatenate([data.observations[name] for name in sight.split()], axis=1)
        expected = prior.features(seen[data.observation_rows()])
        recording = recording_of(data, prior, steps=10**6, rng=np.random.default_rng(0))
        assert np.array_equal(prior.features(recording.observations), expected)
    env = BehavioralPriorWrapper(gym.make(ENV_ID, obs="keys"), prior)
    assert env.observation_space == gym.make(ENV_ID, obs="keys").observation_space
    shown, _ = env.reset(seed=0)
    env.step(np.zeros(prior.latent_dim, np.float32))
    z = np.zeros((1, prior.latent_dim), np.float32)
    if sight:
        own = np.concatenate([shown[name] for name in sight.split()])[None]
        again, _ = env.reset(seed=0)
        first = env.step(np.zeros(prior.latent_dim, np.float32))[4]["parrot/action"]
        wanted = prior.decode(z, own).reshape(-1, 2)[0]
        np.testing.assert_allclose(
            np.ravel(first)[:2], np.clip(wanted, -1, 1), atol=1e-5, err_msg=str(again)
        )
        without = gym.wrappers.FilterObservation(
            gym.make(ENV_ID, obs="keys"), [k for k in shown if k not in sight.split()]
        )
        if prior.looks:
            with pytest.raises(SpaceMismatchError, match=sight.split()[0]):
                BehavioralPriorWrapper(without, prior)


@pytest.mark.parametrize("sight", SIGHTS)
def test_demonstrations_are_encoded_by_what_the_prior_sees_and_shown_whole(sight, data):
    prior = trained("flow", data, sight)
    env = BehavioralPriorWrapper(gym.make(ENV_ID, obs="keys"), prior)
    model = SAC("MultiInputPolicy", env, buffer_size=1_000, device="cpu")
    filled = fill_replay_buffer(model, data, prior, final_reward=1.0)
    assert filled.transitions == data.n_steps and filled.inversion_error < 1e-4
    assert set(model.replay_buffer.observations) == {"proprio", "box", "targets", "task"}
    features = FeatureCache(None, prior).make(data, progress=False)
    heir = prior_kind("flow").for_data(features, shared=prior, hidden=8)
    fit(heir, features)
    assert heir.metadata["sees"] == sight.split()
    rows = data.seen_by(heir).observations
    if sight:
        assert list(rows) == ["state"]
        expected = np.concatenate([data.observations[n] for n in sight.split()], axis=1)
        assert np.array_equal(rows["state"], expected)


def test_images_keep_their_name_and_vectors_join_beside_them():
    data = episodes("image_proprio")
    assert set(data.seeing("image").observations) == {"image"}
    both = data.seeing(["image", "proprio"])
    assert both.observation_spec.parts == {"image": (48, 48, 3), "proprio": (4,)}
    assert np.shares_memory(both.observations["image"], data.observations["image"])
    assert both.seeing(["image", "proprio"]) is both and both.content_hash == data.content_hash
    assert data.seeing(["proprio"]).subset([1]).observation_spec.parts == {"state": (4,)}


def test_what_is_not_there_or_no_vector_is_refused(data):
    for look in (data.seeing, lambda names: prior_kind("flow").for_data(data, sees=names)):
        with pytest.raises(UnknownNameError, match="'bix'. Did you mean 'box'"):
            look(("proprio", "bix"))
    odd = EpisodeDataset.from_arrays(
        {"state": np.zeros((3, 1)), "grid": np.zeros((3, 2, 2))}, [[0.1], [0.2]], [2]
    )
    with pytest.raises(DataError, match="grid"):
        odd.seeing(["grid"])


def test_the_command_takes_what_is_seen(tmp_path, data):
    folder, few = tmp_path / "data", ["--steps", "2", "--batch-size", "8", "--warmup-steps", "1"]
    collect = ["collect", "--env-id", ENV_ID, "--env-kwargs", "obs=keys", "--episodes", "3"]
    more = ["--workers", "1", "--shard-attempts", "3", "--no-progress"]
    assert main([*collect, "--out", str(folder), *more]) == 0
    where = ["--data", str(folder), "--out", str(tmp_path / "run"), "--no-progress"]
    assert main(["train-prior", *where, *few, "--sees", "box", "proprio", "--hidden", "8"]) == 0
    prior = load_prior(tmp_path / "run")
    assert prior.metadata["sees"] == ["box", "proprio"]
    assert prior.metadata["observation_keys"]["state"] == ["box", "proprio"]
    assert "--sees box proprio" in prior.metadata["command"]
    assert load_dataset(folder).seen_by(prior).observation_spec.state == 6
    assert "box, proprio" in repr(prior)
