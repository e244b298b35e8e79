"""`parrot evaluate`: the success of a trained agent on held-out episodes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from parrot_wrapper.cli.environments import (
    make_env,
    packages_of,
    render_kwargs,
    require_env_id,
)
from parrot_wrapper.evaluation.pictures import film, save_gif
from parrot_wrapper.evaluation.report import rollout_table
from parrot_wrapper.evaluation.rollouts import HELD_OUT_SEED, AgentPolicy
from parrot_wrapper.registry import DEFAULT_PACKAGES
from parrot_wrapper.surroundings import DEFAULT_THREADS, use_threads


@dataclass(frozen=True)
class EvaluateCommand:
    """Measure the success of a trained agent; writes evaluation.json into the run's folder.

    Attributes:
        run_folder: Folder of the run.
        episodes: Held-out episodes.
        seed: Episode k is reset with seed + k.
        stochastic: Sample the policy instead of taking its middle.
        gif: Also film so many episodes into rollouts.gif; 0 for none.
        gym_packages: Modules whose import registers env ids.
        threads: Torch's CPU threads, 0 for torch's own number; more pay on idle cores only.
        progress: Show a progress bar.
    """

    run_folder: Annotated[Path, tyro.conf.arg(name="run")]
    episodes: int = 100
    seed: int = HELD_OUT_SEED
    stochastic: bool = False
    gif: int = 0
    gym_packages: tuple[str, ...] = DEFAULT_PACKAGES
    threads: int = DEFAULT_THREADS
    progress: bool = True

    def run(self) -> None:
        """Evaluate the last checkpoint and print its success."""
        from parrot_wrapper.rl.evaluation import evaluate_run  # brings torch and SB3

        use_threads(self.threads)
        packages = packages_of(self.run_folder, self.gym_packages)
        factory = partial(make_env, gym_packages=packages)
        result = evaluate_run(
            self.run_folder,
            make_env=factory,
            episodes=self.episodes,
            seed=self.seed,
            deterministic=not self.stochastic,
            progress="evaluation" if self.progress else None,
        )
        print(rollout_table({str(self.run_folder): result}))
        path = self.run_folder / "rollouts.gif"
        if self.gif:
            filmed = film_run(
                self.run_folder,
                path,
                packages=packages,
                episodes=self.gif,
                seed=self.seed,
                deterministic=not self.stochastic,
            )
            missing = "not made; the env has neither render mode rgb_array nor image observations."
            print(path if filmed else f"{path}: {missing}")


def film_run(
    run_folder: Path,
    path: Path,
    *,
    packages: Sequence[str] = DEFAULT_PACKAGES,
    episodes: int = 1,
    seed: int = HELD_OUT_SEED,
    deterministic: bool = True,
    side: int = 0,
) -> bool:
    """Film the agent of a run's last checkpoint, where its env shows anything, and say whether.

    Args:
        run_folder: Folder of the run.
        path: The GIF.
        packages: Modules whose import registers env ids.
        episodes: How many.
        seed: Episode k is reset with `seed + k`.
        deterministic: Take the middle of the policy's distribution instead of a sample.
        side: Frames are made smaller by whole factors to at least so many pixels; 0 for not.
    """
    from parrot_wrapper.rl.evaluation import load_agent
    from parrot_wrapper.rl.train import read_config

    env_id = read_config(run_folder).env_id
    require_env_id(env_id, packages)
    factory = partial(make_env, gym_packages=packages, **render_kwargs(env_id))
    model, env = load_agent(run_folder, make_env=factory)
    with closing(env):
        policy = AgentPolicy(model, deterministic=deterministic)
        frames = film(env, policy, episodes=episodes, seed=seed)
    if frames:
        factor = max(1, min(frames[0].shape[:2]) // side) if side else 1
        save_gif(path, [frame[::factor, ::factor] for frame in frames])
    return bool(frames)
