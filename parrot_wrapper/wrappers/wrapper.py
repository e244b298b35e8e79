"""The Gymnasium wrapper: an env whose actions are the latents of a frozen behavioural prior."""

from __future__ import annotations

from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import ArrayLike

from parrot_wrapper.checks import number_array
from parrot_wrapper.errors import InvalidArgumentError, LatentError
from parrot_wrapper.latent.charts import Chart
from parrot_wrapper.surroundings import quiet_underflow
from parrot_wrapper.types import ActionPrior, AnyArray, FloatArray
from parrot_wrapper.wrappers.chunk import (
    check_discount,
    execute_chunk,
    nothing_executed,
    one_reward,
)
from parrot_wrapper.wrappers.driver import Driven, Driver, DriverOptions, offered
from parrot_wrapper.wrappers.reader import ImageKeys, Keys, with_batch_axis
from parrot_wrapper.wrappers.spaces import AgentObservation


class BehavioralPriorWrapper(
    Driven, gym.Wrapper[Any, AnyArray, Any, AnyArray], RecordConstructorArgs
):
    """Let an agent act in the latent space of a behavioural prior (Singh et al. 2021, section 4).

    The action space is `Box(-1, 1, (Z,), float32)`. An action u is mapped by the chart to base
    noise z, by the prior to an action for the last observation, clipped to the env's box and
    executed. A uniformly random agent thus acts like the prior. What was done stands in `info`:
    `"parrot/action"` (A,) as executed, `"parrot/latent"` z (Z,), `"parrot/clipped"` bool. A reset
    tells the same keys, with zeros.

    If the prior's horizon H is above 1, a step executes a chunk of H actions, open loop unless the
    prior decodes each for the newest observation (`DecodesClosedLoop`), and stops early where the
    episode ends. What a prior with memory (`OffersMemory`) remembers is set back with the episode.
    A chunk is one step of a semi-Markov decision process (Sutton et al.
    1999): the reward is sum_k gamma^k r_k, and the agent's own discount has to be gamma^H. The
    info is the last env step's. `"parrot/env_steps"` is n <= H, how many were executed;
    `"parrot/action"` (H, A) and `"parrot/rewards"` (H,) tell of each, with zeros after n, and
    `"parrot/infos"` is a dict of what their infos told, each key in an array with a first axis of H
    steps, or in a tuple of length H if its values are no numbers.

    The prior's passes over up to 16 observations run on one torch thread. All else, such as SAC's
    updates, has torch's own setting; `torch.set_num_threads(1)` is best for networks of this size.

    Args:
        env: Env with a Box action space (A,) and observations as the prior knows them: images
            (H, W, C), (C, H, W) or (H, W), of uint8 or with the least and greatest pixel as bounds
            of their Box; a float state vector; or a Dict or Tuple of such, also nested. Where the
            action box has no bounds, those of the prior's data serve. `BoxActions` makes a Box of
            other action spaces.
        prior: Name of a packaged prior, a prior's folder, or a live prior. With a live one the
            wrapper's `spec` cannot rebuild it.
        latent: Chart from u to z: "gaussian" (uniform u is exactly the prior), "box:2.0",
            "truncated:0.05", "tempered:0.8", "ball:0.9" or a chart object.
        observation: What the agent sees: "image" is the env's own observation, unchanged;
            "features" the prior's features (F,) float32; "both" a Dict of the env's
            observation (under "image" or "state" if it is no Dict) and "features".
        image_key: Where a Dict observation has the image; None for where the prior's data had it,
            and "image" if they do not tell. For a prior of several cameras a mapping from its
            names of images to the env's keys, of those that have other keys.
        proprio_key: The same for the proprioception; several keys are joined in this order.
        state_key: The same for the state.
        gamma: Discount of an env step within a chunk, in [0, 1]; of no effect at horizon 1.

    Raises:
        SpaceMismatchError: Env and prior disagree; every disagreement is listed.
        UnknownNameError: No such prior, chart or observation; the nearest is named.
        CheckpointError: The prior's folder cannot be trusted.
        InvalidArgumentError: No single env, a wrapper below normalises observations by running
            statistics, or another argument is outside its range.

    Warns:
        UserWarning: The env terminates on success, which SAC learns to avoid; its action box has
            no bounds; or a wrapper below changes observations in a way that the prior's data may
            not have.

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
        image_key: ImageKeys = None,
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
        options: DriverOptions = {
            "latent": latent,
            "observation": observation,
            "image_key": image_key,
            "proprio_key": proprio_key,
            "state_key": state_key,
        }
        driver = Driver(
            env,
            prior,
            terminates=_terminates_on_success(env),
            **offered(env),
            **options,
        )
        recorded: dict[str, Any] = {**options, "latent": driver.chart.spec, "gamma": gamma}
        RecordConstructorArgs.__init__(self, prior=driver.recorded, **recorded)
        gym.Wrapper.__init__(self, env)
        self.action_space = driver.action_space
        self.observation_space = driver.observation_space
        self._driver = driver

    def __str__(self) -> str:
        """With the prior and the chart, and the env inside."""
        return f"<{type(self).__name__}({self._driver}){self.env}>"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the env; the prior is conditioned on its first observation."""
        self._driver.forget()
        observation, info = self.env.reset(seed=seed, options=options)
        nothing = self._driver.nothing_done(1)
        if self.prior.horizon > 1:
            info = nothing_executed(info, nothing.action[0])
        return self._see(observation, began=True), {**info, **nothing.info(0)}

    def step(self, action: AnyArray) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Execute what the prior makes of the latent action u (Z,): one action, or a chunk.

        Raises:
            ResetNeeded: The env was not reset yet.
            LatentError: u has the wrong shape or dtype, is not finite, or is outside [-1, 1].
                The env is not stepped.
        """
        decoded = self._driver.decode(
            number_array("latents (dtype float32)", action, LatentError)[None]
        )

        def newest(step: int, observation: Any) -> None:
            self._driver.decode_newest(decoded, step, with_batch_axis(observation))

        with quiet_underflow():
            observation, reward, terminated, truncated, info = (
                self.env.step(decoded.action[0].copy())
                if self.prior.horizon == 1
                else execute_chunk(
                    self.env,
                    decoded.action[0],
                    gamma=self._gamma,
                    before_step=newest if self._driver.closed_loop else None,
                )
            )
        if np.ndim(reward):  # type: ignore[arg-type]  # some envs give an array of one
            reward = one_reward(reward)
        told = {**info, **decoded.info(0)}
        return self._see(observation), reward, terminated, truncated, told

    def encode(self, action: ArrayLike) -> FloatArray:
        """The latent action u (Z,) that makes the prior do `action` at the last observation.

        Args:
            action: (A,), or a chunk (H, A).

        Actions that the prior finds very unlikely land on the chart's edge, |u| = 1 - 2^-24.

        Raises:
            ResetNeeded: The env was not reset yet.
            InvalidArgumentError: The action has the wrong shape or is not finite.
        """
        u: FloatArray = self._driver.encode(
            number_array("action", action, InvalidArgumentError)[None]
        )[0]
        return u

    def get_wrapper_attr(self, name: str) -> Any:
        """An attribute of this wrapper or of the envs below it.

        `compute_reward`, by which hindsight replay rewards other goals, raises InvalidArgumentError
        where a transition would not fit them: the prior reads the goal, or decodes chunks.
        """
        found = super().get_wrapper_attr(name)
        return self._driver.guarded(found) if name == "compute_reward" else found

    def _see(self, observation: Any, *, began: bool = False) -> Any:
        self._driver.observe(with_batch_axis(observation), began)
        return self._driver.view(observation, index=0)


def _terminates_on_success(env: gym.Env[Any, Any]) -> bool:
    told = env.spec.kwargs.get("terminate_on_success") if env.spec is not None else None
    return bool(getattr(env.unwrapped, "terminate_on_success", told))
