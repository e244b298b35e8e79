"""PyBullet's window on a real X server, where Xvfb is installed, and displays that have none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from parrot_envs.display import usable_display
from parrot_envs.env import ManipulationEnv
from parrot_envs.errors import EnvClosedError
from parrot_envs.sim import Simulator, bullet

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
    monkeypatch.setattr("parrot_envs.display._PATIENCE", 0.0)
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
