"""Prior-explore: SAC in the env's own actions that often executes a sample of the prior."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.noise import ActionNoise

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.types import ActionPrior, AnyArray, FloatArray
from parrot_wrapper.wrappers.chunk import require_single_actions
from parrot_wrapper.wrappers.reader import ObservationReader
from parrot_wrapper.wrappers.spaces import check_spaces


class PriorExploreSAC(SAC):
    """SAC whose steps execute, with a given probability, a sample of a prior instead of its action.

    The paper's exploration baseline (Singh et al. 2021, section 5), whose best probability is 0.9.
    The sample is f(z; s) with z ~ N(0, I), clipped to the action box, and what was executed is what
    the replay buffer stores. It is drawn in warm-up steps too. All else is stock SAC.

    Args:
        policy: See `SAC`.
        env: See `SAC`; actions are the env's own.
        prior: Prior of single actions. None only for `load`: assign `prior` before `learn` then.
        prior_explore: Probability of a sample, each step, in [0, 1].
        sees_features: Observations are the prior's features (B, F); otherwise they are what the
            prior looks at.
        **options: See `SAC`; `seed` seeds the samples too.

    Attributes:
        prior: The prior.
        prior_explore: The probability.
        explore_rng: Decides when and what to sample.

    Raises:
        InvalidArgumentError: The probability is outside [0, 1], or the prior's horizon above 1.
        SpaceMismatchError: The prior does not fit env and observations.

    Example:
        >>> import gymnasium as gym
        >>> from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
        >>> prior = FlowPrior(FlowPriorConfig(ObservationSpec(state=3), action_dim=1,
        ...                   encoder="state", action_low=(-2.0,), action_high=(2.0,)))
        >>> model = PriorExploreSAC("MlpPolicy", gym.make("Pendulum-v1"), prior=prior,
        ...                         sees_features=False, buffer_size=50, seed=0)
        >>> model.learn(20).replay_buffer.size()
        20
    """

    def __init__(
        self,
        policy: Any,
        env: Any,
        *,
        prior: ActionPrior | None = None,
        prior_explore: float = 0.9,
        sees_features: bool = True,
        **options: Any,
    ) -> None:
        if not 0.0 <= prior_explore <= 1.0:
            raise InvalidArgumentError(
                f"Expected prior_explore, a probability, in [0, 1], got {prior_explore!r}."
            )
        if prior is not None:
            require_single_actions(prior, "Prior-explore")
        super().__init__(policy, env, **options)
        self.prior, self.prior_explore = prior, prior_explore
        self.explore_rng = np.random.default_rng(None if self.seed is None else (self.seed, 1))
        self._read: ObservationReader | None = None
        if prior is not None and not sees_features:
            self._read = check_spaces(self.observation_space, self.action_space, prior)

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[AnyArray, AnyArray]:
        actions, stored = super()._sample_action(learning_starts, action_noise, n_envs)
        chosen = self.explore_rng.random(n_envs) < self.prior_explore
        if chosen.any():
            actions[chosen] = self._samples(n_envs)[chosen]
            stored[chosen] = self.policy.scale_action(actions[chosen])
        return actions, stored

    def _samples(self, n_envs: int) -> FloatArray:
        """One sample (A,) of the prior for each env's last observation."""
        if self.prior is None:
            raise InvalidArgumentError(
                "This model has no prior to explore with (a saved model does not keep it); assign "
                "model.prior before learn()."
            )
        assert isinstance(self.action_space, spaces.Box)  # SAC saw to it
        seen: Any = self._last_obs
        features = seen if self._read is None else self.prior.features(self._read(seen))
        latent = self.explore_rng.standard_normal((n_envs, self.prior.latent_dim), np.float32)
        action = self.prior.decode_features(latent, features)
        return np.clip(action, self.action_space.low, self.action_space.high)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "prior", "explore_rng"]
