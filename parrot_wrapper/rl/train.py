"""Stock SB3 SAC in the latent space of a prior: train and resume.

A run is a folder: `config.json`, `log.jsonl` and `tensorboard/`, `episodes.jsonl`, `checkpoints/`
(see `rl.checkpoint`), and `model.zip` at the end, which `stable_baselines3.SAC.load` opens.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from parrot_wrapper.checks import as_path, differences, require_instance
from parrot_wrapper.errors import CheckpointError, InvalidArgumentError, absence
from parrot_wrapper.io.atomic_files import atomic_path, clear_strays, room_below, write_json
from parrot_wrapper.io.interruption import deferred_interrupt
from parrot_wrapper.io.locking import folder_lock
from parrot_wrapper.io.strict_json import parse_json
from parrot_wrapper.io.tracking import tracked
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.loading import load_prior
from parrot_wrapper.registry import import_packages
from parrot_wrapper.rl.callbacks import (
    CheckpointCallback,
    DiagnosticsCallback,
    EnvStepsCallback,
    FirstRewardsCallback,
    FirstUpdateCallback,
    HardTargetCallback,
    KLWarmupCallback,
    ProgressCallback,
)
from parrot_wrapper.rl.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    read_header,
)
from parrot_wrapper.rl.cloned_actor import initialise_actor
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.logs import (
    EPISODES_FILE,
    STEPS_KEY,
    EpisodeLogCallback,
    JsonLinesWriter,
    cut_log,
)
from parrot_wrapper.rl.model import (
    SeededEpisodes,
    add_demonstrations,
    build_model,
    decision_horizon,
    wrap_env,
)
from parrot_wrapper.rl.replay.settings import UniformReplay
from parrot_wrapper.types import ActionPrior

CONFIG_FILE, LOG_FILE, MODEL_FILE = "config.json", "log.jsonl", "model.zip"
_PACKAGES_KEY = "gym_packages"
_MAY_CHANGE = ("total_steps", "checkpoint_every", "device")
_LOG_EVERY_EPISODES = 10
_PATIENCE_SECONDS = 10.0
"""For the process of a killed run to be gone."""


EnvFactory = Callable[..., gym.Env[Any, Any]]
"""Makes an env from its id and keywords, as `gymnasium.make` does."""


def train(
    config: RLConfig,
    run_folder: str | Path,
    *,
    make_env: EnvFactory = gym.make,
    prior: ActionPrior | None = None,
    gym_packages: Sequence[str] = (),
    progress: bool = True,
    label: str = "SAC",
) -> SAC:
    """Train SAC as `config` says; a folder that holds this run already is continued.

    A run killed and started again gives the networks and buffer of an unbroken one, bit for bit on
    one CPU where the env's episodes follow from their seeds. In the log, `rollout/success_once` and
    the mean of `parrot/clipped` begin anew where it goes on.

    All steps are env steps, also where one decision drives a chunk of H of them: `total_steps`,
    `learning_starts`, `checkpoint_every`, the logs and SB3's `num_timesteps`. The run ends, or a
    checkpoint is due, with the first decision that reaches the number.

    Args:
        config: The run's settings.
        run_folder: Where everything goes.
        make_env: Makes the bare env from `config.env_id` and `config.env_kwargs`.
        prior: A live prior in place of loading `config.prior`.
        gym_packages: Modules whose import registers the env id, beside those of a run that is
            continued. They are kept with the run for `read_packages`, and imported for
            `gymnasium.make`.
        progress: Show a progress bar.
        label: Text before the bar.

    Returns:
        The trained model.

    Raises:
        InvalidArgumentError: The folder holds a run with other settings.
        MissingExtraError: A module of `gym_packages` cannot be imported.
        CheckpointError: The folder's checkpoint or log is damaged.
        DataFileError: Another process is at work in the folder.
        WriteError: The disk is full, or the folder cannot be written to; with room, the same call
            goes on from the last checkpoint.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written first, where an episode began.
    """
    require_instance("config", config, RLConfig, "an RLConfig")
    folder = as_path("run_folder", run_folder)
    with room_below(folder), folder_lock(folder, patience=_PATIENCE_SECONDS):
        for place in (folder, folder / "checkpoints"):
            clear_strays(place)
        known = read_packages(folder) if (folder / CONFIG_FILE).is_file() else ()
        packages = list(dict.fromkeys([*gym_packages, *known]))
        if make_env is gym.make:
            import_packages(packages)
        made_by = {_PACKAGES_KEY: packages} if packages else {}
        with tracked(folder, config.to_dict()):
            return _train(config, folder, make_env, prior, made_by, progress=progress, label=label)


def _train(
    config: RLConfig,
    folder: Path,
    make_env: EnvFactory,
    prior: ActionPrior | None,
    made_by: dict[str, Any],
    *,
    progress: bool,
    label: str,
) -> SAC:
    _require_same_run(folder, config)
    checkpoints = list_checkpoints(folder / "checkpoints")
    first = int(read_header(checkpoints[-1])["episode"]) if checkpoints else 0
    bare = make_env(config.env_id, **config.env_kwargs)
    episodes = SeededEpisodes(bare, seed=config.seed, first_episode=first)
    # The monitor stands below the wrapper, where it counts env steps and their bare rewards.
    venv = DummyVecEnv([lambda: wrap_env(Monitor(episodes), config, prior)])
    with closing(venv):
        model = build_model(config, venv, prior)
        add_demonstrations(model, venv, config)  # no part of checkpoints
        seconds = 0.0
        if checkpoints:
            seconds = load_checkpoint(model, checkpoints[-1])["seconds"]
        elif config.raw.initial_actor is not None:
            initialise_actor(model, config.raw.initial_actor, _features_source(config, prior))
        # only now that all of it fits
        write_json(folder / CONFIG_FILE, {**config.to_dict(), **made_by})
        cut_log(folder / LOG_FILE, model.num_timesteps)
        cut_log(folder / EPISODES_FILE, model.num_timesteps, key=STEPS_KEY)
        remaining = config.total_steps - model.num_timesteps
        if remaining > 0:
            with deferred_interrupt() as interruption:
                saver = CheckpointCallback(
                    folder / "checkpoints",
                    episodes=episodes,
                    every=config.checkpoint_every,
                    interruption=interruption,
                    seconds=seconds,
                )
                callbacks = _callbacks(config, folder, saver, progress=progress, label=label)
                logger = _logger(folder)
                model.set_logger(logger)
                try:
                    model.learn(
                        remaining,
                        callback=CallbackList(callbacks),
                        log_interval=_LOG_EVERY_EPISODES,
                        reset_num_timesteps=False,
                    )
                finally:
                    logger.close()
                saver.save()
        with atomic_path(folder / MODEL_FILE) as partial, partial.open("wb") as stream:
            model.save(stream)
    return model


def _features_source(config: RLConfig, prior: ActionPrior | None) -> EncoderPrior | None:
    """The prior whose features the agent sees, where it is of a kind that can be compared."""
    if config.prior is None or config.observation != "features":
        return None
    live = load_prior(config.prior) if prior is None else prior
    return live if isinstance(live, EncoderPrior) else None


def read_config(run_folder: str | Path) -> RLConfig:
    """The settings of a run.

    Raises:
        CheckpointError: The folder holds no run, or a damaged or newer one.
    """
    return _read_settings(run_folder)[0]


def read_packages(run_folder: str | Path) -> tuple[str, ...]:
    """The modules whose import registers a run's env id, as far as `train` was told."""
    return _read_settings(run_folder)[1]


