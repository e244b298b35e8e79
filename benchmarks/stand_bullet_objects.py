"""Fit meshes of PyBullet's data package to the gripper, and find a side that each stands on.

    python benchmarks/stand_bullet_objects.py parrot_envs/assets/bullet_objects.json

A mesh falls on the table until it stands still, is turned so that its narrow side faces the
fingers, and is scaled to fit between them. It is kept if it then stands still from the start, is
neither too flat nor too long, and the scripted expert lifts it in `GRASPED` of `EPISODES` episodes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pybullet
import pybullet_data

from parrot_envs.appearance import ELONGATED_YAW, grasp_height
from parrot_envs.env import ManipulationEnv
from parrot_envs.own_things import FINGERTIP, MAX_REACH
from parrot_envs.registration import EPISODE_STEPS
from parrot_envs.scene_sets import SceneSet
from parrot_envs.sim import Simulator
from parrot_envs.tasks import Task
from parrot_envs.thing_library import thing_from_row

FloatArray = npt.NDArray[np.float64]

UPRIGHT = (0.5**0.5, 0.0, 0.0, 0.5**0.5)  # from y up, as in many files, to z up
LYING = (0.0, 0.0, 0.0, 1.0)
TOYS = {
    "duck": ("duck_vhacd.obj", UPRIGHT),
    "teddy": ("teddy2_VHACD_CHs.obj", LYING),
    "mug": ("objects/mug_col.obj", LYING),
    "lego": ("lego/lego.obj", UPRIGHT),
    "prism": ("toys/prism.obj", LYING),
}
"""File and first rotation of the objects that have names."""
MESHES_OF_BLOBS = 1000
LONGEST, WIDEST, TALLEST, FLATTEST = 0.07, 0.045, 0.056, 0.018
EPISODES, GRASPED = 10, 8


def vertices(mesh: str) -> FloatArray:
    """All vertices (N, 3) of an OBJ file of PyBullet's data package."""
    lines = Path(pybullet_data.getDataPath(), mesh).read_text("utf-8").splitlines()
    return np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)


def row_for(mesh: str, scale: float, rotation: Sequence[float]) -> dict[str, Any]:
    """How the mesh stands with this scale and rotation: an entry of the table."""
    turned = _turned(mesh, scale, rotation)
    low, high = turned.min(0), turned.max(0)
    middle = np.array([*(low + high)[:2] / 2, low[2]])
    placed = turned - middle
    height = float(placed[:, 2].max())
    radius = float(np.hypot(placed[:, 0], placed[:, 1]).max())
    return {
        "mesh": mesh,
        "scale": round(scale, 6),
        "position": (-middle).round(5).tolist(),
        "rotation": np.round(rotation, 5).tolist(),
        "radius": round(radius, 4),
        "height": round(height, 4),
        "yaw_range": round(_yaw_range(placed, grasp_height(height)), 4),
    }


def stand(mesh: str, rotation: Sequence[float]) -> dict[str, Any] | None:
    """Fit and stand a mesh; None if it is broken, does not stand still, or is too flat or long."""
    if not np.isfinite(vertices(mesh)).all():
        return None
    scale = 0.06 / float(np.ptp(_turned(mesh, 1.0, rotation), axis=0).max())
    for _ in range(8):
        row = row_for(mesh, scale, rotation)
        turn, still = _settle(row)
        if still:
            break
        rotation = pybullet.multiplyTransforms((0, 0, 0), turn, (0, 0, 0), rotation)[1]
    else:
        return None
    yaw = _narrowest_yaw(_turned(mesh, scale, rotation))
    rotation = pybullet.multiplyTransforms(
        (0, 0, 0), pybullet.getQuaternionFromEuler((0, 0, yaw)), (0, 0, 0), rotation
    )[1]
    size = np.ptp(_turned(mesh, scale, rotation), axis=0)
    scale *= float((np.array([LONGEST, WIDEST, TALLEST]) / size).min())
    row = row_for(mesh, scale, rotation)
    fits = row["height"] >= FLATTEST and row["yaw_range"] > 0
    return row if fits and _stands_at_any_yaw(row) else None


