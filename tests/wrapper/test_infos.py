"""Infos have one structure from reset on, which recorders and vector envs ask for."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from parrot_wrapper import (
    ActionChunking,
    BehavioralPriorVectorWrapper,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
)
from tests.helpers import AffinePrior, ObservationSpec

HORIZONS = pytest.mark.parametrize("horizon", [1, 3])
SPEC = ObservationSpec(state=3)
STEPS = 5


class TellingEnv(gym.Env):
    """Tells numbers, arrays, text, lists and a dict, in resets and steps alike."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.taken = 0
        return np.zeros(3, np.float32), self.told()

    def step(self, action):
        self.taken += 1
        return np.zeros(3, np.float32), 1.0, False, self.taken == STEPS, self.told()

    def told(self):
        return {
            "is_success": self.taken > 2,
            "count": self.taken,
            "share": self.taken / STEPS,
            "place": np.full((2, 2), self.taken, np.float32),
            "text": f"step {self.taken}",
            "names": ["x"] * self.taken,
            "inner": {"count": self.taken},
        }


def prior(horizon):
    return AffinePrior(SPEC, horizon=horizon)


def single(horizon, env=TellingEnv):
    return BehavioralPriorWrapper(env(), prior(horizon))


def below(horizon):
    return TellingEnv() if horizon == 1 else ActionChunking(TellingEnv(), horizon)


def structure(info):
    """Keys, types, shapes and dtypes, without what is not the env's or ours."""
    if isinstance(info, dict):
        others = ("terminal_observation", "TimeLimit.truncated", "final_info", "final_obs")
        return {key: structure(part) for key, part in info.items() if key.lstrip("_") not in others}
    if isinstance(info, np.ndarray):
        return info.shape, info.dtype
    return type(info)


def play_single(horizon):
    env = single(horizon)
    yield env.reset(seed=0)[1]
    for _ in range(8):
        *_, ended, info = env.step(np.zeros(2, np.float32))
        yield info
        if ended:
            yield env.reset()[1]


def play_chunking(horizon):
    env = ActionChunking(TellingEnv(), horizon)
    yield env.reset(seed=0)[1]
    for _ in range(2):
        yield env.step(np.zeros((horizon, 2), np.float32))[-1]


def play_sb3(horizon):
    venv = BehavioralPriorVecWrapper(DummyVecEnv([partial(below, horizon)] * 2), prior(horizon))
    venv.reset()
    for _ in range(8):
        yield from venv.reset_infos
        yield from venv.step(np.zeros((2, 2), np.float32))[-1]


def play_vector(horizon, *, mode, wrap=True):
    envs = [partial(below if wrap else single, horizon)] * 2
    envs = SyncVectorEnv(envs, autoreset_mode=mode)
    if wrap:
        envs = BehavioralPriorVectorWrapper(envs, prior(horizon))
    yield envs.reset(seed=0)[1]
    for _ in range(8):
        *_, ended, infos = envs.step(np.zeros((2, 2), np.float32))
        yield infos
        if mode is AutoresetMode.DISABLED and ended.any():
            yield envs.reset(options={"reset_mask": np.array([True, False]) | ended})[1]


PLAYS = {"single": play_single, "chunking": play_chunking, "sb3": play_sb3}
PLAYS |= {f"vector, {mode.name}": partial(play_vector, mode=mode) for mode in AutoresetMode}
PLAYS["vector of wrapped"] = partial(play_vector, mode=AutoresetMode.NEXT_STEP, wrap=False)


@HORIZONS
@pytest.mark.parametrize("play", PLAYS.values(), ids=PLAYS)
def test_every_reset_and_step_tells_the_same_keys_shapes_and_dtypes(play, horizon):
    first, *later = map(structure, play(horizon))
    assert "parrot/action" in first and len(later) > 1
    for info in later:
        assert info == first


@pytest.mark.parametrize("obs", ["image", "state"])
def test_the_environments_of_this_project_keep_theirs(obs):
    pytest.importorskip("parrot_envs")
    env = gym.make("ParrotGraspCup-v0", obs=obs)
    before = structure(env.reset(seed=0)[1])
    assert structure(env.step(env.action_space.sample())[-1]) == before
    env.close()


@HORIZONS
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # left by Minari
def test_minari_records_infos(horizon, tmp_path, monkeypatch):
    pytest.importorskip("jax", reason="Minari's DataCollector needs it")
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = BehavioralPriorWrapper(
        gym.make("Pendulum-v1", max_episode_steps=STEPS),
        AffinePrior(SPEC, action_dim=1, horizon=horizon, bound=2.0),
    )
    env = minari.DataCollector(env, record_infos=True)
    executed = []
    for seed in range(2):
        executed.append([env.reset(seed=seed)[1]["parrot/action"]])
        ended = False
        while not ended:
            *_, ended, info = env.step(np.zeros(1, np.float32))
            executed[-1].append(info["parrot/action"])
    with pytest.warns(UserWarning, match="is set to None"):
        data = env.create_dataset(
            "parrot/infos-v0",
            algorithm_name="prior",
            author="nobody",
            author_email="nobody@example.org",
            code_permalink="https://example.org",
        )
    for episode, actions in zip(data.iterate_episodes(), executed, strict=True):
        np.testing.assert_array_equal(episode.infos["parrot"]["action"], actions)
    env.close()


@HORIZONS
def test_recorders_go_around_it_and_below_it(horizon):
    for order in (
        lambda h: RecordEpisodeStatistics(single(h)),
        lambda h: single(h, lambda: RecordEpisodeStatistics(TellingEnv())),
    ):
        envs = SyncVectorEnv([partial(order, horizon)] * 2)
        envs.reset(seed=0)
        lengths = [envs.step(np.zeros((2, 2), np.float32))[-1].get("episode") for _ in range(6)]
        assert sum(told is not None for told in lengths) >= 1
    keyword = ("parrot/latent",)
    for venv in (
        DummyVecEnv([lambda: Monitor(single(horizon), info_keywords=keyword)]),
        VecMonitor(DummyVecEnv([lambda: single(horizon)]), info_keywords=keyword),
    ):
        venv.reset()
        told = []
        for _ in range(STEPS):
            *_, infos = venv.step(np.zeros((1, 2), np.float32))
            told += [infos[0]["episode"]["parrot/latent"].tolist()] if "episode" in infos[0] else []
        assert told and told[0] == [0.0, 0.0]
