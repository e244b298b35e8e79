"""What agents and people see: spaces, the state vector, picture sizes, the window."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import gymnasium as gym
import numpy as np
import pytest

import parrot_envs
from parrot_envs import camera
from parrot_envs.camera import Camera
from parrot_envs.env import ManipulationEnv
from parrot_envs.errors import EnvClosedError
from parrot_envs.observations import OBSERVATION_MODES, state_layout
from parrot_envs.robot import POSITION_SCALE
from parrot_envs.sim import TIME_STEP, Simulator, bullet, usable_display

FIELDS = state_layout()


def _rotation_of(env: ManipulationEnv, body: int) -> np.ndarray:
    _, quaternion = bullet.getBasePositionAndOrientation(body, physicsClientId=env._sim.client)
    return np.array(bullet.getMatrixFromQuaternion(quaternion)).reshape(3, 3)


@pytest.mark.parametrize("env_id", parrot_envs.ENV_IDS)
@pytest.mark.parametrize("obs", OBSERVATION_MODES)
def test_every_observation_is_in_its_space_and_the_callers_own(env_id: str, obs: str) -> None:
    env = gym.make(env_id, obs=obs).unwrapped
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    again = env.step(np.zeros(7))[0]
    assert again in env.observation_space
    parts = zip(*(x.values() if obs == "image_proprio" else [x] for x in (observation, again)),
                strict=True)  # fmt: skip
    assert not any(np.shares_memory(one, other) for one, other in parts)
    env.close()


@pytest.mark.parametrize("env_id", ["ParrotPlaceCanInPan-v0", "ParrotMultiTask-v0"])
def test_state_is_the_simulators(env_id: str) -> None:
    env = gym.make(env_id, obs="state").unwrapped
    env.reset(seed=1)
    rng = np.random.default_rng(2)
    expert = env.make_expert(rng)
    moved = False
    for step in range(20):
        state = env.step(expert.act() if step % 3 else rng.uniform(-1, 1, 7))[0]
        told = {name: state[where] for name, where in FIELDS.items()}
        proprio = env._robot.proprioception()
        np.testing.assert_array_equal(state[:8], proprio)
        scene = env._episode.scene
        for name, placed in zip(
            ("object_0", "object_1", "container"), (*scene.objects, scene.container), strict=True
        ):
            pose, _ = bullet.getBasePositionAndOrientation(
                placed.body, physicsClientId=env._sim.client
            )
            np.testing.assert_array_equal(told[f"{name}.position"], np.float32(pose))
            turned = told[f"{name}.rotation"].reshape(2, 3).T
            np.testing.assert_allclose(turned, _rotation_of(env, placed.body)[:, :2], atol=1e-6)
            velocity, _ = bullet.getBaseVelocity(placed.body, physicsClientId=env._sim.client)
            np.testing.assert_array_equal(told[f"{name}.velocity"], np.float32(velocity))
            moved |= np.linalg.norm(velocity) > 0.05
            thing = placed.thing
            sizes = [told[f"{name}.{field}"].item() for field in ("radius", "height")]
            assert sizes == pytest.approx([thing.radius, thing.height])
            expected = thing.name in (env._task.target or thing.name) and name != "container"
            assert told[f"{name}.is_target"].item() == expected
            assert (told[f"{name}.place_radius"].item() > 0) == (name == "container")
    assert moved
    env.close()


def _act_on_state(state: np.ndarray) -> np.ndarray:
    """Grasp the target, from nothing but the state vector."""
    told = {name: state[where] for name, where in FIELDS.items()}
    name = next(n for n in ("object_0", "object_1") if told[f"{n}.is_target"])
    offset = told[f"{name}.position"] + told[f"{name}.handle"] - told["tip"]
    move, grip = offset, 1.0
    if told["closed"] or (np.hypot(*offset[:2]) < 0.011 and offset[2] > -0.008):
        grip, move = -1.0, np.array([0, 0, 0.04 if told["closed"] else 0.0])
    elif np.hypot(*offset[:2]) > 0.02:
        move = np.add(offset, [0, 0, 0.055])
    return np.append(np.clip(move / POSITION_SCALE, -1, 1), [0, 0, 0, grip])


def test_state_is_enough_to_grasp() -> None:
    env = gym.make("ParrotGraspCup-v0", obs="state")
    wins = 0
    for seed in range(20):
        state, _ = env.reset(seed=seed)
        for _ in range(25):
            state, *_, info = env.step(_act_on_state(state))
        wins += info["is_success"]
    assert wins >= 15
    env.close()


def test_state_mode_never_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    env = gym.make(
        "ParrotMultiTask-v0", obs="state", render_mode="rgb_array", randomize=["camera"]
    ).unwrapped
    drawn = []
    monkeypatch.setattr(Camera, "image", lambda self, client: drawn.append(self.size))
    env.reset(seed=0)
    env.step(np.zeros(7))
    env.restore_state(env.save_state())
    assert drawn == []
    env.render()
    assert drawn == [256]
    env.close()


@pytest.mark.parametrize("size", [36, 84, 200])
def test_image_size_changes_nothing_but_resolution(size: int) -> None:
    env = gym.make("ParrotGraspCup-v0", image_size=size)
    fine = gym.make("ParrotGraspCup-v0", image_size=400)
    image, sharp = env.reset(seed=0)[0], fine.reset(seed=0)[0]
    assert image.shape == (size, size, 3)
    rows = ((np.arange(size) + 0.5) / size * 400).astype(int)
    other, _ = env.reset(seed=1)
    near, far = (np.abs(x.astype(int) - sharp[np.ix_(rows, rows)]).mean() for x in (image, other))
    assert near < 0.5 * far
    for e in (env, fine):
        e.reset(seed=0)
        labels = e.unwrapped.privileged_labels()
        assert labels["landmark_kinds"].tolist() == [0.0, 0.0, 1.0]
        column, row = labels["landmark_pixels"][0].round().astype(int)
        red, _, blue = e.reset(seed=0)[0][row, column].astype(int)
        assert blue > red + 60  # the cup
        e.close()


@pytest.mark.parametrize("size", [1, 40, 333])
def test_pictures_of_any_size_do_not_disturb_the_episode(size: int) -> None:
    env = gym.make("ParrotGraspCup-v0", render_mode="rgb_array", render_size=size).unwrapped
    plain = gym.make("ParrotGraspCup-v0").unwrapped
    assert (env.reset(seed=0)[0] == plain.reset(seed=0)[0]).all()
    for action in np.random.default_rng(0).uniform(-1, 1, (10, 7)):
        picture = env.render()
        assert picture.shape == (size, size, 3) and picture.dtype == np.uint8
        assert (env.step(action)[0] == plain.step(action)[0]).all()
    env.close()
    plain.close()


def test_modes_without_pictures_return_none() -> None:
    env = gym.make("ParrotGraspCup-v0").unwrapped
    assert env.render() is None
    env.close()


def test_human_mode_opens_the_window_and_shows_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a client without window in place of the real one: there is no display here."""
    connected, lines = [], []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("parrot_envs.sim.usable_display", nullcontext)
    connect = bullet.connect

    def connect_headless(mode: int) -> int:
        connected.append(mode)
        return connect(bullet.DIRECT)

    monkeypatch.setattr(bullet, "connect", connect_headless)
    monkeypatch.setattr(bullet, "addUserDebugLine", lambda *a, **k: lines.append(a[:2]))
    env = ManipulationEnv(render_mode="human")
    assert connected == [bullet.GUI]
    xs, ys, _ = np.array(lines).reshape(-1, 3).T
    half = np.array(camera.TABLE_HALF)
    np.testing.assert_allclose([np.ptp(xs), np.ptp(ys)], 2 * half)
    monkeypatch.setattr("parrot_envs.sim.time.sleep", lambda seconds: None)
    plain = ManipulationEnv()
    assert (env.reset(seed=0)[0] == plain.reset(seed=0)[0]).all()
    assert (env.step(np.ones(7))[0] == plain.step(np.ones(7))[0]).all()
    assert env.render() is None
    env.close()
    plain.close()


