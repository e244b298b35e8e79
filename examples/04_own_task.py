"""A task of your own: land a rocket on the yellow square. Nothing of the package is changed."""

import argparse

import gymnasium as gym
import numpy as np

import parrot_envs
from parrot_envs import SceneSet, Situation, Task, Thing, box, cylinder

HALF_SQUARE = 0.018  # metres


def rocket(number: int) -> Thing:
    """An object family: one member for each number."""
    rng = np.random.default_rng(number)
    radius, height = rng.uniform(0.013, 0.017), rng.uniform(0.028, 0.034)
    nose = cylinder(0.6 * radius, 0.012, (0, 0, height), tone=1)
    fins = [box((3 * radius, 0.006, 0.012), tone=1), box((0.006, 3 * radius, 0.012), tone=1)]
    return parrot_envs.make_object(f"rocket-{number}", [cylinder(radius, height), nose, *fins])


square = box((2 * HALF_SQUARE, 2 * HALF_SQUARE, 0.001), (0, 0, 0.012), tone=1)
pad = parrot_envs.make_container(
    "pad", [cylinder(0.05, 0.012), square], floor=0.013, place_radius=0.045,
    colors=((0.5, 0.5, 0.5), (0.9, 0.8, 0.1)),
)  # fmt: skip


class Land(Task):
    """Release a rocket on the pad so that its middle is above the yellow square."""

    def succeeds(self, now: Situation) -> bool:
        """The condition of success, asked after every step."""
        off = [now.position(name) - now.position("pad") for name in now.placed]
        return any(np.abs(offset[:2]).max() < HALF_SQUARE for offset in off)


gym.register(
    "LandRocket-v0",
    entry_point="parrot_envs.env:ManipulationEnv",
    max_episode_steps=25,
    kwargs={"scene": SceneSet([rocket(k) for k in range(20)], [pad]), "task": Land("place")},
)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--episodes", type=int, default=20)
episodes = parser.parse_args().episodes
env, landed = gym.make("LandRocket-v0"), 0
for seed in range(episodes):
    env.reset(seed=seed)
    expert = env.unwrapped.make_expert(np.random.default_rng(seed))
    infos = [env.step(expert.act())[-1] for _ in range(25)]
    landed += infos[-1]["is_success"]
print(f"the scripted expert landed a rocket in {landed} of {episodes} episodes")
env.close()
