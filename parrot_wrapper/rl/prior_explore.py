"""Prior-explore: SAC in the env's own actions that often executes a sample of the prior."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.noise import ActionNoise

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.types import ActionPrior, AnyArray, FloatArray, OffersMemory
from parrot_wrapper.wrappers.chunk import closed_loop
from parrot_wrapper.wrappers.reader import ObservationReader
from parrot_wrapper.wrappers.spaces import check_spaces


class PriorExploreSAC(SAC):
    """SAC whose steps execute, with a given probability, a sample of a prior instead of its action.

    The paper's exploration baseline (Singh et al. 2021, section 5), whose best probability is 0.9.
    The sample is f(z; s) with z ~ N(0, I), clipped to the action box, and what was executed is what
    the replay buffer stores. It is drawn in warm-up steps too. All else is stock SAC.

    With a prior of chunks the die is cast every H steps of an episode: the next H are those of one
    chunk, open loop, or the agent's own.

    Args:
        policy: See `SAC`.
        env: See `SAC`; actions are the env's own.
        prior: The prior. None only for `load`: assign `prior` before `learn` then.
        prior_explore: Probability of a sample, each step or chunk, in [0, 1].
        sees_features: Observations are the prior's features (B, F); otherwise they are what the
            prior looks at.
        **options: See `SAC`; `seed` seeds the samples too.

    Attributes:
        prior: The prior.
        prior_explore: The probability.
        explore_rng: Decides when and what to sample.

    Raises:
        InvalidArgumentError: The probability is outside [0, 1]; the prior decodes closed loop; or
            it has a memory, and observations are not its features, which hold that.
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
            _check(prior, sees_features=sees_features)
        super().__init__(policy, env, **options)
        self.prior, self.prior_explore = prior, prior_explore
        self.explore_rng = np.random.default_rng(None if self.seed is None else (self.seed, 1))
        self._read: ObservationReader | None = None
        self._plan: _Plan | None = None
        if prior is not None and not sees_features:
            self._read = check_spaces(self.observation_space, self.action_space, prior)

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[AnyArray, AnyArray]:
        actions, stored = super()._sample_action(learning_starts, action_noise, n_envs)
        due = self._due(n_envs)
        plan = self._plan
        assert plan is not None  # `_due` made it
        if due.any():
            drawn = self.explore_rng.random(n_envs) < self.prior_explore
            plan.chosen = np.where(due, drawn, plan.chosen)
            if (due & plan.chosen).any():
                plan.actions[due & plan.chosen] = self._samples(n_envs)[due & plan.chosen]
        chosen = np.flatnonzero(plan.chosen)
        if len(chosen):
            actions[chosen] = plan.actions[chosen, plan.step[chosen]]
            stored[chosen] = self.policy.scale_action(actions[chosen])
        plan.step += 1
        return actions, stored

    def _due(self, n_envs: int) -> AnyArray:
        """Which envs begin an episode, or have used up what was decided last."""
        horizon = 1 if self.prior is None else self.prior.horizon
        if self._plan is None or self._plan.actions.shape[:2] != (n_envs, horizon):
            if self.prior is not None:
                _check(self.prior, sees_features=self._read is None)
            self._plan = _Plan(n_envs, horizon, self.action_space.shape or ())
        due: AnyArray = self._last_episode_starts | (self._plan.step == horizon)
        self._plan.step[due] = 0
        self._last_episode_starts = np.zeros(n_envs, bool)
        return due

    def _store_transition(
        self,
        replay_buffer: Any,
        buffer_action: Any,
        new_obs: Any,
        reward: Any,
        dones: Any,
        infos: Any,
    ) -> None:
        super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)
        # SB3 itself keeps this up to date for on-policy algorithms only
        self._last_episode_starts = np.array(dones, bool)

    def _samples(self, n_envs: int) -> FloatArray:
        """One sample (H, A) of the prior for each env's last observation."""
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
        within: FloatArray = np.clip(
            action.reshape(n_envs, -1, self.prior.action_dim),
            self.action_space.low,
            self.action_space.high,
        )
        return within

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "prior", "explore_rng", "_plan"]


class _Plan:
    """What was decided for each env: `chosen` (B,), `actions` (B, H, A), and `step` (B,) of H."""

    def __init__(self, envs: int, horizon: int, shape: tuple[int, ...]) -> None:
        self.chosen = np.zeros(envs, bool)
        self.actions = np.zeros((envs, horizon, *shape), np.float32)
        self.step = np.full(envs, horizon)


def _check(prior: ActionPrior, *, sees_features: bool) -> None:
    if closed_loop(prior) is not None:
        raise InvalidArgumentError(
            "Prior-explore executes chunks as they were sampled, got a prior that decodes each "
            "action for the newest observation. Act through BehavioralPriorWrapper, where uniform "
            "actions are its samples."
        )
    if isinstance(prior, OffersMemory) and not sees_features:
        raise InvalidArgumentError(
            "Prior-explore of a prior with memory has to see its features, which hold what it "
            "remembers. Wrap the env in PriorFeaturesObservation (observation='features')."
        )
