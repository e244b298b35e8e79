"""SAC in a prior's latent space whose critics judge the actions that come of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.policies import BasePolicy, ContinuousCritic
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecNormalize,
    unwrap_vec_normalize,
    unwrap_vec_wrapper,
)
from stable_baselines3.sac.policies import MultiInputPolicy, SACPolicy
from torch import Tensor

from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError
from parrot_wrapper.latent.charts import Chart
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.types import ActionPrior
from parrot_wrapper.wrappers.chunk import closed_loop
from parrot_wrapper.wrappers.spaces import FEATURES_KEY
from parrot_wrapper.wrappers.vec_wrapper import BehavioralPriorVecWrapper

Decoder = Callable[[Tensor, Tensor], Tensor]
"""From base noise (B, Z) and features (B, F) to actions (B, A), chunks (B, H, A), unclipped."""


def differentiable_decoder(prior: ActionPrior, device: str | torch.device = "cpu") -> Decoder:
    """What `prior.decode_features` computes, in torch, with gradients to the noise.

    It is made of a frozen copy of the prior: later changes of the prior do not show.

    Example:
        >>> from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
        >>> prior = FlowPrior(FlowPriorConfig(ObservationSpec(state=4), 2, encoder="state"))
        >>> z, features = torch.ones(3, 2, requires_grad=True), torch.zeros(3, 4)
        >>> differentiable_decoder(prior)(z, features).sum().backward()
        >>> z.grad.shape
        torch.Size([3, 2])
    """
    if not isinstance(prior, EncoderPrior):
        raise _without_gradient(type(prior).__name__)
    frozen = copy.deepcopy(prior).requires_grad_(False).eval().to(device)
    like = frozen._like

    def decode(z: Tensor, features: Tensor) -> Tensor:
        return frozen._decode(z.to(like.dtype), features.to(like.dtype)).float()

    with torch.enable_grad():
        noise = torch.zeros(1, prior.latent_dim, device=device, requires_grad=True)
        made = decode(noise, torch.zeros(1, prior.feature_dim, device=device))
    if not made.requires_grad:
        raise _without_gradient(type(prior).__name__)
    return decode


def _without_gradient(name: str) -> NotOfferedError:
    return NotOfferedError(
        f"Expected a prior whose actions have a gradient by the noise, got {name}. Mixtures, "
        "policies of other libraries and priors written in NumPy have none."
    )


class Executed:
    """From an agent's observation and u to what is executed, in torch, with gradients to u."""

    def __init__(self, prior: ActionPrior, chart: Chart, device: torch.device) -> None:
        if closed_loop(prior) is not None:
            raise NotOfferedError(
                "Expected a prior whose chunks are executed as planned, got one that decodes each "
                "action for the newest observation, which a critic over actions cannot know. "
                "Plan open loop (prior.replanned(False)), or use the critic over latents."
            )
        self._decode, self._chart = differentiable_decoder(prior, device), chart
        low, high = (torch.from_numpy(edge).to(device) for edge in prior.action_bounds)
        self._low, self._width = low, high - low

    def __call__(self, observations: Any, u: Tensor) -> Tensor:
        """Actions (B, H A) in units of the box, -1 to 1, of u (B, Z) and what the agent sees."""
        is_dict = isinstance(observations, dict)
        features = observations[FEATURES_KEY] if is_dict else observations
        z: Tensor = _Stretched.apply(u, self._chart)  # type: ignore[no-untyped-call]  # torch's
        actions = self._decode(z, features)
        share = ((actions - self._low) / self._width).clamp(0.0, 1.0)
        return (2.0 * share - 1.0).flatten(1)


