"""Spaces that other people's envs have: each is read and driven, or one error says what to do."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper

from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
    EpisodeDataset,
    FlowPrior,
    PriorTrainingConfig,
    fit_prior,
)
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.record.policy_episodes import record_policy
from parrot_wrapper.types import ObservationSpec
from parrot_wrapper.wrappers.box_actions import BoxActions
from tests.helpers import AffinePrior, EchoEnv

ARM = Box(-1, 1, (2,), np.float32)
VECTOR = Box(-np.inf, np.inf, (3,), np.float64)
RGB = Box(0, 255, (16, 12, 3), np.uint8)
DEPTH = Box(0, 2000, (16, 12), np.uint16)


class Foreign(gym.Env):
    """Random observations and an episode's length of 1 to 6 steps; actions are only looked at."""

    def __init__(self, seen, actions=ARM, show=lambda seen: seen, reward=-1.0):
        self.observation_space, self.action_space = seen, actions
        self.show, self.reward = show, reward

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = self.np_random.integers(1, 7)
        return self.look(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.left, self.executed = self.left - 1, action
        return self.look(), self.reward, bool(self.left == 0), False, {}

    def look(self):
        self.seen = self._draw(self.observation_space)
        return self.show(self.seen)

    def _draw(self, space):
        if isinstance(space, Dict):
            return {key: self._draw(part) for key, part in space.items()}
        if isinstance(space, Tuple):
            return tuple(map(self._draw, space.spaces))
        low, high = np.maximum(space.low, -3.0), np.minimum(space.high, 3e3)
        return self.np_random.uniform(low, high).astype(space.dtype)


class Lazy:
    """Frames that become an array when somebody asks, as Atari wrappers have them."""

    def __init__(self, frames):
        self.frames = frames

    def __array__(self, dtype=None, copy=None):
        return np.asarray(np.concatenate(self.frames, axis=-1), dtype)


def levels(image, high):
    """What a prior should see of an image with pixels from 0 to `high`."""
    scaled = np.round(image.astype(np.float64) * 255 / high)
    return np.atleast_3d(scaled)[None].astype(np.uint8)


def vector(*parts):
    return np.concatenate(parts)[None].astype(np.float32)


NESTED = Dict(robot=Dict(joints=VECTOR, eyes=Tuple((RGB, RGB))), goal=VECTOR)
CASES = {
    "depth beside colour": (
        Dict(image=RGB, depth=DEPTH), {},
        lambda seen: {"image": seen["image"][None], "depth": levels(seen["depth"], 2000)},
    ),
    "pixels from 0 to 1": (
        Box(0, 1, (16, 12, 3), np.float32), {}, lambda seen: levels(seen, 1.0)
    ),
    "float pixels to 255": (
        Box(0, 255, (16, 12, 3), np.float64), {}, lambda seen: levels(seen, 255.0)
    ),
    "grey without channels": (Box(0, 255, (16, 12), np.uint8), {}, lambda seen: levels(seen, 255)),
    "nested": (
        NESTED,
        {"image_key": "robot/eyes/1", "state_key": ("robot/joints", "goal")},
        lambda seen: {
            "image": seen["robot"]["eyes"][1][None],
            "state": vector(seen["robot"]["joints"], seen["goal"]),
        },
    ),
    "a tuple": (
        Tuple((RGB, VECTOR)), {"image_key": "0", "proprio_key": "1"},
        lambda seen: {"image": seen[0][None], "proprio": vector(seen[1])},
    ),
    "two cameras": (
        Dict(front=RGB, wrist=RGB), {}, lambda seen: {k: seen[k][None] for k in seen}
    ),
}  # fmt: skip


def learned(env, expert=lambda _: np.zeros(2), **keys):
    """A prior from demonstrations in this env, of episodes of several lengths."""
    data = record_policy(env, expert, episodes=4, noise=0.3, **keys)
    assert len(set(data.lengths.tolist())) > 1
    small = {"channels": 4, "hidden": 8, "embedding": 8} if data.observation_spec.images else {}
    encoder = "convolutional" if small else "auto"
    prior = FlowPrior.for_data(data, hidden=8, encoder=encoder, encoder_options=small)
    config = PriorTrainingConfig(steps=2, batch_size=4, validation_batches=1)
    fit_prior(prior, data, config, progress=False)
    return prior


def trained_briefly(env):
    policy = "MultiInputPolicy" if isinstance(env.observation_space, Dict) else "MlpPolicy"
    small = {"net_arch": [4]}
    model = SAC(policy, env, learning_starts=5, buffer_size=50, device="cpu", policy_kwargs=small)
    return model.learn(12)


@pytest.mark.parametrize("case", CASES)
def test_observations_are_read_alike_by_all(case):
    seen, keys, expected = CASES[case]
    prior = learned(Foreign(seen), **keys)
    single = BehavioralPriorWrapper(Foreign(seen), prior, observation="features")
    features, _ = single.reset(seed=3)
    wanted = prior.features(expected(single.unwrapped.seen))[0]
    np.testing.assert_allclose(features, wanted, rtol=1e-5)
    trained_briefly(single)
    both = BehavioralPriorWrapper(Foreign(seen), prior, observation="both")
    observation, _ = both.reset(seed=3)
    assert both.observation_space.contains(observation)
    np.testing.assert_allclose(observation["features"], features, rtol=1e-5)
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        envs = gym.vector.SyncVectorEnv([lambda: Foreign(seen)] * 2, autoreset_mode=mode)
        many = BehavioralPriorVectorWrapper(envs, prior, observation="features")
        np.testing.assert_allclose(many.reset(seed=3)[0][0], features, rtol=1e-4, atol=1e-6)
        for _ in range(7):
            assert many.step(many.action_space.sample())[0].shape == (2, prior.feature_dim)


def test_a_lazy_stack_of_frames_is_an_image():
    stack = Box(0, 255, (16, 12, 6), np.uint8)
    env = Foreign(stack, show=lambda seen: Lazy([seen[..., :3], seen[..., 3:]]))
    prior = learned(env)
    wrapped = BehavioralPriorWrapper(env, prior, observation="features")
    features, _ = wrapped.reset(seed=0)
    np.testing.assert_allclose(features, prior.features(env.seen[None])[0], rtol=1e-5)
    trained_briefly(wrapped)


def test_pixels_have_to_mean_what_they_meant_in_the_data():
    near = Dict(image=RGB, depth=DEPTH)
    prior = learned(Foreign(near))
    far = Dict(image=RGB, depth=Box(0, 9000, (16, 12), np.uint16))
    with pytest.raises(SpaceMismatchError, match=r"depth: .* 0.0 to 2000.0 .* \[0.0, 9000.0\]"):
        BehavioralPriorWrapper(Foreign(far), prior)
    with pytest.raises(SpaceMismatchError, match=r"depth: .* 2000.0 .* got uint8"):
        colours = Dict(image=RGB, depth=Box(0, 255, (16, 12), np.uint8))
        BehavioralPriorWrapper(Foreign(colours), prior)
    data = record_policy(Foreign(near), lambda _: np.zeros(2), episodes=2)
    small = {"channels": 4, "hidden": 8, "embedding": 8}
    colours_only = FlowPrior.for_data(
        data, encoder="convolutional", encoder_options=small, image_keys=("image",)
    )
    colours_only.set_metadata({"pixels": data.metadata["pixels"]})
    BehavioralPriorWrapper(Foreign(far), colours_only)  # it does not look at the depth
    with pytest.raises(SpaceMismatchError, match="TransformObservation states them"):
        record_policy(Foreign(Box(0, np.inf, (16, 12), np.float32)), len, episodes=1)
    blind = {"image": RGB.sample()[None], "depth": np.full((1, 16, 12), np.nan)}
    reader = BehavioralPriorWrapper(Foreign(near), prior)._driver
    assert reader.read({**blind, "depth": np.full((1, 16, 12), np.inf)})["depth"].min() == 255
    assert reader.read(blind)["depth"].max() == 0


def test_where_the_action_box_has_no_bounds_those_of_the_data_serve():
    rng = np.random.default_rng(0)
    data = EpisodeDataset.from_arrays(
        rng.normal(size=(24, 3)), rng.uniform(-2, 2, (20, 2)), [5] * 4, action_low=-2, action_high=2
    )
    prior = FlowPrior.for_data(data, hidden=8)
    half = Box(np.array([-np.inf, -2], np.float32), np.inf, (2,), np.float32)
    env = Foreign(VECTOR, half)
    with pytest.warns(UserWarning, match=r"no bounds; .* \[-2.0, -2.0\] to \[2.0, 2.0\]"):
        wrapped = BehavioralPriorWrapper(env, prior, observation="features")
    wrapped.reset(seed=0)
    wrapped.step(np.array([1, -1], np.float32))
    assert np.abs(env.executed).max() == 2.0
    with pytest.raises(InvalidArgumentError, match="bounded Box .*TransformAction"):
        record_policy(env, lambda _: np.zeros(2), episodes=1)
    with pytest.raises(SpaceMismatchError, match=r"expected the low bound \[-2.0, -2.0\]"):
        BehavioralPriorWrapper(Foreign(VECTOR, Box(-3, np.inf, (2,), np.float32)), prior)


@pytest.mark.parametrize(
    "space",
    [
        Dict(arm=ARM, grip=Discrete(2)),
        Tuple((ARM, Discrete(3, start=4))),
        Dict(hand=Dict(arm=Box(-2, 2, (2, 2), np.float64), on=MultiBinary(2)),
             tools=MultiDiscrete(np.array([[2, 3], [4, 2]]))),
        Discrete(4),
    ],
    ids=["a gripper", "a tuple", "nested", "choices alone"],
)  # fmt: skip
def test_discrete_beside_continuous_actions(space):
    env = BoxActions(Foreign(VECTOR, space))
    box = env.action_space
    for _ in range(20):
        own = space.sample()
        numbers = env.numbers(own)
        assert box.contains(numbers)
        again = env.numbers(env.action(numbers))  # equal actions have equal numbers
        np.testing.assert_allclose(again, numbers, rtol=1e-6)
    prior = learned(env, lambda _: env.numbers(space.sample()))
    wrapped = BehavioralPriorWrapper(env, prior, observation="features")
    assert wrapped.action_space.shape == box.shape
    trained_briefly(wrapped)


def test_actions_that_are_no_numbers_are_refused():
    with pytest.raises(InvalidArgumentError, match="Expected actions of Box, .* got Text"):
        BoxActions(Foreign(VECTOR, Dict(arm=ARM, word=gym.spaces.Text(3))))


def test_a_reward_in_an_array_of_one_is_a_number():
    env = Foreign(VECTOR, reward=np.array([-1.0], np.float32))
    prior = learned(env)
    wrapped = BehavioralPriorWrapper(env, prior, observation="features")
    wrapped.reset(seed=0)
    assert wrapped.step(np.zeros(2, np.float32))[1] == -1.0
    trained_briefly(wrapped)
    env.reward = np.zeros(2)
    wrapped.reset(seed=0)
    with pytest.raises(InvalidArgumentError, match=r"one reward for a step, got shape \(2,\)"):
        wrapped.step(np.zeros(2, np.float32))


class Columns(VectorEnv):
    """Two envs that give their rewards as (2, 1)."""

    num_envs, metadata = 2, {"autoreset_mode": AutoresetMode.NEXT_STEP}
    single_observation_space, single_action_space = VECTOR, ARM
    observation_space = gym.vector.utils.batch_space(VECTOR, 2)
    action_space = gym.vector.utils.batch_space(ARM, 2)

    def reset(self, *, seed=None, options=None):
        return np.zeros((2, 3)), {}

    def step(self, actions):
        return np.zeros((2, 3)), np.array([[1.0], [2.0]]), np.zeros(2, bool), np.zeros(2, bool), {}


class RewardColumns(VecEnvWrapper):
    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        seen, rewards, dones, infos = self.venv.step_wait()
        return seen, rewards[:, None], dones, infos


def test_rewards_of_many_envs_are_one_number_each():
    prior = AffinePrior(ObservationSpec(state=3))
    many = BehavioralPriorVectorWrapper(Columns(), prior)
    many.reset(seed=0)
    np.testing.assert_array_equal(many.step(np.zeros((2, 2), np.float32))[1], [1.0, 2.0])
    venv = RewardColumns(DummyVecEnv([lambda: EchoEnv("state")] * 2))
    venv = BehavioralPriorVecWrapper(venv, AffinePrior(ObservationSpec(state=4)))
    venv.reset()
    assert venv.step(np.zeros((2, 2), np.float32))[1].shape == (2,)
