"""An RL run's env and agent, as its settings want them, before anything is trained."""

from __future__ import annotations

import math
import os
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.env_util import unwrap_wrapper
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor, nn

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.evaluation.policies import PriorFeaturesObservation
from parrot_wrapper.latent import target_entropy
from parrot_wrapper.priors.loading import load_prior
from parrot_wrapper.rl.action_critic import ActionCriticSAC
from parrot_wrapper.rl.config import PAIR, RLConfig
from parrot_wrapper.rl.jax_agents import make_sac
from parrot_wrapper.rl.normed_activation import LayerNormReLU
from parrot_wrapper.rl.prior_explore import PriorExploreSAC
from parrot_wrapper.rl.replay.buffers import (
    DemonstrationDictReplayBuffer,
    DemonstrationReplayBuffer,
    RewardedDictReplayBuffer,
    RewardedReplayBuffer,
    replay_bytes,
)
from parrot_wrapper.rl.replay.settings import DemonstrationReplay, RewardedReplay
from parrot_wrapper.types import ActionPrior
from parrot_wrapper.wrappers.spaces import check_agent_observation
from parrot_wrapper.wrappers.wrapper import BehavioralPriorWrapper


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
        ParrotError: A mixture does not go with the prior.
    """
    if config.prior is None:
        return env
    live = load_prior(config.prior) if prior is None else prior
    if config.raw_actions:
        if config.observation == "image":
            return env
        return PriorFeaturesObservation(env, live)
    for mixture in config.mixtures:
        live = mixture.around(live)
    wrapped: gym.Env[Any, Any] = BehavioralPriorWrapper(
        env,
        live,
        latent=config.latent,
        gamma=config.gamma,
        observation=check_agent_observation(config.observation),
    )
    return wrapped


def build_model(
    config: RLConfig, env: gym.Env[Any, Any] | DummyVecEnv, prior: ActionPrior | None = None
) -> SAC:
    """SAC for a wrapped env: stock, or a subclass that explores with the prior or judges actions.

    The policy class follows from the observation space.

    Args:
        config: The run's settings.
        env: What `wrap_env` made.
        prior: A live prior in place of loading `config.prior`, to explore with.

    Raises:
        InvalidArgumentError: No Box action space, a prior that cannot be explored with, or no
            vectors to train on with SBX.
        MissingExtraError: SBX is not installed.
        NotOfferedError: A prior whose actions critics cannot judge.
    """
    actions = env.action_space
    if not isinstance(actions, spaces.Box):
        raise InvalidArgumentError(f"SAC needs a Box action space, got {actions}.")
    policy, on_images = _policy_for(env.observation_space)
    # One fused loop over all weights: a third of Adam's time on one core, other rounding.
    policy_kwargs: dict[str, Any] = {
        "net_arch": list(config.net_arch),
        "n_critics": config.n_critics,
        "optimizer_kwargs": {"fused": True},
    }
    if config.layer_norm:
        policy_kwargs["activation_fn"] = LayerNormReLU
    if on_images and config.convolutions == "paper":
        policy_kwargs["features_extractor_class"] = PaperConvolutions
    entropy: str | float = "auto"
    if config.latent_actions and config.kl is not None:
        through = _single(env).get_wrapper_attr("prior")
        entropy = target_entropy(actions, kl=config.kl_budget(through.action_dim))
    capacity = min(config.buffer_size, config.total_steps)
    _warn_about_memory(env.observation_space, actions, capacity)
    options = _replay_options(config, env.observation_space)
    algorithm: type[SAC] = ActionCriticSAC if config.critic == "actions" else SAC
    if config.prior is not None and config.raw.explore:
        algorithm = PriorExploreSAC
        options["prior"] = load_prior(config.prior) if prior is None else prior
        options["prior_explore"] = config.raw.explore
        options["sees_features"] = config.observation == "features"
    common: dict[str, Any] = dict(
        env=env,
        learning_rate=config.learning_rate,
        buffer_size=capacity,
        # A cloned actor warms up by itself; FirstUpdateCallback holds the updates back.
        learning_starts=config.learning_starts if config.raw.initial_actor is None else 0,
        batch_size=config.batch_size,
        tau=0.0 if config.copies_by_callback else config.tau,
        gamma=discount_of_decisions(config, env),
        train_freq=config.train_freq,
        gradient_steps=config.gradient_steps,
        ent_coef=config.ent_coef,
        target_entropy=entropy,
        policy_kwargs=policy_kwargs,
        seed=config.seed,
        device=config.device,
        **options,
    )
    if config.library == "sbx":
        if policy != "MlpPolicy":
            raise InvalidArgumentError(
                f"Expected vectors to train on with SBX, got {env.observation_space}; give it a "
                "prior, whose features it sees, or use library='sb3'."
            )
        return make_sac(layer_norm=config.layer_norm, **common)
    model = algorithm(policy, **common)
    skip_unused_gradients(model.critic)
    if config.n_critics > PAIR:
        pool_critics(model)
    if config.targets == "kl":
        charge_kl(model)
    return model


def add_demonstrations(model: SAC, env: DummyVecEnv, config: RLConfig) -> None:
    """Put the demonstrations that `config` names beside the replay of a model, if it names any.

    Args:
        model: What `build_model` made.
        env: Its env, from `wrap_env`.
        config: The run's settings.
    """
    replay = config.replay
    if not isinstance(replay, DemonstrationReplay):
        return
    # only here: other runs need nothing of the `data` extra
    from parrot_wrapper.data import load_dataset
    from parrot_wrapper.rl.replay.demonstrations import fill_replay_buffer

    wrapper = unwrap_wrapper(env.envs[0], BehavioralPriorWrapper)
    assert isinstance(wrapper, BehavioralPriorWrapper)  # RLConfig asks for latent actions
    fill_replay_buffer(
        model,
        load_dataset(replay.data, n_episodes=replay.episodes or None),
        wrapper.prior,
        latent=config.latent,
        observation=check_agent_observation(config.observation),
        gamma=config.gamma,
    )


def _single(env: gym.Env[Any, Any] | DummyVecEnv) -> gym.Env[Any, Any]:
    return env.envs[0] if isinstance(env, DummyVecEnv) else env


def discount_of_decisions(config: RLConfig, env: gym.Env[Any, Any] | DummyVecEnv) -> float:
    """The agent's discount: gamma^H where a decision drives H env steps.

    Where a chunk is as long as an episode (TrajRL) it is 0: nothing comes after such a decision, it
    is a bandit's; SB3 would go on past the time limit.

    Args:
        config: The run's settings.
        env: What `wrap_env` made.
    """
    single = _single(env)
    horizon = decision_horizon(single)
    limit = None if single.spec is None else single.spec.max_episode_steps
    if horizon > 1 and limit is not None and horizon >= limit:
        return 0.0
    return float(config.gamma**horizon)


def decision_horizon(env: gym.Env[Any, Any]) -> int:
    """H, the env steps that a decision drives at most; 1 without a prior to act through."""
    wrapper = unwrap_wrapper(env, BehavioralPriorWrapper)
    return wrapper.prior.horizon if isinstance(wrapper, BehavioralPriorWrapper) else 1


def _replay_options(config: RLConfig, observations: spaces.Space[Any]) -> dict[str, Any]:
    in_parts, replay = isinstance(observations, spaces.Dict), config.replay
    kind: type[ReplayBuffer]
    if isinstance(replay, RewardedReplay):
        kind = RewardedDictReplayBuffer if in_parts else RewardedReplayBuffer
    elif isinstance(replay, DemonstrationReplay):
        kind = DemonstrationDictReplayBuffer if in_parts else DemonstrationReplayBuffer
    else:
        return {"n_steps": replay.n_steps}
    return {"replay_buffer_class": kind, "replay_buffer_kwargs": {"share": replay.share}}


def _policy_for(observations: spaces.Space[Any]) -> tuple[str, bool]:
    """SB3's policy for a space, and whether images are all that it sees."""
    if isinstance(observations, spaces.Dict):
        return "MultiInputPolicy", False
    images = len(observations.shape or ()) == 3
    return ("CnnPolicy", True) if images else ("MlpPolicy", False)


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


