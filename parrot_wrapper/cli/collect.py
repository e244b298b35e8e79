"""`parrot collect`: record demonstrations of a scripted expert."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from parrot_wrapper.atomic_files import write_json
from parrot_wrapper.cli.environments import (
    DEFAULT_PACKAGES,
    make_env,
    parse_env_kwargs,
)
from parrot_wrapper.collect import ExpertSource, collect


@dataclass(frozen=True)
class CollectCommand:
    """Record demonstrations of a scripted expert; the same command goes on after a kill.

    Attributes:
        env_id: A registered env whose unwrapped offers make_expert.
        episodes: How many successful episodes to keep.
        out: Folder of the data set.
        workers: Processes.
        seed: Seed of the first attempt; attempt k has seed + k.
        noise: Standard deviation of the noise on the expert's actions.
        stray_steps: In half of the attempts the arm goes astray for up to so many steps, which are
            not recorded, before the expert takes over.
        env_kwargs: Options of the env as key=value.
        shard_attempts: Attempts per file.
        gym_packages: Modules whose import registers env ids.
        progress: Show a progress bar.
    """

    env_id: str = "ParrotMultiTask-v0"
    episodes: int = 1000
    out: Path = Path("datasets/multitask")
    workers: int = os.cpu_count() or 1
    seed: int = 0
    noise: float = 0.1
    stray_steps: int = 0
    env_kwargs: tuple[str, ...] = ()
    shard_attempts: int = 64
    gym_packages: tuple[str, ...] = DEFAULT_PACKAGES
    progress: bool = True

    def run(self) -> None:
        """Collect, and say what was collected."""
        kwargs = parse_env_kwargs(self.env_kwargs)
        # a typo in the id or in an option is found here, before processes and folders are made
        make_env(self.env_id, gym_packages=self.gym_packages, **kwargs).close()
        source = ExpertSource(
            self.env_id,
            kwargs,
            gym_packages=self.gym_packages,
            noise=self.noise,
            stray_steps=self.stray_steps,
            base_seed=self.seed,
            shard_attempts=self.shard_attempts,
        )
        report = collect(
            source,
            n_episodes=self.episodes,
            folder=self.out,
            workers=self.workers,
            progress=self.progress,
        )
        write_json(self.out / "collect-config.json", {**asdict(self), "out": str(self.out)})
        print(
            f"{self.out}: {report.n_episodes} episodes; {report.kept} of {report.attempts} "
            f"attempts kept ({report.keep_rate:.1%})."
        )