def test_the_window_runs_in_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("parrot_envs.sim.time.sleep", slept.append)
    headless = Simulator()
    headless.step(8)
    assert slept == []
    headless._gui = True
    headless.step(8)
    assert 4 * TIME_STEP < sum(slept) < 8 * TIME_STEP  # less the time that physics took
    headless.close()


WATCHED = """
import copy
import numpy as np
from parrot_envs.env import ManipulationEnv
from parrot_envs.errors import EnvClosedError

env, headless = ManipulationEnv(render_mode="human"), ManipulationEnv()
assert (env.reset(seed=0)[0] == headless.reset(seed=0)[0]).all()
assert (env.step(np.ones(7))[0] == headless.step(np.ones(7))[0]).all()
for second in (lambda: ManipulationEnv(render_mode="human"), lambda: copy.copy(env)):
    try:
        second()
    except EnvClosedError as error:
        assert "close the other" in str(error), error
    else:
        raise AssertionError("two windows")
assert (env.step(np.ones(7))[0] == headless.step(np.ones(7))[0]).all()
env.close()
env.close()
ManipulationEnv(render_mode="human").close()
"""


@pytest.fixture
def start_server() -> Iterator[Callable[..., str]]:
    """Starts X servers that end with the test; gives the name of their display."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed")
    servers: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> str:
        reading, writing = os.pipe()
        server = subprocess.Popen(
            [program, "-displayfd", str(writing), *arguments],
            pass_fds=(writing,), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        servers.append(server)
        os.close(writing)
        with open(reading) as told:
            return f":{told.readline().strip()}"

    yield start
    for server in servers:
        server.terminate()
        server.wait()


def test_a_window_shows_the_same_episode_and_opens_again(start_server: Callable[..., str]) -> None:
    """In a process of its own: PyBullet ends the one whose window fails."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        env={**os.environ, "DISPLAY": start_server()}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="X11")
