"""The Gymnasium wrapper: an env whose actions are the latents of a frozen behavioural prior."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import ArrayLike

from parrot_wrapper.argument_checks import number_array
from parrot_wrapper.charts import Chart
from parrot_wrapper.chunk import check_discount, env_steps, execute_chunk
from parrot_wrapper.errors import InvalidArgumentError, LatentError
from parrot_wrapper.observation_reader import Keys
from parrot_wrapper.spaces import AgentObservation
from parrot_wrapper.translator import (
    TERMINATION_WARNING,
    Decoded,
    LatentTranslator,
    with_batch_axis,
)
from parrot_wrapper.types import (
    ActionPrior,
    AnyArray,
    FloatArray,
    OffersCamera,
)


class BehavioralPriorWrapper(gym.Wrapper[Any, AnyArray, Any, AnyArray], RecordConstructorArgs):
    """Let an agent act in the latent space of a behavioural prior (Singh et al. 2021, section 4).

    The action space is `Box(-1, 1, (Z,), float32)`. An action u is mapped by the chart to base
    noise z, by the prior to an action for the last observation, clipped to the env's box and
    executed. A uniformly random agent thus acts like the prior. What was done stands in `info`:
    `"parrot/action"` (A,) as executed, `"parrot/latent"` z (Z,), `"parrot/clipped"` bool.

    If the prior's horizon H is above 1, a step executes a chunk of H actions open loop and stops
    early where the episode ends. It is one step of a semi-Markov decision process (Sutton et al.
    1999): the reward is sum_k gamma^k r_k, and the agent's own discount has to be gamma^H. The
    info is the last env step's; `"parrot/action"` is (n, A), and `"parrot/env_steps"` n,
    `"parrot/rewards"` and `"parrot/infos"` tell of each of the n <= H steps.

    The prior's passes over up to 16 observations run on one torch thread. All else, such as SAC's
    updates, has torch's own setting; `torch.set_num_threads(1)` is best for networks of this size.

    Args:
        env: Env with a bounded Box action space (A,) and observations as the prior knows them:
            uint8 images (H, W, C) or (C, H, W), a float state vector, or a Dict of such.
        prior: Name of a packaged prior, a prior's folder, or a live prior. With a live one the
            wrapper's `spec` cannot rebuild it.
        latent: Chart from u to z: "gaussian" (uniform u is exactly the prior), "box:2.0",
            "truncated:0.05", "tempered:0.8" or a chart object.
        observation: What the agent sees: "image" is the env's own observation, unchanged;
            "features" the prior's features (F,) float32; "both" a Dict of the env's
            observation (under "image" or "state" if it is no Dict) and "features".
        image_key: Where a Dict observation has the image; None for where the prior's data had it,
            and "image" if they do not tell.
        proprio_key: The same for the proprioception; several keys are joined in this order.
        state_key: The same for the state.
        gamma: Discount of an env step within a chunk, in [0, 1]; of no effect at horizon 1.

    Raises:
        SpaceMismatchError: Env and prior disagree; every disagreement is listed.
        UnknownNameError: No such prior, chart or observation; the nearest is named.
        CheckpointError: The prior's folder cannot be trusted.
        InvalidArgumentError: No single env, or another argument outside its range.

    Warns:
        UserWarning: The env terminates on success, which SAC learns to avoid.

    Example:
        >>> import gymnasium as gym
        >>> import numpy as np
        >>> from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
        >>> config = FlowPriorConfig(ObservationSpec(state=3), action_dim=1, encoder="state",
        ...                          action_low=(-2.0,), action_high=(2.0,))
        >>> env = BehavioralPriorWrapper(gym.make("Pendulum-v1"), FlowPrior(config))
        >>> _ = env.reset(seed=0)
        >>> *_, info = env.step(np.array([0.6826895], np.float32))
        >>> info["parrot/latent"]  # one standard deviation
        array([1.], dtype=float32)
    """

    def __init__(
        self,
        env: gym.Env[Any, AnyArray],
        prior: str | Path | ActionPrior,
        *,
        latent: str | Chart = "gaussian",
        observation: AgentObservation = "image",
        image_key: str | None = None,
        proprio_key: Keys = None,
        state_key: Keys = None,
        gamma: float = 1.0,
    ) -> None:
        if not isinstance(env, gym.Env):
            raise InvalidArgumentError(
                f"Expected a gymnasium.Env, got {env!r}; many at once take "
                "BehavioralPriorVectorWrapper (Gymnasium) or BehavioralPriorVecWrapper "
                "(Stable-Baselines3)."
            )
        self._gamma = check_discount(gamma)
        inner = env.unwrapped
        translator = LatentTranslator(
            prior,
            observation_space=env.observation_space,
            action_space=env.action_space,
            latent=latent,
            observation=observation,
            image_key=image_key,
            proprio_key=proprio_key,
            state_key=state_key,
            cameras=[inner.camera_spec()] if isinstance(inner, OffersCamera) else [],
        )
        if _terminates_on_success(env):
            warnings.warn(TERMINATION_WARNING, UserWarning, stacklevel=2)
        RecordConstructorArgs.__init__(
            self,
            prior=translator.recorded,
            latent=translator.chart.spec,
            observation=observation,
            image_key=image_key,
            proprio_key=proprio_key,
            state_key=state_key,
            gamma=gamma,
        )
        gym.Wrapper.__init__(self, env)
        self.action_space = translator.action_space
        self.observation_space = translator.observation_space
        self._translator = translator

    @property
    def prior(self) -> ActionPrior:
        """The frozen prior."""
        return self._translator.prior

    @property
    def chart(self) -> Chart:
        """The map from u to base noise."""
        return self._translator.chart

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the env; the prior is conditioned on its first observation."""
        self._translator.forget()
        observation, info = self.env.reset(seed=seed, options=options)
        return self._see(observation), dict(info)

    def step(self, action: AnyArray) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Execute what the prior makes of the latent action u (Z,): one action, or a chunk.

        Raises:
            ResetNeeded: The env was not reset yet.
            LatentError: u has the wrong shape or dtype, is not finite, or is outside [-1, 1].
                The env is not stepped.
        """
        decoded = self._translator.decode(
            number_array("latents (dtype float32)", action, LatentError)[None]
        )
        if self.prior.horizon > 1:
            return self._execute(decoded)
        observation, reward, terminated, truncated, info = self.env.step(decoded.action[0].copy())
        seen = self._see(observation)
        return seen, reward, terminated, truncated, {**info, **decoded.info(0)}

    def encode(self, action: ArrayLike) -> FloatArray:
        """The latent action u (Z,) that makes the prior do `action` at the last observation.

        Args:
            action: (A,), or a chunk (H, A).

        Actions that the prior finds very unlikely land on the chart's edge, |u| = 1 - 2^-24.

        Raises:
            ResetNeeded: The env was not reset yet.
            InvalidArgumentError: The action has the wrong shape or is not finite.
        """
        u: FloatArray = self._translator.encode(
            number_array("action", action, InvalidArgumentError)[None]
        )[0]
        return u

    def _execute(self, chunk: Decoded) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = execute_chunk(
            self.env, chunk.action[0], gamma=self._gamma
        )
        told = chunk.info(0, executed=env_steps(info))
        return self._see(observation), reward, terminated, truncated, {**info, **told}

    def _see(self, observation: Any) -> Any:
        self._translator.observe(with_batch_axis(observation))
        return self._translator.view(observation, index=0)


def _terminates_on_success(env: gym.Env[Any, Any]) -> bool:
    told = env.spec.kwargs.get("terminate_on_success") if env.spec is not None else None
    return bool(getattr(env.unwrapped, "terminate_on_success", told))