def _read_settings(run_folder: str | Path) -> tuple[RLConfig, tuple[str, ...]]:
    path = as_path("run_folder", run_folder) / CONFIG_FILE
    try:
        settings = dict(parse_json(path.read_bytes()))
        packages = settings.pop(_PACKAGES_KEY, [])
        if not isinstance(packages, list) or not all(isinstance(name, str) for name in packages):
            raise ValueError(f"{_PACKAGES_KEY}: expected a list of names, found {packages!r}")
        return RLConfig.from_dict(settings), tuple(packages)
    except (AttributeError, OSError, OverflowError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: expected the settings of an RL run ({error}).{absence(path.parent)}"
        ) from error


def _callbacks(
    config: RLConfig, folder: Path, saver: CheckpointCallback, *, progress: bool, label: str
) -> list[BaseCallback]:
    diagnostics = DiagnosticsCallback(latent_actions=config.latent_actions)
    callbacks: list[BaseCallback] = [
        EnvStepsCallback(),  # first: all others go by its count
        diagnostics,
        EpisodeLogCallback(folder),
    ]
    if config.raw.initial_actor is not None:
        callbacks.append(FirstUpdateCallback(after=config.learning_starts))
    if config.kl_warmup:
        callbacks.append(KLWarmupCallback(steps=config.kl_warmup))
    if config.first_rewards:
        callbacks.append(FirstRewardsCallback(episodes=config.first_rewards))
    if config.copies_by_callback:
        callbacks.append(HardTargetCallback(interval=config.target_update_interval, tau=config.tau))
    callbacks.append(saver)  # after the copy, so that a checkpoint holds it
    if progress:
        callbacks.append(
            ProgressCallback(total=config.total_steps, diagnostics=diagnostics, label=label)
        )
    return callbacks


