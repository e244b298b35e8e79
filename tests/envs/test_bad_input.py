"""Whatever a user passes in: a typed error that says what is right, and an env that still works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from parrot_envs.env import ManipulationEnv
from parrot_envs.errors import (
    EnvArgumentError,
    EnvClosedError,
    EnvStateError,
    ParrotEnvError,
    SceneError,
)
from tests.envs.episodes import as_bytes, play

GOOD = np.zeros(7, np.float32)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"scene": "multi-tusk"}, "Did you mean 'multi-task'"),
        ({"scene": ["multi-task"]}, "scene"),
        ({"task": "plaice"}, "Did you mean 'place'"),
        ({"task": None}, "task"),
        ({"target": "canoe-1000"}, "Did you mean 'canoe-"),
        ({"objects": ["bottle-0"]}, "at least 2 different objects"),
        ({"objects": ["bottle-0", "bottel-1"]}, "Did you mean 'bottle-1'"),
        ({"obs": "sate"}, "Did you mean 'state'"),
        ({"obs": ["image"]}, "Known: image, image_proprio, state"),
        ({"image_size": 35}, "at least 36 pixels .*got 35"),
        ({"image_size": 48.0}, "got 48.0"),
        ({"image_size": "48"}, "got '48'"),
        ({"image_size": True}, "got True"),
        ({"render_mode": "rgb"}, "Did you mean 'rgb_array'"),
        ({"render_size": 0}, "render_size must be an int of at least 1 pixels .*got 0"),
        ({"render_size": -256}, "got -256"),
        ({"render_size": None}, "got None"),
        ({"randomize": ["colours"]}, "Unknown randomization 'colours'. Did you mean 'colors'"),
        ({"randomize": "cam"}, "Did you mean 'camera'"),
        ({"randomize": [["camera"]]}, "Known: camera, colors, light"),
        ({"randomize": True}, "must be a tuple of names out of camera, colors, light, got True"),
        ({"randomize": {"camera": 1}}, "must be a tuple of names"),
        ({"terminate_on_success": "False"}, "True or False, got 'False'"),
    ],
    ids=str,
)
def test_constructor(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(EnvArgumentError, match=message):
        ManipulationEnv(**kwargs)


USES: dict[str, tuple[Callable[[ManipulationEnv], Any], type[Exception], str]] = {
    "short action": (lambda env: env.step(np.zeros(6)), EnvArgumentError, r"\(7,\), got \(6,\)"),
    "batch of actions": (lambda env: env.step(np.zeros((1, 7))), EnvArgumentError, r"\(1, 7\)"),
    "scalar action": (lambda env: env.step(0.0), EnvArgumentError, r"got \(\)"),
    "no action": (lambda env: env.step(None), EnvArgumentError, r"got \(\)"),
    "words": (lambda env: env.step(["up"] * 7), EnvArgumentError, "7 numbers"),
    "mapping": (lambda env: env.step({"x": 1}), EnvArgumentError, "7 numbers"),
    "ragged": (lambda env: env.step([[1], [1, 2]]), EnvArgumentError, "7 numbers"),
    "NaN": (lambda env: env.step(np.full(7, np.nan)), EnvArgumentError, "finite"),
    "one NaN": (lambda env: env.step([0, 0, np.nan, 0, 0, 0, 0]), EnvArgumentError, "finite"),
    "infinity": (lambda env: env.step([0, 0, 0, 0, 0, 0, -np.inf]), EnvArgumentError, "finite"),
    "options": (lambda env: env.reset(options="fast"), EnvArgumentError, "dict or None"),
    "list of options": (lambda env: env.reset(options=[1]), EnvArgumentError, "dict or None"),
    "unknown option": (
        lambda env: env.reset(options={"target": "cup"}), EnvArgumentError, "no options.*'target'",
    ),
    "negative seed": (lambda env: env.reset(seed=-1), gym.error.Error, "zero, actual value: -1"),
    "real seed": (lambda env: env.reset(seed=0.5), gym.error.Error, "integer"),
    "foreign state": (lambda env: env.restore_state(b"{}"), EnvStateError, "Expected a state"),
    "no state": (lambda env: env.restore_state(None), EnvStateError, "got NoneType"),
    "negative noise": (
        lambda env: env.make_expert(np.random.default_rng(0), -0.1), EnvArgumentError, "got -0.1",
    ),
    "NaN noise": (
        lambda env: env.make_expert(np.random.default_rng(0), float("nan")), EnvArgumentError,
        "got nan",
    ),
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_a_refused_use_leaves_the_episode_as_it_was(use: str) -> None:
    call, error, message = USES[use]
    env, untouched = ManipulationEnv(), ManipulationEnv()
    for e in (env, untouched):
        e.reset(seed=0)
        e.step(GOOD)
    with pytest.raises(error, match=message):
        call(env)
    assert as_bytes(*env.step(GOOD)) == as_bytes(*untouched.step(GOOD))
    assert env.save_state() == untouched.save_state()
    env.close()
    untouched.close()


@pytest.mark.parametrize("use", ["step", "make_expert", "privileged_labels", "save_state"])
def test_nothing_is_asked_before_the_first_reset(use: str) -> None:
    arguments = {"step": (GOOD,), "make_expert": (np.random.default_rng(0),)}.get(use, ())
    env = ManipulationEnv(render_mode="rgb_array")
    with pytest.raises(gym.error.ResetNeeded, match="Call reset"):
        getattr(env, use)(*arguments)
    env.reset(seed=0)
    saved = env.save_state()
    env.close()
    with pytest.raises(EnvClosedError, match="gym.make"):
        getattr(env, use)(*arguments)
    for call in (env.reset, env.render, lambda: env.restore_state(saved)):
        with pytest.raises(ParrotEnvError, match="closed"):
            call()
    env.close()


def test_a_reset_that_fails_ends_the_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    env = ManipulationEnv()
    before = env.reset(seed=0)[0]
    with monkeypatch.context() as crowded:
        crowded.setattr("parrot_envs.scene._free_spot", lambda *_: None)
        with pytest.raises(SceneError, match="No free place"):
            env.reset(seed=0)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(GOOD)
    assert (env.reset(seed=0)[0] == before).all()
    env.close()


@pytest.mark.parametrize("size", [1.0, 2.0, 1e6, 1e300])
def test_actions_out_of_range_count_as_the_nearest_in_range(size: float) -> None:
    results = []
    for bound in (1.0, size):
        env = ManipulationEnv(obs="state")
        env.reset(seed=0)
        rng = np.random.default_rng(1)
        states = [env.step(rng.choice([-bound, bound], 7))[0] for _ in range(25)]
        assert np.isfinite(states).all()
        results.append(np.stack(states))
        env.close()
    assert (results[0] == results[1]).all()


def test_wild_actions_never_break_the_simulator() -> None:
    """A thousand steps of full swings without a reset, the gripper always toggling."""
    env = ManipulationEnv(obs="state")
    state, _ = env.reset(seed=0)
    rng = np.random.default_rng(0)
    for step in range(1_000):
        action = np.append(rng.choice([-1.0, 1.0], 6), 1.0 if step % 2 else -1.0)
        state, reward, *_ = env.step(action)
        assert np.isfinite(state).all() and reward in (0.0, 1.0)
    assert play(env, 3) == play(env, 3)
    env.close()
