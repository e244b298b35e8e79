"""Refit a prior to what agents learned behind it: the other half of DISTRAL, in offline rounds.

The best prior for several agents is the mixture of their policies (Teh et al. 2017; Tirumala et al.
2022): it is fitted to their successful episodes, of each task as many, and to old data so that what
no agent did lately is kept. Episodes hold actions, not latents: u means something else behind
another prior, and replay encodes them anew for the prior that it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from tqdm import tqdm

from parrot_wrapper.checks import differences
from parrot_wrapper.data import EpisodeDataset, load_dataset, save_dataset
from parrot_wrapper.data.episodes import Episode, observation_mapping
from parrot_wrapper.errors import DataError, InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.evaluation.rollouts import MAX_STEPS, AgentPolicy
from parrot_wrapper.io.atomic_files import atomic_folder, write_json
from parrot_wrapper.io.strict_json import parse_json
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.loading import load_prior
from parrot_wrapper.registry import import_packages
from parrot_wrapper.rl.evaluation import load_agent
from parrot_wrapper.rl.refit_job import RefitJob
from parrot_wrapper.rl.train import EnvFactory, read_packages
from parrot_wrapper.training.prior import PriorReport
from parrot_wrapper.training.prior_job import PriorJob, train_prior
from parrot_wrapper.types import KEYS_FACT, AnyArray, told_success
from parrot_wrapper.wrappers.reader import reader_of_space, with_batch_axis

JOB_FILE = "refit.json"
_HOPELESS = 10
"""Attempts for each episode to keep, after which an agent gives what it gave."""

Look = Callable[[Any], Mapping[str, AnyArray]]
"""From an env's observation to its parts, as the data have them."""


def refit(
    job: RefitJob,
    settings: Mapping[str, Any] | None = None,
    *,
    make_env: EnvFactory = gym.make,
    progress: bool = True,
) -> PriorReport:
    """Record the agents, mix their episodes with old ones, and go on training the prior on these.

    The same call goes on after a kill: agents that are recorded are not recorded again. Agents
    behind the old prior stay with it; train new ones with the new prior, and show them the
    episodes in `out/data` as demonstrations, which are encoded by it.

    Args:
        job: What is to be done.
        settings: Fields of `PriorTrainingConfig` in place of the usual ones.
        make_env: Makes the bare envs of the runs.
        progress: Show progress bars.

    Raises:
        DataError: An agent has no success in 10 attempts for each episode that is wanted.
        InvalidArgumentError: `out` holds another refit, or a setting is outside its range.
        SpaceMismatchError: An agent's env does not show what the data hold.
        ParrotError: As `load_agent`, `load_dataset`, `load_prior` and `fit_prior`.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written first.
    """
    told = {**asdict(job), "data": str(job.data), "runs": list(map(str, job.runs)), "out": ""}
    path = job.out / JOB_FILE
    if path.is_file() and (different := differences(parse_json(path.read_bytes()), told)):
        raise InvalidArgumentError(
            f"{job.out} holds another refit ({different}). Choose another folder."
        )
    prior = load_prior(job.prior)
    if not isinstance(prior, EncoderPrior):
        raise InvalidArgumentError(f"Expected a prior that can be trained, got {job.prior!r}.")
    write_json(path, told)
    mixed = job.out / "data"
    if not mixed.is_dir():
        old = load_dataset(job.data)
        agents = [_recorded(job, index, old, make_env, progress) for index in range(len(job.runs))]
        _save(mixture(old, agents, share=job.share, seed=job.seed), mixed)
    training = PriorJob(data=mixed, out=job.out, kind=prior.type_tag, initial=job.prior)
    return train_prior(training, {"seed": job.seed, **(settings or {})}, progress=progress)


def mixture(
    old: EpisodeDataset, agents: list[EpisodeDataset], *, share: float, seed: int
) -> EpisodeDataset:
    """Episodes of agents, of each as many, and old ones, so that those are a share of all.

    Args:
        old: Old data; all of them where there are not enough.
        agents: What agents did.
        share: Of the agents' episodes, in (0, 1).
        seed: Draws the old ones.
    """
    each = min(agent.n_episodes for agent in agents)
    wanted = round(each * len(agents) * (1.0 - share) / share)
    drawn = np.random.default_rng(seed).permutation(old.n_episodes)[:wanted]
    chosen = [(agent, index) for agent in agents for index in range(each)]
    chosen += [(old, int(index)) for index in np.sort(drawn)]
    low, high = old.action_bounds
    return EpisodeDataset.from_episodes(
        [replace(data.episode(index), labels={}) for data, index in chosen],
        action_low=low,
        action_high=high,
        metadata={key: value for key, value in old.metadata.items() if key != "counts"},
    )


