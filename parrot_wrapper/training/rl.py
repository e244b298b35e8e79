"""Stock SB3 SAC in the latent space of a prior: build, train, resume.

A run is a folder: `config.json`, `log.jsonl` and `tensorboard/`, `checkpoints/` (see
`rl_checkpoint`), and `model.zip` at the end, which `stable_baselines3.SAC.load` opens.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from parrot_wrapper.atomic_files import atomic_path, write_json
from parrot_wrapper.errors import CheckpointError, InvalidArgumentError
from parrot_wrapper.evaluation.prior_features import PriorFeaturesObservation
from parrot_wrapper.latent import target_entropy
from parrot_wrapper.priors.loading import load_prior
from parrot_wrapper.spaces import check_agent_observation
from parrot_wrapper.training.callbacks import (
    CheckpointCallback,
    DiagnosticsCallback,
    HardTargetCallback,
    ProgressCallback,
)
from parrot_wrapper.training.interruption import deferred_interrupt
from parrot_wrapper.training.normed_activation import LayerNormReLU
from parrot_wrapper.training.paper_convolutions import PaperConvolutions
from parrot_wrapper.training.replay_arrays import replay_bytes
from parrot_wrapper.training.rl_checkpoint import (
    list_checkpoints,
    load_checkpoint,
    read_header,
)
from parrot_wrapper.training.rl_config import RLConfig
from parrot_wrapper.training.rl_envs import SeededEpisodes
from parrot_wrapper.training.run_log import JsonLinesWriter, cut_log
from parrot_wrapper.types import ActionPrior
from parrot_wrapper.wrapper import BehavioralPriorWrapper

CONFIG_FILE, LOG_FILE, MODEL_FILE = "config.json", "log.jsonl", "model.zip"
_MAY_CHANGE = ("total_steps", "checkpoint_every", "device")
_LOG_EVERY_EPISODES = 10


EnvFactory = Callable[..., gym.Env[Any, Any]]
"""Makes an env from its id and keywords, as `gymnasium.make` does."""


def wrap_env(
    env: gym.Env[Any, Any], config: RLConfig, prior: ActionPrior | None = None
) -> gym.Env[Any, Any]:
    """Put what `config` says between an env and its agent.

    Args:
        env: The bare env.
        config: The run's settings.
        prior: A live prior in place of loading `config.prior`.

    Raises:
        SpaceMismatchError: The prior does not fit the env.
        UnknownNameError: No such prior or chart.
    """
    if config.prior is None:
        return env
    live = load_prior(config.prior) if prior is None else prior
    if config.raw_actions:
        if config.observation == "image":
            return env
        return PriorFeaturesObservation(env, live)
    wrapped: gym.Env[Any, Any] = BehavioralPriorWrapper(
        env,
        live,
        latent=config.latent,
        observation=check_agent_observation(config.observation),
    )
    return wrapped


def build_model(config: RLConfig, env: gym.Env[Any, Any] | DummyVecEnv) -> SAC:
    """Stock SAC for a wrapped env; the policy class follows from the observation space."""
    actions = env.action_space
    if not isinstance(actions, spaces.Box):
        raise InvalidArgumentError(f"SAC needs a Box action space, got {actions}.")
    policy, on_images = _policy_for(env.observation_space)
    policy_kwargs: dict[str, Any] = {"net_arch": list(config.net_arch)}
    if config.layer_norm:
        policy_kwargs["activation_fn"] = LayerNormReLU
    if on_images and config.convolutions == "paper":
        policy_kwargs["features_extractor_class"] = PaperConvolutions
    entropy: str | float = "auto"
    if config.latent_actions and config.kl is not None:
        entropy = target_entropy(actions, kl=config.kl)
    capacity = min(config.buffer_size, config.total_steps)
    _warn_about_memory(env.observation_space, actions, capacity)
    return SAC(
        policy,
        env,
        learning_rate=config.learning_rate,
        buffer_size=capacity,
        learning_starts=config.learning_starts,
        batch_size=config.batch_size,
        tau=0.0 if _copies_by_callback(config) else config.tau,
        gamma=config.gamma,
        train_freq=config.train_freq,
        gradient_steps=config.gradient_steps,
        n_steps=config.n_steps,
        ent_coef=config.ent_coef,
        target_entropy=entropy,
        policy_kwargs=policy_kwargs,
        seed=config.seed,
        device=config.device,
    )


def train(
    config: RLConfig,
    run_folder: str | Path,
    *,
    make_env: EnvFactory = gym.make,
    prior: ActionPrior | None = None,
    progress: bool = True,
    label: str = "SAC",
) -> SAC:
    """Train SAC as `config` says; a folder that holds this run already is continued.

    A run killed and started again gives the networks and buffer of an unbroken one, bit for bit on
    one CPU where the env's episodes follow from their seeds. In the log, `rollout/success_once` and
    the mean of `parrot/clipped` begin anew where it goes on.

    Args:
        config: The run's settings.
        run_folder: Where everything goes.
        make_env: Makes the bare env from `config.env_id` and `config.env_kwargs`.
        prior: A live prior in place of loading `config.prior`.
        progress: Show a progress bar.
        label: Text before the bar.

    Returns:
        The trained model.

    Raises:
        InvalidArgumentError: The folder holds a run with other settings.
        CheckpointError: The folder's checkpoint is damaged.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written first, where an episode began.
    """
    folder = Path(run_folder)
    _require_same_run(folder, config)
    checkpoints = list_checkpoints(folder / "checkpoints")
    first = int(read_header(checkpoints[-1])["episode"]) if checkpoints else 0
    bare = make_env(config.env_id, **config.env_kwargs)
    episodes = SeededEpisodes(bare, seed=config.seed, first_episode=first)
    venv = DummyVecEnv([lambda: Monitor(wrap_env(episodes, config, prior))])
    try:
        model = build_model(config, venv)
        write_json(folder / CONFIG_FILE, config.to_dict())  # only now that the env and prior fit
        if checkpoints:
            load_checkpoint(model, checkpoints[-1])
        cut_log(folder / LOG_FILE, model.num_timesteps)
        remaining = config.total_steps - model.num_timesteps
        if remaining > 0:
            with deferred_interrupt() as interruption:
                saver = CheckpointCallback(
                    folder / "checkpoints",
                    episodes=episodes,
                    every=config.checkpoint_every,
                    interruption=interruption,
                )
                callbacks = _callbacks(config, saver, progress=progress, label=label)
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
        _export(model, folder / MODEL_FILE)
    finally:
        venv.close()
    return model


def read_config(run_folder: str | Path) -> RLConfig:
    """The settings of a run.

    Raises:
        CheckpointError: The folder holds no run, or a damaged or newer one.
    """
    path = Path(run_folder) / CONFIG_FILE
    try:
        return RLConfig.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: expected the settings of an RL run ({error}).") from error


def _policy_for(observations: spaces.Space[Any]) -> tuple[str, bool]:
    """SB3's policy for a space, and whether images are all that it sees."""
    if isinstance(observations, spaces.Dict):
        return "MultiInputPolicy", False
    images = len(observations.shape or ()) == 3
    return ("CnnPolicy", True) if images else ("MlpPolicy", False)