def _logger(folder: Path) -> Logger:
    formats: list[Any] = [JsonLinesWriter(folder / LOG_FILE)]
    try:
        formats.append(TensorBoardOutputFormat(str(folder / "tensorboard")))
    except AssertionError:  # SB3's way to say that tensorboard is not installed
        warnings.warn("tensorboard is not installed; the run logs to log.jsonl only.", stacklevel=3)
    return Logger(str(folder), formats)


def _require_same_run(folder: Path, config: RLConfig) -> None:
    if (folder / CONFIG_FILE).is_file():
        free = dict.fromkeys(_MAY_CHANGE)
        old, new = ({**told.to_dict(), **free} for told in (read_config(folder), config))
        if different := differences(old, new):
            raise InvalidArgumentError(
                f"{folder} holds a run with other settings ({different}); "
                "choose another folder, or the same settings to continue it."
            )


_PROBE_STEPS = 60
_SHORT_RUN = 1_000
"""Env steps; a run of no more is over about as soon as it is measured."""


def training_seconds_left(
    config: RLConfig, make_env: Callable[..., gym.Env[Any, Any]], *, done: int = 0
) -> float:
    """Seconds that an RL run takes, by a throw-away agent that makes a few steps and updates.

    Returns:
        The estimate; 0 where the run is so short that nothing is measured.
    """
    left = config.total_steps - done
    if left <= _SHORT_RUN:
        return 0.0
    probe = replace(
        config,
        learning_starts=_PROBE_STEPS,
        first_rewards=0,
        raw_actions=None if config.latent_actions else replace(config.raw, initial_actor=None),
        replay=config.replay if isinstance(config.replay, UniformReplay) else UniformReplay(),
        buffer_size=max(_PROBE_STEPS, config.batch_size),
    )
    env = wrap_env(make_env(config.env_id, **config.env_kwargs), probe)
    venv = DummyVecEnv([lambda: env])
    with closing(venv):
        model = build_model(probe, venv)
        started = time.perf_counter()
        model.learn(_PROBE_STEPS)
        model.learn(1, reset_num_timesteps=False)  # SBX compiles its first update
        warmed_up = time.perf_counter()
        model.learn(_PROBE_STEPS // 2, reset_num_timesteps=False)
        warm_up = (warmed_up - started) / _PROBE_STEPS
        full = (time.perf_counter() - warmed_up) / (_PROBE_STEPS // 2)
        horizon = decision_horizon(env)
    first = min(left, max(0, config.learning_starts - done))
    return (first * warm_up + (left - first) * full) / horizon
