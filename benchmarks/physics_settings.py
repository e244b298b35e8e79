"""What the settings of physics and rendering cost, and what they do to the scripted expert.

    python benchmarks/physics_settings.py

Every variant changes one thing of the envs as they are. All play the same seeded scripted episodes
of grasping and of placing, in turns of a few, so that each meets the same load of the machine. The
times are of this process alone, as ratios to the unchanged envs in the same turn: the median turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import thread_time
from typing import Any
from unittest.mock import patch

import gymnasium as gym
import numpy as np
from call_clock import CallClock
from envs import pin_to_one_core

from parrot_envs import camera, robot, sim
from parrot_envs.sim import TIME_STEP, Simulator, bullet
from parrot_wrapper.evaluation.report import markdown_table

TASKS = {"grasped": "ParrotGrasp-v0", "placed": "ParrotPickPlace-v0"}
ROUND_EPISODES = 5


@dataclass(frozen=True)
class Variant:
    """One change to the envs.

    Attributes:
        name: What the table calls it.
        engine: Arguments of PyBullet's `setPhysicsEngineParameter`.
        patches: Attributes (owner, name, value) that are replaced while the variant plays.
        make: Arguments of `gym.make`.
    """

    name: str
    engine: dict[str, float] = field(default_factory=dict)
    patches: tuple[tuple[Any, str, Any], ...] = ()
    make: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def env(self, env_id: str) -> Iterator[gym.Env[Any, Any]]:
        """An env with this change, for the block."""
        with ExitStack() as stack:
            for owner, name, value in self.patches:
                stack.enter_context(patch.object(owner, name, value))
            env = gym.make(env_id, **self.make)
            client = env.unwrapped._sim.client
            bullet.setPhysicsEngineParameter(**self.engine, physicsClientId=client)
            yield env
            env.close()


def substeps(count: int) -> Variant:
    """The same time for an action, cut into more or fewer steps of the engine."""
    step = TIME_STEP * robot._SUBSTEPS / count
    return Variant(
        f"{count} substeps of 1/{1 / step:.0f} s",
        {"fixedTimeStep": step},
        (
            (robot, "_SUBSTEPS", count),
            (robot, "_TOGGLE_SUBSTEPS", count * robot._TOGGLE_SUBSTEPS // robot._SUBSTEPS),
            (robot, "TIME_STEP", step),
        ),
    )


def always(function: str, **kwargs: Any) -> tuple[tuple[Any, str, Any], ...]:
    """Patches that give a function of PyBullet other arguments."""
    original = getattr(bullet, function)
    return ((bullet, function, lambda *a, **given: original(*a, **{**given, **kwargs})),)


def draw_table(simulator: Simulator) -> None:
    """Stands for `Simulator.add_table`: the renderer draws what our camera composites."""
    shape = bullet.createCollisionShape(
        bullet.GEOM_BOX, halfExtents=(0.6, 0.6, 0.05), physicsClientId=simulator.client
    )
    top = bullet.createVisualShape(
        bullet.GEOM_BOX, halfExtents=(0.2, 0.25, 0.05), rgbaColor=(*camera.TABLE_COLOR, 1),
        physicsClientId=simulator.client,
    )  # fmt: skip
    bullet.createMultiBody(0, shape, top, (0.35, 0, -0.05), physicsClientId=simulator.client)


def pass_through_table(original: Any) -> Any:
    """Stands for `Robot.__init__`: the table, which is body 0, and the hand ignore each other."""

    def init(arm: robot.Robot, simulator: Simulator) -> None:
        original(arm, simulator)
        for link in range(-1, 8):
            bullet.setCollisionFilterPair(
                0, arm._body, -1, link, 0, physicsClientId=simulator.client
            )

    return init


def variants() -> list[Variant]:
    """All changes that are measured; the first one changes nothing."""
    boxes = dict.fromkeys(sim._KINDS, bullet.GEOM_BOX)
    return [
        Variant("as it is"),
        *(Variant(f"{n} solver iterations", {"numSolverIterations": n}) for n in (5, 10, 50, 100)),
        *(substeps(count) for count in (2, 3, 6, 8)),
        *(Variant(f"joint gain {g}", patches=((robot, "_GAIN", g),)) for g in (0.4, 0.6, 1.0)),
        Variant("solver stops at residual 0", {"solverResidualThreshold": 0.0}),
        Variant("solver stops at residual 1e-2", {"solverResidualThreshold": 1e-2}),
        Variant("contact ERP 0.05", {"contactERP": 0.05}),
        Variant("contact ERP 0.8", {"contactERP": 0.8}),
        Variant("contact breaking at 1 mm", {"contactBreakingThreshold": 0.001}),
        Variant("cone friction", {"enableConeFriction": 1}),
        Variant("pairs in no fixed order", {"deterministicOverlappingPairs": 0}),
        Variant("things in reduced coordinates",
                patches=always("createMultiBody", useMaximalCoordinates=0)),
        Variant("hand passes through the table",
                patches=((robot.Robot, "__init__", pass_through_table(robot.Robot.__init__)),)),
        Variant("round parts as boxes",
                patches=((sim, "_KINDS", boxes), (sim, "_ROUND_MESHES", {}))),
        Variant("round parts drawn as PyBullet's hulls", patches=((sim, "_ROUND_MESHES", {}),)),
        Variant("shadows", patches=always("getCameraImage", shadow=1)),
        Variant("segmentation mask", patches=always("getCameraImage", flags=0)),
        Variant("table drawn by the renderer",
                patches=((Simulator, "add_table", draw_table),)),
        *(Variant(f"image of {n}x{n}", make={"image_size": n}) for n in (64, 84, 128)),
    ]  # fmt: skip


@dataclass
class Record:
    """What one variant did: mean seconds in each turn, and how often the task was done."""

    resets: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    physics: list[float] = field(default_factory=list)
    images: list[float] = field(default_factory=list)
    wins: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TASKS, 0))


def play_turn(variant: Variant, seeds: range, record: Record) -> None:
    """Scripted episodes of both tasks."""
    physics, images = CallClock(thread_time), CallClock(thread_time)
    resetting, stepping, steps = 0.0, 0.0, 0
    for task, env_id in TASKS.items():
        with variant.env(env_id) as env:
            for seed in seeds:
                started = thread_time()
                env.reset(seed=seed)
                resetting += thread_time() - started
                expert = env.unwrapped.make_expert(np.random.default_rng([seed, 1]))
                truncated, info = False, {}
                with (
                    physics.installed(bullet, ["stepSimulation"]),
                    images.installed(bullet, ["getCameraImage"]),
                ):
                    while not truncated:
                        action = expert.act()
                        started = thread_time()
                        _, _, _, truncated, info = env.step(action)
                        stepping += thread_time() - started
                        steps += 1
                record.wins[task] += info["is_success"]
    record.resets.append(resetting / (len(seeds) * len(TASKS)))
    record.steps.append(stepping / steps)
    record.physics.append(physics.seconds / steps)
    record.images.append(images.seconds / steps)


def ratio(ours: list[float], theirs: list[float]) -> str:
    """The median ratio of the turns."""
    return f"{median(a / b for a, b in zip(ours, theirs, strict=True)):.2f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Play all variants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--episodes", type=int, default=100, help="of each task and variant")
    args = parser.parse_args(argv)
    records = {variant.name: Record() for variant in variants()}
    for first in range(0, args.episodes, ROUND_EPISODES):
        seeds = range(first, min(first + ROUND_EPISODES, args.episodes))
        for variant in variants():
            play_turn(variant, seeds, records[variant.name])
    unchanged = next(iter(records.values()))
    rows = [
        [
            name,
            ratio(record.steps, unchanged.steps),
            ratio(record.physics, unchanged.physics),
            ratio(record.images, unchanged.images),
            ratio(record.resets, unchanged.resets),
            *(f"{wins / args.episodes:.2f}" for wins in record.wins.values()),
        ]
        for name, record in records.items()
    ]
    print(markdown_table(["variant", "step", "physics", "image", "reset", *TASKS], rows))


if __name__ == "__main__":
    pin_to_one_core()
    main()