def record_agent(
    run: Path,
    old: EpisodeDataset,
    *,
    episodes: int,
    seed: int,
    make_env: EnvFactory = gym.make,
    progress: bool = False,
) -> EpisodeDataset:
    """Successful episodes of a run's agent, with what it executed and what the data show.

    Args:
        run: Folder of the run.
        old: Data with the same parts of observations.
        episodes: How many, at most; fewer where the agent fails too often.
        seed: Attempt k is reset with `seed + k`.
        make_env: Makes the bare env.
        progress: Show a progress bar.

    Raises:
        DataError: It never succeeds.
        SpaceMismatchError: The env does not show what the data hold.
        CheckpointError: No run or no checkpoint there, or a damaged one.
    """
    recorders: list[_Recorder] = []

    def recorded(env_id: str, **options: Any) -> gym.Env[Any, Any]:
        recorders.append(_Recorder(make_env(env_id, **options), old))
        return recorders[-1]

    if make_env is gym.make:
        import_packages(read_packages(run))
    model, env = load_agent(run, make_env=recorded)
    act, kept = AgentPolicy(model, deterministic=False), list[Episode]()
    model.set_random_seed(seed)
    bar = tqdm(total=episodes, unit=" kept", desc=run.name, disable=not progress)
    with closing(env), closing(bar):
        for attempt in range(seed, seed + _HOPELESS * episodes):
            if _plays(env, act, attempt):
                kept.append(recorders[-1].episode(attempt))
                bar.update()
            if len(kept) == episodes:
                break
    if not kept:
        raise DataError(
            f"{run}: expected an agent that succeeds, got no success in {_HOPELESS * episodes} "
            "episodes. Train it for longer, or leave it out."
        )
    low, high = old.action_bounds
    return EpisodeDataset.from_episodes(
        kept, action_low=low, action_high=high, metadata={"settings": {"run": str(run)}}
    )


def _plays(env: gym.Env[Any, Any], act: AgentPolicy, seed: int) -> bool:
    """Play an episode; whether it ends in success."""
    observation, _ = env.reset(seed=seed)
    act.begin(seed)
    for _ in range(MAX_STEPS):
        observation, _, terminated, truncated, info = env.step(act(observation))
        if terminated or truncated:
            return bool(told_success(info))
    raise InvalidArgumentError(f"Expected episodes that end, got {MAX_STEPS} steps of {env}.")


def _recorded(
    job: RefitJob, index: int, old: EpisodeDataset, make_env: EnvFactory, progress: bool
) -> EpisodeDataset:
    """The episodes of an agent, recorded before or now."""
    run, folder = job.runs[index], job.out / "agents" / str(index)
    if not folder.is_dir():
        made = record_agent(
            run, old, episodes=job.episodes, seed=job.seed, make_env=make_env, progress=progress
        )
        _save(made, folder)
    return load_dataset(folder)


def _save(data: EpisodeDataset, folder: Path) -> None:
    """Write data so that the folder is there only when it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as partial:
        save_dataset(data, partial)


class _Recorder(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps what an env showed and what was done in it, beneath all other wrappers."""

    def __init__(self, env: gym.Env[Any, Any], old: EpisodeDataset) -> None:
        super().__init__(env)
        self._look = _look_like(old, env)
        self._seen: list[Mapping[str, AnyArray]] = []
        self._actions: list[AnyArray] = []
        self._rewards: list[float] = []

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**options)
        self._seen, self._actions, self._rewards = [self._look(observation)], [], []
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._seen.append(self._look(observation))
        self._actions.append(np.array(action))
        self._rewards.append(float(reward))
        return observation, reward, terminated, truncated, info

    def episode(self, seed: int) -> Episode:
        """The last one, a success."""
        seen = {name: np.stack([each[name] for each in self._seen]) for name in self._seen[0]}
        return Episode(seen, np.stack(self._actions), np.array(self._rewards), True, seed)


def _look_like(old: EpisodeDataset, env: gym.Env[Any, Any]) -> Look:
    """How to see in an env what the data show of it; copies."""
    keys = old.metadata.get(KEYS_FACT)
    if keys:
        images = {
            name: names[0] for name, names in keys.items() if name not in ("proprio", "state")
        }
        reader = reader_of_space(
            env.observation_space, image=images, proprio=keys.get("proprio"),
            state=keys.get("state"),
        )  # fmt: skip
        return lambda seen: {
            name: part[0].copy() for name, part in reader.parts(with_batch_axis(seen)).items()
        }

    def look(seen: Any) -> dict[str, AnyArray]:
        parts = observation_mapping(seen)
        missing = [name for name in old.observations if name not in parts]
        if missing:
            raise SpaceMismatchError(
                f"Expected an env that shows {', '.join(old.observations)} as the data do, got "
                f"{', '.join(parts)}."
            )
        return {name: np.array(parts[name]) for name in old.observations}

    return look
