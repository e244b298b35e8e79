"""OGBench's play data, remade by its own oracles: its import registers envs for `parrot collect`.

    pip install "parrot-wrapper[all]" ogbench; cd benchmarks
    parrot collect --gym-packages ogbench_play --env-id OGBenchCubeDoublePlay-v0 \
        --episodes 1000 --out datasets/cube-double

The same command goes on where it was stopped. Settings are those of the published data: plans with
noise 0.1, smoothed by 0.5, 1,000 episodes of 1,001 steps, a new target whenever a plan is done, put
on another cube with a probability of 0 to 0.25 that each episode draws. The numbers drawn are
others, so the data are not theirs byte for byte; validation episodes are drawn by whoever trains.
"""

from typing import Any

import gymnasium as gym
import numpy as np
import ogbench  # noqa: F401  # registers its envs
from ogbench.manipspace.oracles.plan.button_plan import ButtonPlanOracle
from ogbench.manipspace.oracles.plan.cube_plan import CubePlanOracle
from ogbench.manipspace.oracles.plan.drawer_plan import DrawerPlanOracle
from ogbench.manipspace.oracles.plan.window_plan import WindowPlanOracle

PLANS = {"cube": CubePlanOracle, "button": ButtonPlanOracle, "drawer": DrawerPlanOracle,
         "window": WindowPlanOracle}  # fmt: skip
BASES = {"CubeDouble": "cube-double-v0", "Scene": "scene-v0", "Puzzle3x3": "puzzle-3x3-v0"}


class Play(gym.Env[Any, Any]):
    """An OGBench env without a task, which offers the oracle that plays in it."""

    def __init__(self, base: str) -> None:
        made = gym.make(base, terminate_at_goal=False, mode="data_collection")
        self.base, self.bare = base, made.unwrapped
        self.observation_space, self.action_space = made.observation_space, made.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """As the env's; what the oracle reads is kept."""
        (self.seen, self.info), self.healthy = self.bare.reset(seed=seed), True
        return self.seen, {}

    def step(self, action: Any) -> Any:
        """One step; a scene whose cube got lost is not kept, as in the published data."""
        self.seen, reward, terminated, truncated, self.info = self.bare.step(action)
        if self.base.startswith("scene"):
            _, y, z = self.info["prev_qpos"][14:17]
            self.healthy &= bool(y < 0.29 and (y > -0.3 or 0.06 <= z <= 0.08))
        return self.seen, reward, terminated, truncated, {"keep": self.healthy}

    def make_expert(self, rng: np.random.Generator, noise: float = 0.1) -> "Player":
        """The oracle of this episode."""
        return Player(self, rng, noise)


class Player:
    """Plan after plan; oracles draw from NumPy's global generator, seeded here before each."""

    def __init__(self, env: Play, rng: np.random.Generator, noise: float) -> None:
        self.env, self.rng = env, rng
        closed = {"gripper_always_closed": True} if env.base.startswith("puzzle") else {}
        self.options: dict[str, Any] = {"noise": noise, "noise_smoothing": 0.5, **closed}
        self.oracle: Any = None
        self.stacks = rng.uniform(0.0, 0.25) if env.base.startswith("cube") else 0.5

    def act(self) -> Any:
        """The next action, from a new plan where the last one is done."""
        env = self.env
        if self.oracle is None or self.oracle.done:
            seen, info = env.seen, env.info
            if self.oracle is not None:
                seen, info = env.bare.set_new_target(p_stack=self.stacks)
            np.random.seed(self.rng.integers(2**32))
            kind = PLANS[info["privileged/target_task"]]
            self.oracle = kind(env=env.bare, **self.options)
            self.oracle.reset(seen, info)
        return np.clip(self.oracle.select_action(env.seen, env.info), -1.0, 1.0)


for name, base in BASES.items():
    options = {"max_episode_steps": 1001, "kwargs": {"base": base}}
    gym.register(f"OGBench{name}Play-v0", f"{__name__}:Play", **options)
