"""The same seed is the same episode to the last bit, and a saved state is the same state."""

from __future__ import annotations

import copy
import gc
import json
import multiprocessing
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import parrot_envs
from parrot_envs.env import ManipulationEnv
from parrot_envs.episode_state import FORMAT, EpisodeState
from parrot_envs.errors import EnvClosedError, EnvStateError
from parrot_envs.sim import bullet
from tests.envs.episodes import VARIANTS, as_bytes, follow, play, play_all, restore_and_follow

ENV_ID = "ParrotMultiTask-v0"
ACTIONS = list(np.random.default_rng(5).uniform(-1, 1, (25, 7)).astype(np.float32))


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        *((env_id, VARIANTS[v]) for env_id in parrot_envs.ENV_IDS for v in ("image", "everything")),
        *((ENV_ID, kwargs) for kwargs in VARIANTS.values()),
        *(("ParrotPickPlace-v0", {"colors": colors}) for colors in ("random", "fixed", "shared")),
        ("ParrotPickPlace-v0", {"objects": "bullet"}),
    ],
    ids=str,
)
def test_seeds_a_b_a(env_id: str, kwargs: dict[str, Any]) -> None:
    env = gym.make(env_id, **kwargs)
    first, other = play(env, 1), play(env, 2)
    assert first != other
    env.unwrapped._sim._resets = 10**9  # the client is renewed in between
    assert play(env, 1) == first
    assert env.unwrapped._sim._resets < 10
    assert play(env, 2) == other
    env.close()


@pytest.mark.parametrize("variant", ["image", "everything"])
def test_resets_without_seed_go_on_in_the_same_way(variant: str) -> None:
    digests = []
    for history in (0, 3):
        env = gym.make(ENV_ID, **VARIANTS[variant])
        for seed in range(history):
            play(env, seed)
        env.reset(seed=11)
        digests.append([follow(env, ACTIONS[:4]) for _ in range(3)])
        env.close()
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 3


