"""Many envs at once: Gymnasium's and SB3's vector envs give what single envs give."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

import parrot_envs
from parrot_envs.registration import EPISODE_STEPS
from parrot_envs.sim import bullet

ENV_ID = "ParrotMultiTask-v0"
ENVS, SEED = 2, 40
ACTIONS = np.random.default_rng(0).uniform(-1, 1, (2 * EPISODE_STEPS, ENVS, 7)).astype(np.float32)


def _single(index: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two episodes of one env, the second without seed: first sight, and then what each step shows.

    Each episode is (images (26, 48, 48, 3), rewards (25,)).
    """
    env = gym.make(ENV_ID)
    episodes = []
    for episode in range(2):
        image, _ = env.reset(seed=SEED + index if episode == 0 else None)
        images, rewards = [image], []
        for action in ACTIONS[episode * EPISODE_STEPS :][:EPISODE_STEPS, index]:
            image, reward, *_ = env.step(action)
            images.append(image)
            rewards.append(reward)
        episodes.append((np.stack(images), np.array(rewards)))
    env.close()
    return episodes


@pytest.fixture(scope="module")
def expected() -> list[list[tuple[np.ndarray, np.ndarray]]]:
    return [_single(index) for index in range(ENVS)]


def _play(envs: VectorEnv, mode: AutoresetMode) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same two episodes of all envs at once: images (26, N, 48, 48, 3), rewards (25, N)."""
    first, _ = envs.reset(seed=SEED)
    episodes = []
    for episode in range(2):
        images, rewards = [first.copy()], []
        for step, actions in enumerate(ACTIONS[episode * EPISODE_STEPS :][:EPISODE_STEPS]):
            seen, reward, terminated, truncated, infos = envs.step(actions)
            assert not terminated.any()
            assert truncated.all() == truncated.any() == (step == EPISODE_STEPS - 1)
            last = truncated.all() and mode == AutoresetMode.SAME_STEP
            images.append(np.stack(infos["final_obs"]) if last else seen.copy())
            told = infos["final_info"] if last else infos
            assert (told["is_success"] == (reward > 0)).all()
            rewards.append(reward)
        episodes.append((np.stack(images), np.stack(rewards)))
        if mode == AutoresetMode.NEXT_STEP:
            first, reward, *_ = envs.step(np.ones((ENVS, 7), np.float32))
            assert (reward == 0).all()
        elif mode == AutoresetMode.SAME_STEP:
            first = seen
        else:
            first, _ = envs.reset(options={"reset_mask": np.ones(ENVS, bool)})
    return episodes


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("how", ["sync", "spawn", "forkserver"])
def test_gymnasium_vectors_give_what_single_envs_give(
    how: str, mode: AutoresetMode, expected: Any
) -> None:
    more: dict[str, Any] = {"autoreset_mode": mode}
    if how != "sync":
        more["context"] = how
    envs = gym.make_vec(
        ENV_ID,
        num_envs=ENVS,
        vectorization_mode="sync" if how == "sync" else "async",
        vector_kwargs=more,
    )
    for episode, (images, rewards) in enumerate(_play(envs, mode)):
        for index in range(ENVS):
            assert (images[:, index] == expected[index][episode][0]).all()
            assert (rewards[:, index] == expected[index][episode][1]).all()
    envs.close()
    envs.close()


@pytest.mark.parametrize("obs", ["image_proprio", "state"])
def test_other_observations_in_workers(obs: str) -> None:
    envs = gym.make_vec(
        ENV_ID, num_envs=ENVS, vectorization_mode="async", vector_kwargs={"context": "forkserver"},
        obs=obs, randomize=["camera", "colors", "light"],
    )  # fmt: skip
    seen, _ = envs.reset(seed=SEED)
    single = gym.make(ENV_ID, obs=obs, randomize=["camera", "colors", "light"])
    for index in range(ENVS):
        alone, _ = single.reset(seed=SEED + index)
        parts = alone.items() if obs == "image_proprio" else [(None, alone)]
        for key, part in parts:
            assert ((seen if key is None else seen[key])[index] == part).all()
    single.close()
    envs.close()


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (DummyVecEnv, {}),
        (SubprocVecEnv, {"start_method": "forkserver"}),
        pytest.param(SubprocVecEnv, {"start_method": "spawn"}, marks=pytest.mark.slow),
    ],
)
def test_sb3_vectors_give_what_single_envs_give(
    kind: type, more: dict[str, str], expected: Any
) -> None:
    # SB3's workers know the id's module from the id only
    envs = make_vec_env(
        f"parrot_envs:{ENV_ID}", ENVS, seed=SEED, vec_env_cls=kind, vec_env_kwargs=more,
        monitor_kwargs={"info_keywords": ("is_success", "success_once")},
    )  # fmt: skip
    seen = envs.reset()
    for episode in range(2):
        images = [seen]
        for actions in ACTIONS[episode * EPISODE_STEPS :][:EPISODE_STEPS]:
            seen, _, dones, infos = envs.step(actions)
            images.append(
                np.stack([info["terminal_observation"] for info in infos]) if dones.all() else seen
            )
        assert dones.all()
        assert all("is_success" in info["episode"] for info in infos)
        for index in range(ENVS):
            assert (np.stack(images)[:, index] == expected[index][episode][0]).all()
    envs.close()


def test_each_env_has_a_client_of_its_own() -> None:
    one, other = (gym.make(ENV_ID).unwrapped for _ in range(2))
    assert one._sim.client != other._sim.client
    one.reset(seed=1)
    before = other.reset(seed=2)[0]
    saved = other.save_state()
    for action in ACTIONS[:5, 0]:
        one.step(action)
    assert other.save_state() == saved
    client = one._sim.client
    one.close()
    one.close()
    assert not bullet.isConnected(client)
    assert (other.reset(seed=2)[0] == before).all()
    other.close()


def test_ids_are_found_in_a_vector_by_module_and_id() -> None:
    envs = gym.make_vec(f"parrot_envs:{parrot_envs.ENV_IDS[0]}", num_envs=1)
    assert envs.reset(seed=0)[0].shape == (1, 48, 48, 3)
    envs.close()
