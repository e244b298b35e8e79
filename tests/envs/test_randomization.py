"""Randomised looks: what changes, within which ranges, and that things stay in sight."""

from __future__ import annotations

import itertools
import json

import gymnasium as gym
import numpy as np
import pytest

from parrot_envs.camera import CameraConfig, Look
from parrot_envs.domain_randomization import (
    AMBIENT,
    DIFFUSE,
    LAMP_ELEVATION,
    PITCH_JITTER,
    RANDOMIZATIONS,
    TARGET_JITTER,
    YAW_JITTER,
    ZOOM_JITTER,
)
from parrot_envs.env import ManipulationEnv
from parrot_envs.observations import Observer
from parrot_envs.scene import TABLE_HIGH, TABLE_LOW
from tests.envs.episodes import as_bytes

ENV_ID = "ParrotGraspCup-v0"


def _looks(name: str, episodes: int, monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """The looks that episodes are given."""
    looks: list[Look] = []
    monkeypatch.setattr(Observer, "aim", lambda self, look: looks.append(look))
    env = ManipulationEnv(obs="state", randomize=[name])
    env.reset(seed=0)
    for _ in range(episodes - 1):
        env.reset()
    env.close()
    nominal, *drawn = looks
    assert nominal == Look()
    return drawn


def _spread(values: list[float], low: float, high: float) -> None:
    """Within the range, and using most of it."""
    assert low <= min(values) and max(values) <= high
    assert max(values) - min(values) > 0.8 * (high - low)


def test_camera_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = _looks("camera", 60, monkeypatch)
    assert all(Look(camera=look.camera) == look for look in looks)
    nominal, cameras = CameraConfig(), [look.camera for look in looks]
    for axis in range(3):
        moved = [c.target[axis] - nominal.target[axis] for c in cameras]
        _spread(moved, -TARGET_JITTER, TARGET_JITTER)
    for part in ("distance", "fov"):
        zoom = [getattr(c, part) / getattr(nominal, part) - 1 for c in cameras]
        _spread(zoom, -ZOOM_JITTER, ZOOM_JITTER)
    _spread([c.pitch - nominal.pitch for c in cameras], -PITCH_JITTER, PITCH_JITTER)
    _spread([c.yaw - nominal.yaw for c in cameras], -YAW_JITTER, YAW_JITTER)


def test_light_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = _looks("light", 60, monkeypatch)
    assert all(Look(light=look.light) == look for look in looks)
    _spread([look.light.ambient for look in looks], *AMBIENT)
    _spread([look.light.diffuse for look in looks], *DIFFUSE)
    directions = np.array([look.light.direction for look in looks])
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0)
    _spread(np.rad2deg(np.arcsin(directions[:, 2])).tolist(), *LAMP_ELEVATION)
    side = np.cos(np.deg2rad(LAMP_ELEVATION[0]))
    _spread(directions[:, 0].tolist(), -side, side)


def test_colors_of_table_and_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = _looks("colors", 30, monkeypatch)
    assert all(Look(table=look.table, floor=look.floor) == look for look in looks)
    colors = np.array([[look.table, look.floor] for look in looks])
    assert colors.min() >= 0 and colors.max() <= 1
    assert len({tuple(row) for row in colors.reshape(-1, 3)}) == 60


def test_things_stay_in_sight_from_every_corner_of_the_camera_range() -> None:
    (x0, y0), (x1, y1) = TABLE_LOW, TABLE_HIGH
    spots = np.array([[x, y, 0.02] for x in (x0, x1) for y in (y0, y1)])
    nominal = CameraConfig()
    observer = Observer("image", 48, 1, 2)
    for dx, dy, dz, zoom, fov, pitch, yaw in itertools.product((-1, 1), repeat=7):
        x, y, z = nominal.target
        camera = CameraConfig(
            (x + dx * TARGET_JITTER, y + dy * TARGET_JITTER, z + dz * TARGET_JITTER),
            nominal.distance * (1 + zoom * ZOOM_JITTER),
            nominal.pitch + pitch * PITCH_JITTER,
            nominal.fov * (1 + fov * ZOOM_JITTER),
            nominal.yaw + yaw * YAW_JITTER,
        )
        observer.aim(Look(camera))
        pixels = observer.pixels(spots)
        assert pixels.min() >= -0.5 and pixels.max() <= 47.5


@pytest.mark.parametrize("name", RANDOMIZATIONS)
def test_each_randomisation_is_seen_and_new_in_every_episode(name: str) -> None:
    plain = gym.make(ENV_ID).reset(seed=0)[0]
    env = gym.make(ENV_ID, randomize=(name,))
    env.reset(seed=0)
    env.reset()
    image = env.reset(seed=0)[0]
    assert (image != plain).mean() > 0.1
    assert (env.reset()[0] != image).mean() > 0.1
    env.close()


def test_labels_follow_the_camera() -> None:
    """The cup is where the labels say, in the jittered image too."""
    plain = gym.make(ENV_ID, image_size=96).unwrapped
    env = gym.make(ENV_ID, image_size=96, randomize=["camera"]).unwrapped
    shifts = []
    for seed in range(12):
        plain.reset(seed=seed)
        image, _ = env.reset(seed=seed)
        labels, plain_labels = env.privileged_labels(), plain.privileged_labels()
        assert (labels["landmarks"] == plain_labels["landmarks"]).all()
        shifts.append(labels["landmark_pixels"] - plain_labels["landmark_pixels"])
        column, row = labels["landmark_pixels"][0].round().astype(int)
        red, _, blue = image[row, column].astype(int)
        assert blue > red + 60  # the cup is blue, the table is not
        assert (env.render_mode, plain.render_mode) == (None, None)
    assert np.abs(shifts).max() > 4
    env.close()
    plain.close()


def test_pictures_show_the_same_look_as_the_images() -> None:
    env = gym.make(
        ENV_ID, image_size=64, render_size=64, render_mode="rgb_array",
        randomize=["camera", "colors", "light"],
    )  # fmt: skip
    for seed in range(3):
        assert (env.reset(seed=seed)[0] == env.render()).all()
    env.close()


@pytest.mark.parametrize("obs", ["image", "image_proprio"])
def test_spec_survives_json(obs: str) -> None:
    spec = gym.make(ENV_ID, randomize=("light", "camera"), obs=obs).spec
    again = gym.make(gym.envs.registration.EnvSpec.from_json(spec.to_json()))
    original = gym.make(spec)
    assert as_bytes(*again.reset(seed=0)) == as_bytes(*original.reset(seed=0))
    assert again.unwrapped.camera_spec() == original.unwrapped.camera_spec()


def test_camera_spec_tells_what_is_randomised() -> None:
    plain = gym.make(ENV_ID).unwrapped.camera_spec()
    env = gym.make(ENV_ID, randomize=["light", "camera", "light"]).unwrapped
    before = env.camera_spec()
    env.reset(seed=0)
    assert env.camera_spec() == before == {**plain, "randomize": ["camera", "light"]}
    assert "randomize" not in plain
    json.dumps(before)
    env.close()


def test_shared_colour_stays_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[tuple[object, ...]] = []
    env = ManipulationEnv(obs="state", colors="shared", randomize=["colors"])
    env.reset(seed=0)
    monkeypatch.setattr(env._sim, "paint", lambda body, thing, colors: painted.append(colors))
    for _ in range(6):
        painted.clear()
        env.reset()
        one, other, container = painted[-3:]
        assert one == other != container
        assert one[0] == one[1]
    env.close()