def _copies_by_callback(config: RLConfig) -> bool:
    return config.target_update_interval > config.gradient_steps


def _callbacks(
    config: RLConfig, saver: CheckpointCallback, *, progress: bool, label: str
) -> list[BaseCallback]:
    diagnostics = DiagnosticsCallback(latent_actions=config.latent_actions)
    callbacks: list[BaseCallback] = [diagnostics]
    if _copies_by_callback(config):
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
        old, new = read_config(folder).to_dict(), config.to_dict()
        different = [
            f"{key}: {old[key]!r} there, {new[key]!r} given"
            for key in new
            if key not in _MAY_CHANGE and old[key] != new[key]
        ]
        if different:
            raise InvalidArgumentError(
                f"{folder} holds a run with other settings ({'; '.join(different)}); "
                "choose another folder, or the same settings to continue it."
            )


def _warn_about_memory(
    observations: spaces.Space[Any], actions: spaces.Box, transitions: int
) -> None:
    if "SC_AVPHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return  # not Linux; SB3 still warns where psutil is installed
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    needed = replay_bytes(observations, actions, transitions)
    if needed > free:
        warnings.warn(
            f"A replay buffer of {transitions} transitions needs {needed / 1e9:.1f} GB, "
            f"{free / 1e9:.1f} GB are free; set buffer_size to at most "
            f"{int(transitions * free / needed)}.",
            stacklevel=3,
        )


def _export(model: SAC, path: Path) -> None:
    with atomic_path(path) as partial, partial.open("wb") as stream:
        model.save(stream)