def skip_unused_gradients(critic: ContinuousCritic) -> None:
    """Keep the actor's loss from making gradients of the critic's weights.

    SB3's SAC differentiates the critic's value by its weights too when all that it wants is the
    gradient by the action, and clears the result before the critic's own update. Without it the
    networks stay the same, bit for bit, and an update takes less time.

    Args:
        critic: The critic of a SAC model; hooks are put around its `forward`.
    """

    def before(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        _, actions = inputs
        if torch.is_grad_enabled() and actions.requires_grad:  # the actor's own, not replayed ones
            module.requires_grad_(False)

    def after(module: torch.nn.Module, inputs: tuple[Any, ...], outputs: Any) -> None:
        module.requires_grad_(True)

    critic.register_forward_pre_hook(before)
    critic.register_forward_hook(after, always_call=True)


def pool_critics(model: SAC) -> None:
    """Let SAC use many critics as REDQ does (Chen et al. 2021), and RLPD after it.

    SB3 takes the least of all, which is the lower the more there are. Here targets are the lower of
    two, drawn anew for each batch, and the actor climbs the mean. Each critic still learns.

    Args:
        model: SAC with more than two critics; hooks are put behind their `forward`.
    """

    def of_target(module: nn.Module, inputs: tuple[Any, ...], values: tuple[Tensor, ...]) -> Any:
        return tuple(values[index] for index in torch.randperm(len(values))[:PAIR].tolist())

    def of_actor(module: nn.Module, inputs: tuple[Any, ...], values: tuple[Tensor, ...]) -> Any:
        _, actions = inputs
        if not (torch.is_grad_enabled() and actions.requires_grad):
            return values  # for replayed actions each is fitted by itself
        return (torch.stack(values).mean(dim=0),)

    model.critic_target.register_forward_hook(of_target)
    model.critic.register_forward_hook(of_actor)


def charge_kl(model: SAC) -> None:
    """Let SAC's critics count KL from uniform actions as a cost, in place of entropy as a bonus.

    With entropy H <= d log 2 in its targets, SAC is paid up to `alpha d log 2` for each step that
    does not end the episode: where episodes end at the goal it may learn to stay away. The KL is
    d log 2 - H >= 0, so that no step is worth more than its reward; to an agent in a prior's latent
    space it is that to the prior. Where no episode terminates, the same policy is the best.

    Args:
        model: SAC, before it learns; a hook is put behind its target critic's `forward`, so call
            this again after `SAC.load`.

    Example:
        >>> model = SAC("MlpPolicy", "Pendulum-v1", buffer_size=50, learning_starts=10)
        >>> charge_kl(model)
        >>> model.learn(20).num_timesteps
        20
    """
    uniform = math.prod(model.action_space.shape or ()) * math.log(2.0)

    def of_target(module: nn.Module, inputs: tuple[Any, ...], values: tuple[Tensor, ...]) -> Any:
        learned = model.log_ent_coef
        alpha = model.ent_coef_tensor if learned is None else learned.detach().exp()
        return tuple(value - alpha * uniform for value in values)

    model.critic_target.register_forward_hook(of_target)


class SeededEpisodes(gym.Wrapper[Any, Any, Any, Any]):
    """Reset episode k of a run with a seed that depends on the run's seed and k only.

    So a resumed run meets the very episodes that an unbroken one would have met, without any state
    of the env's generators on disk, and training shares no episode with evaluation or data: all
    seeds are at least 2**31. A seed given to `reset` is ignored (SB3 passes one of its own).

    Attributes:
        episode: Index of the current episode; -1 before the first reset of a new run.
    """

    def __init__(self, env: gym.Env[Any, Any], *, seed: int, first_episode: int = 0) -> None:
        super().__init__(env)
        self._run_seed = seed
        self.episode = first_episode - 1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the next episode."""
        self.episode += 1
        sequence = np.random.SeedSequence((self._run_seed, self.episode))
        own_seed = int(sequence.generate_state(1)[0]) | 2**31
        return self.env.reset(seed=own_seed, options=options)


_CHANNELS = 16


class PaperConvolutions(BaseFeaturesExtractor):
    """Three 3x3 convolutions of 16 channels, max-pooled after the first two (PARROT, Figure 9).

    48x48 images give 16 * 12 * 12 = 2304 features. The figure's sizes are reconstructed from the
    authors' later code; images arrive channels first and scaled to [0, 1] by SB3.

    Args:
        observation_space: Box (C, H, W) with H and W of at least 4.

    Example:
        >>> PaperConvolutions(spaces.Box(0, 255, (3, 48, 48))).features_dim
        2304
    """

    def __init__(self, observation_space: spaces.Box) -> None:
        shape = observation_space.shape
        if len(shape) != 3 or min(shape[1:]) < 4:
            raise InvalidArgumentError(
                f"Expected images (C, H, W) of at least 4x4 pixels, got shape {shape}."
            )
        channels, height, width = shape
        super().__init__(observation_space, _CHANNELS * (height // 4) * (width // 4))
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, _CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )

    def forward(self, observations: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to features (B, F)."""
        features: Tensor = self.trunk(observations)
        return features