@pytest.mark.parametrize(("method", "kernels"), [("spawn", "Nehalem"), ("forkserver", "")])
def test_other_processes_play_the_same_episodes(
    method: str, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A new process reads it: NumPy's BLAS then rounds products of matrices like an old processor.
    monkeypatch.setenv("OPENBLAS_CORETYPE", kernels)
    with multiprocessing.get_context(method).Pool(1) as pool:
        there = pool.apply(play_all, (4,))
    assert there == play_all(4)


def test_randomisation_changes_the_look_and_nothing_else() -> None:
    plain, dressed = (gym.make(ENV_ID, **VARIANTS[v]).unwrapped for v in ("image", "light"))
    for seed in range(3):
        seen, dressed_seen = plain.reset(seed=seed)[0], dressed.reset(seed=seed)[0]
        assert (seen != dressed_seen).any()
        for action in ACTIONS:
            told, dressed_told = plain.step(action)[1:], dressed.step(action)[1:]
            assert as_bytes(*told) == as_bytes(*dressed_told)
            for env_label, other in zip(
                plain.privileged_labels().values(), dressed.privileged_labels().values(),
                strict=True,
            ):  # fmt: skip
                assert (env_label == other).all()
    plain.close()
    dressed.close()


def _midway(env: gym.Env) -> None:
    env.reset(seed=3)
    for action in ACTIONS[:12]:
        env.step(action)


@pytest.mark.parametrize("variant", VARIANTS)
def test_restored_state_goes_on_as_the_unbroken_episode(variant: str) -> None:
    env = gym.make(ENV_ID, **VARIANTS[variant]).unwrapped
    _midway(env)
    saved = env.save_state()
    unbroken = follow(env, ACTIONS[12:])
    play(env, 8)
    shown, info = env.restore_state(saved)
    assert follow(env, ACTIONS[12:]) == unbroken
    other = gym.make(ENV_ID, **VARIANTS[variant]).unwrapped
    assert as_bytes(*other.restore_state(saved)) == as_bytes(shown, info)
    assert other.save_state() == saved
    assert follow(other, ACTIONS[12:]) == unbroken
    env.close()
    other.close()


def test_restored_state_goes_on_in_another_process() -> None:
    env = gym.make(ENV_ID, **VARIANTS["everything"]).unwrapped
    _midway(env)
    saved = env.save_state()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(restore_and_follow, (ENV_ID, saved, ACTIONS[12:]))
    assert there == follow(env, ACTIONS[12:])
    env.close()


def test_state_is_restored_by_an_env_that_sees_something_else() -> None:
    blind, seeing = (gym.make(ENV_ID, **VARIANTS[v]).unwrapped for v in ("state", "image_proprio"))
    _midway(blind)
    expert = blind.make_expert(np.random.default_rng(0))
    seeing.restore_state(blind.save_state())
    for _ in range(10):
        action = expert.act()
        told, other_told = blind.step(action)[1:], seeing.step(action)[1:]
        assert told == other_told
    assert as_bytes(blind.privileged_labels()) == as_bytes(seeing.privileged_labels())
    blind.close()
    seeing.close()


def test_success_draws_and_generator_are_part_of_the_state() -> None:
    env = gym.make("ParrotGraspCup-v0").unwrapped
    env.reset(seed=0)
    expert = env.make_expert(np.random.default_rng(0))
    for _ in range(25):
        *_, info = env.step(expert.act())
    for _ in range(8):
        *_, dropped = env.step(np.array([0, 0, 0, 0, 0, 0, 1.0]))
    assert info["is_success"] and not dropped["is_success"]
    env.np_random.random(5)  # a wrapper may draw from it too
    saved = env.save_state()
    expected = env.np_random.random()
    env.reset(seed=1)
    _, restored = env.restore_state(saved)
    assert restored == dropped
    assert restored["success_once"]
    assert env.np_random.random() == expected
    env.close()


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_are_envs_of_their_own_at_the_same_point(clone) -> None:
    env = gym.make(ENV_ID, **VARIANTS["everything"])
    fresh = clone(env)
    assert fresh.unwrapped._sim.client != env.unwrapped._sim.client
    _midway(env)
    twin = clone(env)
    assert twin.unwrapped.spec == env.unwrapped.spec
    unbroken = follow(env, ACTIONS[12:])  # up to the time limit, which wrappers count
    env.close()
    assert follow(twin, ACTIONS[12:]) == unbroken
    assert follow(fresh, []) != unbroken
    twin.close()
    fresh.close()
    with pytest.raises(EnvClosedError, match="closed"):
        clone(env)


def _rewritten(saved: bytes, **changes: object) -> bytes:
    return json.dumps({**json.loads(saved), **changes}).encode()


def _with_content(saved: bytes, **changes: object) -> bytes:
    whole = json.loads(saved)
    return EpisodeState(**{**whole["content"], **changes}).to_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda saved: saved.decode(), "got str"),
        (lambda saved: None, "got NoneType"),
        (lambda saved: b"", "foreign or truncated"),
        (lambda saved: b"\x80\x04\x95", "foreign or truncated"),
        (lambda saved: saved[:-40], "foreign or truncated"),
        (lambda saved: b"[1, 2]", f"format '{FORMAT}'"),
        (lambda saved: _rewritten(saved, format="other"), f"format '{FORMAT}'"),
        (lambda saved: _rewritten(saved, version=9), "version 1, got version 9"),
        (lambda saved: _rewritten(saved, content=7), "altered"),
        (lambda saved: saved.replace(b'"actions": [[0', b'"actions": [[-0'), "altered"),
        (lambda saved: _with_content(saved, outcome="0" * 64), "they lead elsewhere"),
        (lambda saved: _with_content(saved, actions=[]), "they lead elsewhere"),
    ],
)
def test_damaged_states_are_refused(damage, message: str) -> None:
    env = gym.make(ENV_ID).unwrapped
    env.reset(seed=0)
    env.step(np.full(7, 0.5))
    saved = env.save_state()
    with pytest.raises(EnvStateError, match=message):
        env.restore_state(damage(saved))
    if "elsewhere" in message:  # a wrong episode is not played on
        with pytest.raises(gym.error.ResetNeeded):
            env.step(ACTIONS[0])
    env.restore_state(saved)
    env.close()


def test_states_of_other_envs_are_refused_by_name() -> None:
    env = gym.make("ParrotGraspCup-v0").unwrapped
    env.reset(seed=0)
    saved = env.save_state()
    for env_id, variant, message in (
        ("ParrotPlaceCanInPan-v0", "image", r"task: .*objects: \['cup', 'cap'\] there"),
        ("ParrotGraspCup-v0", "camera", r"randomize: \[\] there, \['camera'\] here"),
    ):
        other = gym.make(env_id, **VARIANTS[variant]).unwrapped
        with pytest.raises(EnvStateError, match=message):
            other.restore_state(saved)
        other.close()
    env.close()
    with pytest.raises(EnvClosedError):
        env.restore_state(saved)


def test_saving_needs_an_episode_and_a_known_generator() -> None:
    env = gym.make(ENV_ID).unwrapped
    with pytest.raises(gym.error.ResetNeeded):
        env.save_state()
    env.np_random = np.random.Generator(np.random.MT19937(0))
    env.reset()
    with pytest.raises(EnvStateError, match="got MT19937"):
        env.save_state()
    env.close()


def test_a_forgotten_env_gives_its_client_back() -> None:
    env = ManipulationEnv()
    env.reset(seed=0)
    client = env._sim.client
    assert bullet.isConnected(client)
    del env
    gc.collect()
    assert not bullet.isConnected(client)
