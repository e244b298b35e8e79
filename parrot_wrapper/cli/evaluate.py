"""`parrot evaluate`: the success of a trained agent on held-out episodes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from parrot_wrapper.cli.environments import (
    DEFAULT_PACKAGES,
    make_env,
    packages_of,
    render_kwargs,
)
from parrot_wrapper.evaluation.pictures import film, save_gif
from parrot_wrapper.evaluation.report import rollout_table
from parrot_wrapper.evaluation.rollouts import HELD_OUT_SEED, AgentPolicy
from parrot_wrapper.torch_threads import DEFAULT_THREADS, use_threads


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
        from parrot_wrapper.rl.evaluation import evaluate_run, load_agent
        from parrot_wrapper.rl.train import read_config  # brings torch and SB3

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
        if self.gif:
            rendered = render_kwargs(read_config(self.run_folder).env_id)
            model, env = load_agent(self.run_folder, make_env=partial(factory, **rendered))
            policy = AgentPolicy(model, deterministic=not self.stochastic)
            try:
                frames = film(env, policy, episodes=self.gif, seed=self.seed)
            finally:
                env.close()
            path = self.run_folder / "rollouts.gif"
            if frames:
                save_gif(path, frames)
                print(path)
            else:
                print(
                    f"{path}: not made; the env has neither render mode rgb_array nor images as "
                    "observations."
                )
