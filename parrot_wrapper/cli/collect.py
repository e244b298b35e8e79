"""`parrot collect`: record demonstrations of a scripted expert."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from parrot_wrapper.checks import key_values
from parrot_wrapper.cli.durations import announce, timed
from parrot_wrapper.cli.environments import make_env
from parrot_wrapper.data.gathering import part_folder
from parrot_wrapper.data.storage import read_manifest, whole_shards
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.record.collect import ExpertSource, collect
from parrot_wrapper.record.expert_episodes import record_episode
from parrot_wrapper.registry import DEFAULT_PACKAGES

_FEW = 20
"""Episodes that are recorded about as soon as one is timed."""


@dataclass(frozen=True)
class CollectCommand:
    """Record demonstrations of a scripted expert; the same command goes on after a kill.

    Attributes:
        env_id: A registered env whose unwrapped offers make_expert.
        episodes: How many successful episodes to keep.
        out: Folder of the data set.
        workers: Processes.
        engine: What does the work: local for processes of this machine, ray for the machines of a
            Ray cluster, slurm for jobs of Slurm, or another by name.
        address: Of the cluster, as HOST:PORT; left out, ray starts one on this machine.
        rank: Which of --world-size commands this is, from 0; in a Slurm array its index.
        world_size: How many commands share the work, each its part of the files in a folder of its
            own below OUT; `parrot data gather OUT` puts them together.
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
    engine: str = "local"
    address: str = ""
    rank: int = -1
    world_size: int = 1
    seed: int = 0
    noise: float = 0.1
    stray_steps: int = 0
    env_kwargs: tuple[str, ...] = ()
    shard_attempts: int = 64
    gym_packages: tuple[str, ...] = DEFAULT_PACKAGES
    progress: bool = True

    def run(self) -> None:
        """Collect, and say what was collected."""
        kwargs = key_values(self.env_kwargs)
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
        rank = self._rank()
        out = part_folder(self.out, rank, self.world_size) if self.world_size > 1 else self.out
        left = -(-self.episodes // max(1, self.world_size)) - _kept_before(out)
        if left > _FEW:
            seconds = left * _episode_seconds(source) / max(1, self.workers)
            announce(f"{left} episodes in {self.workers} processes", seconds)
        report = collect(
            source,
            n_episodes=self.episodes,
            folder=self.out,
            workers=self.workers,
            engine=self.engine,
            address=self.address,
            rank=rank,
            world_size=self.world_size,
            progress=self.progress,
        )
        write_json(out / "collect-config.json", {**asdict(self), "out": str(self.out)})
        told = "" if left > 0 else ", all of which were there before"
        if self.world_size > 1:
            told = f" of all {self.world_size} parts{told}"
        print(
            f"{out}: {report.n_episodes} episodes{told}; {report.kept} of {report.attempts} "
            f"attempts kept ({report.keep_rate:.1%})."
        )

    def _rank(self) -> int:
        """As given, or of the array."""
        if self.rank >= 0 or self.world_size <= 1:
            return max(self.rank, 0)
        index, first = (os.environ.get(f"SLURM_ARRAY_TASK_{name}", "") for name in ("ID", "MIN"))
        if not (index.isdecimal() and first.isdecimal()):
            raise InvalidArgumentError(
                f"Expected --rank 0 ... {self.world_size - 1} beside --world-size "
                f"{self.world_size}, for this is no element of a Slurm array."
            )
        return int(index) - int(first)


def _kept_before(folder: Path) -> int:
    """Episodes that are there already; 0 where the folder holds no data set."""
    if not (folder / "dataset.json").exists():
        return 0
    read_manifest(folder)
    return sum(shard.n_episodes for shard in whole_shards(folder))


def _episode_seconds(source: ExpertSource) -> float:
    env = source.make_env()
    with closing(env):
        seconds = timed(lambda: record_episode(env, source.base_seed, noise=source.noise), times=2)
    return seconds