@pytest.mark.parametrize("display", ["", ":31999"])
def test_a_display_where_no_server_answers(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setattr("parrot_envs.sim._PATIENCE", 0.0)
    with pytest.raises(EnvClosedError, match="needs a display, and .*'rgb_array'"):
        ManipulationEnv(render_mode="human")


def test_a_display_without_opengl(
    start_server: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", start_server("-extension", "GLX"))
    with pytest.raises(EnvClosedError, match="GLX"), usable_display():
        pass


def test_use_after_the_user_closed_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is gone without `close` stands for the window that somebody closed."""
    env = ManipulationEnv()
    env.reset(seed=0)
    bullet.disconnect(env._sim.client)
    with pytest.raises(bullet.error):
        env.step(np.zeros(7))
    monkeypatch.setattr(env._sim, "_gui", True)
    with pytest.raises(EnvClosedError, match="window was closed"):
        env.step(np.zeros(7))
    with pytest.raises(EnvClosedError, match="gym.make"):
        env.reset(seed=0)
    env.close()


def test_a_reset_is_shown_when_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(bullet, "configureDebugVisualizer", lambda *a, **k: asked.append(a[:2]))
    simulator = Simulator()
    simulator._gui = True
    with pytest.raises(KeyError), simulator.window(still=True):
        assert asked == [(bullet.COV_ENABLE_RENDERING, 0)]
        raise KeyError
    assert asked[1:] == [(bullet.COV_ENABLE_RENDERING, 1)]
    with simulator.window():
        pass
    assert len(asked) == 2
    simulator.close()
