"""Score the agent of a run: the last checkpoint, on held-out episodes."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3 import SAC

from parrot_wrapper.checks import as_path
from parrot_wrapper.errors import CheckpointError
from parrot_wrapper.evaluation.rollouts import HELD_OUT_SEED, EvaluationResult, evaluate
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.registry import import_packages
from parrot_wrapper.rl.checkpoint import list_checkpoints, load_weights, read_header
from parrot_wrapper.rl.model import build_model, wrap_env
from parrot_wrapper.rl.train import EnvFactory, read_config, read_packages
from parrot_wrapper.types import ActionPrior

EVALUATION_FILE = "evaluation.json"


def load_agent(
    run_folder: str | Path, *, make_env: EnvFactory = gym.make, prior: ActionPrior | None = None
) -> tuple[SAC, gym.Env[Any, Any]]:
    """The agent of a run's last checkpoint and a wrapped env to evaluate it in.

    `gymnasium.make` finds ids of modules that the run was trained with; they are imported first.

    Returns:
        The model, without its replay buffer, and the env; the caller closes it.
    """
    folder = as_path("run_folder", run_folder)
    config = read_config(folder)
    checkpoints = list_checkpoints(folder / "checkpoints")
    if not checkpoints:
        raise CheckpointError(f"{folder}: expected a checkpoint of the run, found none yet.")
    if make_env is gym.make:
        import_packages(read_packages(folder))
    env = wrap_env(make_env(config.env_id, **config.env_kwargs), config, prior)
    model = build_model(replace(config, buffer_size=1), env, prior)
    model.num_timesteps = int(load_weights(model, checkpoints[-1])["step"])
    return model, env


def steps_of_run(run_folder: str | Path) -> int:
    """Env steps of a run's last checkpoint; 0 where there is none yet."""
    checkpoints = list_checkpoints(as_path("run_folder", run_folder) / "checkpoints")
    return int(read_header(checkpoints[-1])["step"]) if checkpoints else 0


def evaluate_run(
    run_folder: str | Path,
    *,
    make_env: EnvFactory = gym.make,
    prior: ActionPrior | None = None,
    episodes: int = 100,
    seed: int = HELD_OUT_SEED,
    deterministic: bool = True,
    progress: str | None = None,
) -> EvaluationResult:
    """Score a run's last checkpoint and write `evaluation.json` into its folder.

    Args:
        run_folder: A folder that `train` wrote.
        make_env: Makes the bare env.
        prior: A live prior in place of loading the run's.
        episodes: Held-out episodes.
        seed: Episode k is reset with `seed + k`.
        deterministic: Take the middle of the policy's distribution instead of a sample.
        progress: Label of a progress bar, None for no bar.
    """
    folder = as_path("run_folder", run_folder)
    model, env = load_agent(folder, make_env=make_env, prior=prior)
    with closing(env):
        result = evaluate(
            model,
            env,
            episodes=episodes,
            seed=seed,
            deterministic=deterministic,
            progress=progress,
        )
    content = {
        "env_steps": model.num_timesteps,
        "deterministic": deterministic,
        "first_seed": seed,
        **result.to_dict(),
    }
    write_json(folder / EVALUATION_FILE, content)
    return result
