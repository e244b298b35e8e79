"""Films of trained agents for the report."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from parrot_wrapper.cli.environments import make_env, require_env_id
from parrot_wrapper.cli.run_options import render_kwargs
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.evaluation.pictures import film, save_gif
from parrot_wrapper.torch_threads import use_threads
from parrot_wrapper.training.rl import read_config
from parrot_wrapper.training.rl_evaluation import AgentPolicy, load_agent

FILM_FILE = "held-out.gif"
_SIDE = 128
"""Frames are made smaller by whole factors to at least so many pixels: a page has many films."""


def film_run(run_folder: Path, *, gym_packages: Sequence[str]) -> Path:
    """Film the first held-out episode of a run's last checkpoint.

    Returns:
        The GIF, in the run's folder.

    Raises:
        CheckpointError: No checkpoint there, or a damaged one.
        InvalidArgumentError: The env shows nothing.
    """
    use_threads()
    env_id = read_config(run_folder).env_id
    require_env_id(env_id, gym_packages)
    factory = partial(make_env, gym_packages=gym_packages, **render_kwargs(env_id))
    model, env = load_agent(run_folder, make_env=factory)
    try:
        frames = film(env, AgentPolicy(model), episodes=1)
    finally:
        env.close()
    if not frames:
        raise InvalidArgumentError(
            f"Expected an env with render mode rgb_array or with image observations, {env_id} has "
            f"neither: {run_folder} cannot be filmed."
        )
    factor = max(1, min(frames[0].shape[:2]) // _SIDE)
    path = run_folder / FILM_FILE
    save_gif(path, [frame[::factor, ::factor] for frame in frames])
    return path
