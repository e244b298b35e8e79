"""Recording any policy in any env, and the way from there to a wrapped env."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

from parrot_wrapper import BehavioralPriorWrapper, FlowPrior, FlowPriorConfig
from parrot_wrapper.data import EpisodeDataset, load_dataset, save_dataset
from parrot_wrapper.errors import DataError, InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.record.collect import record_episode
from parrot_wrapper.record.policy_episodes import record_policy
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from tests.any_env import AnyEnv, laid_out
from tests.expert_env import ReachEnv
from tests.helpers import EchoEnv

KEYS = {"image_key": "pixels", "proprio_key": ("joints", "grip")}


def any_env(**options):
    vectors = {"grip": (2,), "goal": (3,), "joints": (2, 2)}
    return AnyEnv(frame=(32, 34, 3), image_key="pixels", vectors=vectors, **options)


def test_from_a_policy_to_a_wrapped_env_the_keys_are_given_once(tmp_path):
    data = record_policy(any_env(), lambda o: o["joints"][0] / 9, episodes=3, **KEYS)
    save_dataset(data, tmp_path / "data")
    data = load_dataset(tmp_path / "data")
    spec = data.observation_spec
    assert (spec.image, spec.proprio, spec.state) == ((32, 34, 3), 6, 0)
    prior = FlowPrior(
        FlowPriorConfig(
            spec,
            data.action_dim,
            encoder="convolutional",
            encoder_options={"channels": 4, "hidden": 8, "embedding": 8},
            hidden=8,
        )
    )
    fit_prior(prior, data, PriorTrainingConfig(steps=2, batch_size=4), progress=False)
    prior.save(tmp_path / "prior")
    env = any_env()
    wrapped = BehavioralPriorWrapper(env, tmp_path / "prior", observation="features")
    features, _ = wrapped.reset(seed=9)
    proprio = np.concatenate([env.vectors["joints"].ravel(), env.vectors["grip"]])
    expected = prior.features({"image": env.image[None], "proprio": proprio[None]})
    np.testing.assert_allclose(features, expected[0], rtol=1e-5)


def test_recorded_is_what_was_executed():
    low, high = np.array([-1.0, 0.0]), np.array([3.0, 0.001])
    env = AnyEnv(vectors={"s": (2,)}, action_space=gym.spaces.Box(low, high, dtype=np.float64))
    executed = []

    def policy(observation):
        executed.append(env.executed)
        return observation["s"]

    data = record_policy(env, policy, episodes=2, state_key="s", seed=7)
    np.testing.assert_array_equal(data.actions[0], executed[1].astype(np.float32))
    assert data.seeds.tolist() == [7, 8]
    env.reset(seed=7)
    np.testing.assert_allclose(data.observations["state"][0], env.vectors["s"], rtol=1e-6)
    assert data.metadata["spaces"]["action"]["high"] == pytest.approx([3.0, 0.001])
    again = record_policy(env, policy, episodes=2, state_key="s", seed=7)
    assert again.content_hash == data.content_hash
    still = record_policy(env, policy, episodes=2, state_key="s", seed=7, noise=0.0)
    env.reset(seed=7)
    np.testing.assert_allclose(
        still.actions[0], np.clip(env.vectors["s"], low, high), rtol=1e-6, atol=1e-9
    )


class OneArrayEnv(ReachEnv):
    """Writes every observation, and every label, into the array that it gave before."""

    def _observe(self):
        return self._same("observation", super()._observe())

    def privileged_labels(self):
        return {key: self._same(key, value) for key, value in super().privileged_labels().items()}

    def _same(self, name, array):
        kept = self.__dict__.setdefault(f"array of {name}", array.copy())
        kept[...] = array
        return kept


@pytest.mark.parametrize("obs", ["image", "state"])
def test_envs_that_reuse_their_arrays_are_recorded_right(obs):
    def towards(observation):
        return np.full(2, 0.1 + observation.flat[0] % 0.5)

    envs = [TimeLimit(env(obs), 4) for env in (ReachEnv, OneArrayEnv)]
    pairs = [
        [record_episode(env, 3)[0] for env in envs],
        [record_policy(env, towards, episodes=1, only_successes=False).episode(0) for env in envs],
    ]
    for expected, found in pairs:
        assert expected.n_steps == found.n_steps > 1
        for key, rows in expected.observations.items():
            np.testing.assert_array_equal(found.observations[key], rows)
            assert not (rows[0] == rows[1]).all()
        for key, rows in expected.labels.items():
            np.testing.assert_array_equal(found.labels[key], rows)


class SometimesSuccessful(EchoEnv):
    """Succeeds in the episodes of even seeds, under the name that Meta-World uses."""

    def reset(self, *, seed=None, options=None):
        self._even = seed is not None and seed % 2 == 0
        return super().reset(seed=seed)

    def step(self, action):
        *result, _ = super().step(action)
        return (*result, {"success": np.float64(self._even)})


def test_failures_are_dropped_where_the_env_tells():
    env = SometimesSuccessful("state")
    data = record_policy(env, lambda _: [0.0, 0.0], episodes=3)
    assert data.seeds.tolist() == [0, 2, 4] and data.success.all()
    data = record_policy(env, lambda _: [0.0, 0.0], episodes=3, only_successes=False)
    assert data.success.tolist() == [True, False, True]


def test_a_policy_that_always_fails_is_told():
    with pytest.raises(DataError, match="1 successful episodes, got 0 in 20 attempts"):
        record_policy(EchoEnv("state"), lambda _: [0.0, 0.0], episodes=1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"episodes": 0}, InvalidArgumentError, "episodes >= 1"),
        ({"noise": -1.0}, InvalidArgumentError, "noise >= 0"),
        ({}, SpaceMismatchError, "got the keys goal, grip, joints, pixels; say which to read"),
        ({"image_key": "goal"}, SpaceMismatchError, r"\['goal'\]: expected an image"),
        ({"state_key": "pixels"}, SpaceMismatchError, "a float Box, got Box .* uint8"),
        ({"state_key": "speed"}, SpaceMismatchError, r"\['speed'\]: .*, got no such key"),
        ({"state_key": "goal", "policy": lambda _: [0.0]}, DataError, r"shape \(2,\) from the p"),
        ({"state_key": "goal", "policy": lambda _: [np.nan, 0]}, DataError, "finite actions"),
    ],
)
def test_bad_input(options, error, message):
    arguments = {"policy": lambda _: [0.0, 0.0], "episodes": 1} | options
    with pytest.raises(error, match=message):
        record_policy(any_env(), arguments.pop("policy"), **arguments)


def test_unbounded_actions_are_refused():
    env = any_env(action_space=gym.spaces.Box(-np.inf, np.inf, (2,)))
    with pytest.raises(InvalidArgumentError, match="bounded Box .*TransformAction"):
        record_policy(env, lambda _: [0.0, 0.0], episodes=1, **KEYS)


@pytest.mark.parametrize("layout", ["chw", "stacked hwc", "stacked chw"])
def test_data_of_any_layout_become_images_with_channels_last(layout):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (6, 2, 36, 32, 3), dtype=np.uint8)
    shown = np.stack([laid_out(stack, layout) for stack in frames])
    expected = np.concatenate([frames[:, 0], frames[:, 1]], axis=-1)
    if not layout.startswith("stacked"):
        expected = frames[:, 1]
    data = EpisodeDataset.from_arrays(shown, rng.uniform(-1, 1, (4, 2)), [3, 1])
    np.testing.assert_array_equal(data.observations["image"], expected)
    assert data.observation_spec.image == expected.shape[1:]
    env = AnyEnv(frame=(36, 32, 3), layout=layout, stack=2)
    recorded = record_policy(env, lambda _: [0.0, 0.0], episodes=1)
    env.reset(seed=0)
    np.testing.assert_array_equal(recorded.observations["image"][0], env.image)


def test_a_prior_learns_small_actions_in_a_huge_box():
    """Nothing may be measured by the box alone: here it is 10^30 times what is ever done."""
    rng = np.random.default_rng(0)
    states = rng.uniform(-1, 1, (330, 1)).astype(np.float32)
    rows = np.concatenate([np.arange(10) + 11 * episode for episode in range(30)])
    actions = 0.5 * states[rows] + rng.normal(0.0, 0.1, (300, 1)).astype(np.float32)
    data = EpisodeDataset.from_arrays(
        states, actions, [10] * 30, action_low=-3e38, action_high=3e38
    )
    config = FlowPriorConfig(
        data.observation_spec,
        1,
        encoder="state",
        hidden=16,
        trunk_width=16,
        action_low=(-3e38,),
        action_high=(3e38,),
    )
    prior = FlowPrior(config)
    settings = PriorTrainingConfig(
        steps=150, batch_size=64, learning_rate=1e-2, warmup_steps=5, ema_decay=0.0
    )
    report = fit_prior(prior, data, settings, progress=False)
    assert report.validation_nll < -0.6  # the noise's own entropy is -0.88 nats
    z = rng.standard_normal((500, 1)).astype(np.float32)
    drawn = prior.decode(z, np.full((500, 1), 0.5, np.float32))
    assert drawn.mean() == pytest.approx(0.25, abs=0.08)
    assert drawn.std() == pytest.approx(0.1, abs=0.04)