def grasp_rate(name: str, row: dict[str, Any]) -> float:
    """Share of episodes in which the scripted expert lifts the object."""
    scene = SceneSet((thing_from_row(name, row), "brick-0"), ("plate",))
    env = ManipulationEnv(scene, Task("grasp", name))
    wins = 0
    for seed in range(EPISODES):
        env.reset(seed=seed)
        expert = env.make_expert(np.random.default_rng([seed, 1]))
        for _ in range(EPISODE_STEPS):
            *_, info = env.step(expert.act())
        wins += info["is_success"]
    env.close()
    return wins / EPISODES


def _turned(mesh: str, scale: float, rotation: Sequence[float]) -> FloatArray:
    matrix = np.array(pybullet.getMatrixFromQuaternion(rotation)).reshape(3, 3)
    return (vertices(mesh) * scale) @ matrix.T


def _settle(row: dict[str, Any], yaw: float = 0.0) -> tuple[Sequence[float], bool]:
    """By which rotation it falls when put on the table, and whether it stays as it is."""
    sim = Simulator()
    sim.add_table()
    thing = thing_from_row("falling", row)
    body = sim.add_thing(thing, (0.3, 0.0), yaw, thing.colors)
    sim.step(480)
    position, rotation = sim.pose(body)
    sim.close()
    before = pybullet.getQuaternionFromEuler((0, 0, yaw))
    angle = 2 * np.arccos(min(1.0, abs(np.dot(before, rotation))))
    moved = np.linalg.norm(np.subtract(position, (0.3, 0.0, thing.height / 2)))
    return rotation, bool(angle < 0.04 and moved < 0.003)


def _stands_at_any_yaw(row: dict[str, Any]) -> bool:
    return all(_settle(row, yaw)[1] for yaw in row["yaw_range"] * np.linspace(-1, 1, 8))


def _narrowest_yaw(turned: FloatArray) -> float:
    yaws = np.linspace(0, np.pi, 91)
    widths = [np.ptp(turned[:, 0] * np.sin(yaw) + turned[:, 1] * np.cos(yaw)) for yaw in yaws]
    return float(yaws[int(np.argmin(widths))])


def _yaw_range(placed: FloatArray, grasp: float) -> float:
    """The widest of a few ranges of yaw at which the fingers pass on both sides; 0 if none."""
    passed = placed[placed[:, 2] > grasp - FINGERTIP]
    for yaw_range in (float(np.pi), ELONGATED_YAW) if len(passed) else ():
        yaws = np.linspace(-yaw_range, yaw_range, 61)[:, None]
        sideways = passed[:, 0] * np.sin(yaws) + passed[:, 1] * np.cos(yaws)
        if np.abs(sideways).max() < MAX_REACH:
            return yaw_range
    return 0.0


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table and say what was left out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--blobs", type=int, default=100, help="how many to keep")
    args = parser.parse_args(argv)
    table: dict[str, dict[str, Any]] = {}
    for name, (mesh, rotation) in TOYS.items():
        keep_if_useful(table, name, mesh, rotation)
    for number in range(MESHES_OF_BLOBS):
        if len(table.keys() - TOYS) < args.blobs:
            mesh = f"random_urdfs/{number:03d}/{number:03d}.obj"
            keep_if_useful(table, f"blob-{number:03d}", mesh, LYING)
    args.out.write_text(
        "{\n" + ",\n".join(f'"{n}": {json.dumps(r)}' for n, r in table.items()) + "\n}\n", "utf-8"
    )


def keep_if_useful(
    table: dict[str, dict[str, Any]], name: str, mesh: str, rotation: Sequence[float]
) -> None:
    """Enter the object into the table if it stands and is grasped, and say so."""
    row = stand(mesh, rotation)
    rate = grasp_rate(name, row) if row is not None else 0.0
    print(f"{name}: {'does not stand, or is flat' if row is None else f'grasped {rate:.2f}'}")
    if row is not None and rate >= GRASPED / EPISODES:
        table[name] = row


if __name__ == "__main__":
    main()