class _Stretched(torch.autograd.Function):
    """A chart's `to_latent`, by the chart itself: z is to the bit what the wrapper takes."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, chart: Chart) -> Tensor:
        """From u (B, Z) to base noise (B, Z)."""
        array = u.detach().cpu().numpy()
        ctx.u, ctx.chart = array, chart
        return torch.from_numpy(chart.to_latent(array)).to(u)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """By the chart, too."""
        by_noise = gradients[0].detach()
        by_u = ctx.chart.gradient(ctx.u, by_noise.cpu().numpy())
        return torch.from_numpy(by_u).to(by_noise), None


class ActionCritic(ContinuousCritic):
    """SB3's critics on (observation, executed action); called with (observation, u) as those are.

    Attributes:
        executed: What makes actions of u; set by `ActionCriticSAC`.
    """

    executed: Executed | None = None

    def forward(self, obs: Any, actions: Tensor) -> tuple[Tensor, ...]:
        """Values (B, 1) of each critic for u (B, Z)."""
        return super().forward(obs, self._made(obs, actions))

    def q1_forward(self, obs: Any, actions: Tensor) -> Tensor:
        """Values (B, 1) of the first critic for u (B, Z)."""
        return super().q1_forward(obs, self._made(obs, actions))

    def _made(self, obs: Any, u: Tensor) -> Tensor:
        if self.executed is None:
            raise InvalidArgumentError(
                "This model has no env, whose prior its critics need (a saved model does not keep "
                "it); call model.set_env(wrapped_env) first."
            )
        return self.executed(obs, u)


class _OverActions(SACPolicy):
    """A SAC policy with such critics.

    Args:
        *args: See SB3's `SACPolicy`.
        action_length: H A, numbers in what one u executes.
        **kwargs: See SB3's `SACPolicy`.
    """

    def __init__(self, *args: Any, action_length: int = 1, **kwargs: Any) -> None:
        self.action_length = action_length
        super().__init__(*args, **kwargs)

    def make_critic(self, features_extractor: Any = None) -> ContinuousCritic:
        """Critics for actions in units of their box."""
        options = self._update_features_extractor(self.critic_kwargs, features_extractor)
        box = spaces.Box(-1.0, 1.0, (self.action_length,), np.float32)
        return ActionCritic(**{**options, "action_space": box}).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = super()._get_constructor_parameters()
        return {**own, "action_length": self.action_length}


class ActionCriticPolicy(_OverActions):
    """For features alone."""


class ActionCriticMultiInputPolicy(_OverActions, MultiInputPolicy):
    """For Dict observations with the features among them."""


class ActionCriticSAC(SAC):
    """SAC in a prior's latent space with critics over what is executed: Q(s, f(z; s)).

    Several latents may stand for one action, and a critic over actions need not learn that.
    DSRL-NA (Wagenmaker et al. 2025) therefore learns one and distils it into a second one over
    noise. Here the actor's gradient goes through the frozen decoder instead, as in LPS. All else is
    SB3's SAC, replay included, which keeps u: the decoder makes the same actions of it again.

    Prior and chart are those of the env, a `BehavioralPriorWrapper` or
    `BehavioralPriorVecWrapper` with `observation="features"` or "both". Actions are seen clipped to
    the box, as executed, and scaled to -1 ... 1.

    Args:
        policy: "MlpPolicy" or "MultiInputPolicy".
        env: Such an env, or a VecEnv of such.
        **options: See `SAC`.

    Raises:
        InvalidArgumentError: The env is no such env, or what it shows is normalised on the way.
        NotOfferedError: The prior's actions have no gradient, or follow from later observations.

    Example:
        >>> import gymnasium as gym
        >>> from parrot_wrapper import (BehavioralPriorWrapper, FlowPrior, FlowPriorConfig,
        ...                             ObservationSpec)
        >>> prior = FlowPrior(FlowPriorConfig(ObservationSpec(state=3), action_dim=1,
        ...                   encoder="state", action_low=(-2.0,), action_high=(2.0,)))
        >>> env = BehavioralPriorWrapper(gym.make("Pendulum-v1"), prior, observation="features")
        >>> model = ActionCriticSAC("MlpPolicy", env, buffer_size=50, learning_starts=10)
        >>> model.learn(20).num_timesteps
        20
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": ActionCriticPolicy,
        "MultiInputPolicy": ActionCriticMultiInputPolicy,
    }

    def _setup_model(self) -> None:
        if self.env is None:  # loaded to act, which needs no critic
            super()._setup_model()
            return
        prior, _ = _driving(self.env)
        length = prior.horizon * prior.action_dim
        self.policy_kwargs = {**self.policy_kwargs, "action_length": length}
        super()._setup_model()
        self._attach(self.env)

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """See `SAC.set_env`; the critics take its prior."""
        super().set_env(env, force_reset=force_reset)
        assert self.env is not None  # the line above saw to it
        self._attach(self.env)

    def _attach(self, env: VecEnv) -> None:
        executed = Executed(*_driving(env), self.device)
        for critic in (self.critic, self.critic_target):
            assert isinstance(critic, ActionCritic)  # of our policies
            critic.executed = executed


def _driving(env: VecEnv) -> tuple[ActionPrior, Chart]:
    """The prior and the chart of an env whose agent sees its features."""
    vectorised = unwrap_vec_wrapper(env, BehavioralPriorVecWrapper)
    if vectorised is None and not env.has_attr("agent_observation"):
        raise InvalidArgumentError(
            f"Expected an env in BehavioralPriorWrapper or BehavioralPriorVecWrapper, got {env}."
        )
    sees, prior, chart = (
        getattr(vectorised, name) if vectorised is not None else env.get_attr(name)[0]
        for name in ("agent_observation", "prior", "chart")
    )
    space, normalised = env.observation_space, unwrap_vec_normalize(env)
    part = space.spaces.get(FEATURES_KEY) if isinstance(space, spaces.Dict) else space
    if sees == "image" or part is None or part.shape != (prior.feature_dim,):
        raise InvalidArgumentError(
            "Expected a wrapper with observation='features' or 'both', since critics over actions "
            f"decode them for the prior's features, got observation={sees!r} and {space}."
        )
    if isinstance(normalised, VecNormalize) and normalised.norm_obs:
        raise InvalidArgumentError(
            "Expected the prior's features as they are, got a VecNormalize around them: set "
            "norm_obs=False."
        )
    return prior, chart
