"""Our envs beside the Widow250 grasping env of the paper's authors, both on images of 48x48.

    python benchmarks/against_original.py --roboverse ~/roboverse

Needs a checkout of `avisingh599/roboverse` on GitHub with its submodule of object meshes: `git
clone --recurse-submodules`. Nothing of it has to be installed: Gymnasium stands in for the old gym
that it imports. Without the submodule there is `--objects duck`, which comes with PyBullet.

Its env keeps to PyBullet's first client, so there is one of it, and each of ours in turns with it.
Both draw uniform actions of their own spaces; the gripper is left open unless `--toggle` is given,
as either takes many more physics steps while it moves. Speeds are by this process's time on its
core, medians of episodes; the parts of a step are from further episodes, with clocks in them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Any

import gymnasium as gym
from call_clock import CallClock
from envs import pin_to_one_core

from parrot_envs import kinematics
from parrot_envs.sim import bullet
from parrot_wrapper.evaluation.report import markdown_table

ORIGINAL = "Widow250Env"
EPISODE_STEPS = 25
PARTS = {
    "physics": ((bullet, "stepSimulation"),),
    "image": ((bullet, "getCameraImage"),),
    "kinematics": ((bullet, "calculateInverseKinematics"), (kinematics, "inverse")),
}
SCALE = 0.7


def make_original(checkout: Path, objects: Sequence[str], tray: bool) -> Any:
    """Their env as its registration of `Widow250SingleObjGrasp-v0` makes it, with these objects."""
    if not (checkout / "roboverse" / "envs" / "widow250.py").is_file():
        raise SystemExit(f"Expected a checkout of roboverse, got {checkout}.")
    sys.modules.setdefault("gym", gym)
    sys.path.insert(0, str(checkout))
    return import_module("roboverse.envs.widow250").Widow250Env(
        control_mode="discrete_gripper",
        object_names=tuple(objects),
        object_scales=(SCALE,) * len(objects),
        object_orientations=((0, 0, 1, 0),) * len(objects),
        object_position_low=(0.53, 0.15, -0.30),
        object_position_high=(0.68, 0.25, -0.30),
        target_object=objects[0],
        load_tray=tray,
    )


def episode(env: Any, toggle: bool) -> tuple[float, float]:
    """Seconds of the reset and of a mean step, of one episode of random actions."""
    started = thread_time()
    env.reset()
    resetting = thread_time() - started
    stepping = 0.0
    for _ in range(EPISODE_STEPS):
        action = env.action_space.sample()
        if not toggle:
            action[6] = 0.0
        started = thread_time()
        env.step(action)
        stepping += thread_time() - started
    return resetting, stepping / EPISODE_STEPS


@contextmanager
def part_clocks() -> Iterator[dict[str, CallClock]]:
    """Clocks around the parts of a step that either kind of env calls."""
    clocks = {part: CallClock(thread_time) for part in PARTS}
    with ExitStack() as stack:
        for part, functions in PARTS.items():
            for owner, name in functions:
                stack.enter_context(clocks[part].installed(owner, [name]))
        yield clocks


def parts_of_a_step(env: Any, toggle: bool, clocks: dict[str, CallClock]) -> list[float]:
    """Mean seconds of each part over the steps of one episode."""
    env.reset()
    before = [clock.seconds for clock in clocks.values()]
    for _ in range(EPISODE_STEPS):
        action = env.action_space.sample()
        if not toggle:
            action[6] = 0.0
        env.step(action)
    after = [clock.seconds for clock in clocks.values()]
    return [(b - a) / EPISODE_STEPS for a, b in zip(before, after, strict=True)]


def table(envs: dict[str, Any], episodes: int, toggle: bool) -> list[list[str]]:
    """Header and rows: speeds of all, played in turns, and what a step consists of."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in envs}
    parts: dict[str, list[list[float]]] = {name: [] for name in envs}
    for env in envs.values():
        episode(env, toggle)  # shapes are loaded when they are first used
    for _ in range(episodes):
        for name, env in envs.items():
            times[name].append(episode(env, toggle))
    with part_clocks() as clocks:
        for _ in range(max(1, episodes // 4)):
            for name, env in envs.items():
                parts[name].append(parts_of_a_step(env, toggle, clocks))
    theirs = times[ORIGINAL]
    rows = [["env", "steps/s", "times theirs", "step ms", *PARTS, "reset ms", "times theirs"]]
    for name, ours in times.items():
        pairs = list(zip(theirs, ours, strict=True))
        rows.append(
            [
                name,
                f"{1 / median(step for _, step in ours):.0f}",
                f"{median(b / d for (_, b), (_, d) in pairs):.1f}",
                f"{1e3 * median(step for _, step in ours):.2f}",
                *(f"{1e3 * median(column):.2f}" for column in zip(*parts[name], strict=True)),
                f"{1e3 * median(reset for reset, _ in ours):.2f}",
                f"{median(a / c for (a, _), (c, _) in pairs):.1f}",
            ]
        )
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--roboverse", type=Path, required=True, help="their checkout")
    parser.add_argument("--objects", nargs="+", default=["shed"], help="in their scene")
    parser.add_argument("--tray", action="store_true", help="in their scene")
    parser.add_argument("--toggle", action="store_true", help="random gripper actions too")
    parser.add_argument("--env-id", nargs="+", default=["ParrotGrasp-v0"])
    parser.add_argument("--episodes", type=int, default=40)
    args = parser.parse_args(argv)
    pin_to_one_core()
    envs = {ORIGINAL: make_original(args.roboverse, args.objects, args.tray)}
    envs |= {env_id: gym.make(f"parrot_envs:{env_id}") for env_id in args.env_id}
    rows = table(envs, args.episodes, args.toggle)
    print(markdown_table(rows[0], rows[1:]))
    for env in envs.values():
        env.close()


if __name__ == "__main__":
    main()
