"""The Stable-Baselines3 twin of the wrapper: one batched decode a step for all envs of a VecEnv."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parrot_wrapper.errors import InvalidArgumentError, needed_extra
from parrot_wrapper.surroundings import quiet_underflow
from parrot_wrapper.types import ActionPrior, AnyArray
from parrot_wrapper.wrappers.chunk import CHUNK_OVER
from parrot_wrapper.wrappers.decoded import Decoded
from parrot_wrapper.wrappers.driver import DrivenBatch, Driver, DriverOptions

with needed_extra("sb3", "BehavioralPriorVecWrapper needs Stable-Baselines3"):
    from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
    from stable_baselines3.common.vec_env.base_vec_env import (
        VecEnvIndices,
        VecEnvObs,
        VecEnvStepReturn,
    )

if TYPE_CHECKING:
    from typing_extensions import Unpack

_TERMINATES, _LAST = "terminate_on_success", "terminal_observation"
_HORIZON = "chunk_horizon"


class BehavioralPriorVecWrapper(DrivenBatch, VecEnvWrapper):
    """`BehavioralPriorWrapper` for Stable-Baselines3 vectorised envs.

    The prior stays in this process and embeds and decodes for all envs at once. Each env's action
    is decoded for the observation that it returned last, which after an episode is the first of
    the next one; `infos[i]["terminal_observation"]` is converted to what the agent sees.

    With a prior of chunks each env has to execute them by itself, since a VecEnv steps all its envs
    together and begins new episodes by itself: wrap each with `ActionChunking`, which has the
    discount within a chunk and stops where the episode ends; with `one_by_one=True` where the prior
    decodes each action for the newest observation (`DecodesClosedLoop`).

    Args:
        venv: Vectorised env whose envs all fit the prior.
        prior: Name of a packaged prior, a prior's folder, or a live prior.
        **options: `latent`, `observation`, `image_key`, `proprio_key` and `state_key`, as
            `BehavioralPriorWrapper` has them.

    Raises:
        SpaceMismatchError: Envs and prior disagree; every disagreement is listed.
        UnknownNameError: No such prior, chart or observation; the nearest is named.
        CheckpointError: The prior's folder cannot be trusted.
        InvalidArgumentError: No VecEnv, another argument outside its range, or `venv` or its envs
            normalise observations by running statistics, which the prior was not trained on.

    Warns:
        UserWarning: An env terminates on success, which SAC learns to avoid; or a wrapper below
            changes observations in a way that the prior's data may not have.

    Example:
        >>> from stable_baselines3.common.env_util import make_vec_env
        >>> import numpy as np
        >>> from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
        >>> config = FlowPriorConfig(ObservationSpec(state=3), action_dim=1, encoder="state",
        ...                          action_low=(-2.0,), action_high=(2.0,))
        >>> venv = BehavioralPriorVecWrapper(make_vec_env("Pendulum-v1", 2), FlowPrior(config))
        >>> _ = venv.reset()
        >>> *_, infos = venv.step(np.zeros((2, 1), np.float32))
        >>> infos[1]["parrot/latent"]
        array([0.], dtype=float32)
    """

    def __init__(
        self,
        venv: VecEnv,
        prior: str | Path | ActionPrior,
        **options: Unpack[DriverOptions],
    ) -> None:
        if not isinstance(venv, VecEnv):
            raise InvalidArgumentError(
                f"Expected a VecEnv of Stable-Baselines3, got {venv!r}; one env takes "
                "BehavioralPriorWrapper, a gymnasium.vector.VectorEnv BehavioralPriorVectorWrapper."
            )
        driver = Driver(
            venv,
            prior,
            observation_space=venv.observation_space,
            action_space=venv.action_space,
            cameras=venv.env_method("camera_spec") if venv.has_attr("camera_spec") else [],
            terminates=venv.has_attr(_TERMINATES) and any(venv.get_attr(_TERMINATES)),
            chunk_horizons=venv.get_attr(_HORIZON) if venv.has_attr(_HORIZON) else (),
            **options,
        )
        super().__init__(
            venv,
            observation_space=driver.observation_space,
            action_space=driver.action_space,
        )
        self._driver = driver
        self._decoded: Decoded | None = None

    def __repr__(self) -> str:
        """With the prior and the chart, and the number of envs inside."""
        envs = f"{self.num_envs} envs of {type(self.venv).__name__}"
        return f"<{type(self).__name__}({self._driver}), {envs}>"

    def reset(self) -> VecEnvObs:
        """Reset all envs; the prior is conditioned on their first observations."""
        self._driver.forget()
        observations = self.venv.reset()
        self._tell_resets()
        return self._see(observations, np.ones(self.num_envs, bool))

    def step_async(self, actions: AnyArray) -> None:
        """Start executing what the prior makes of the latent actions u (B, Z).

        Raises:
            ResetNeeded: The envs were not reset yet.
            LatentError: u has the wrong shape or dtype, is not finite, or is outside [-1, 1].
                No env is stepped.
        """
        self._decoded = self._driver.decode(actions)
        self.venv.step_async(self._driver.to_execute(self._decoded))

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the envs; see `VecEnv.step_wait`."""
        assert self._decoded is not None  # step_async comes first
        decoded = self._decoded
        with quiet_underflow():
            seen: Any  # SB3's type has tuples, which no env gives
            seen, rewards, dones, infos = self.venv.step_wait()
            for call in range(1, self._driver.calls):
                going = np.array([not info[CHUNK_OVER] for info in infos])
                self._driver.decode_newest(decoded, call, seen, going)
                self.venv.step_async(self._driver.to_execute(decoded, call))
                seen, rewards, dones, infos = self.venv.step_wait()
        told = [{**info, **decoded.info(index)} for index, info in enumerate(infos)]
        if dones.any():
            self._show_last(told, np.flatnonzero(dones))
            self._tell_resets()
        # some envs give each reward in an array of one
        return self._see(seen, dones), np.reshape(rewards, len(dones)), dones, told

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the envs; see `BehavioralPriorWrapper.get_wrapper_attr`."""
        call = partial(self.venv.env_method, method_name, indices=indices)
        guarded = self._driver.guarded(call) if method_name == "compute_reward" else call
        results: list[Any] = guarded(*args, **kwargs)
        return results

    def _show_last(self, told: list[dict[str, Any]], envs: AnyArray) -> None:
        """Make last observations of episodes, where they were told, what the agent sees of them."""
        known = np.array([env for env in envs if _LAST in told[env]], int)
        views = self._driver.views_of_last([told[env][_LAST] for env in known], known)
        for env, view in zip(known, views, strict=True):
            told[env][_LAST] = view

    def _tell_resets(self) -> None:
        """Take over what the envs told of their last resets, with the keys of a step's info."""
        nothing = self._driver.nothing_done(1).info(0)
        self.reset_infos = [{**info, **nothing} for info in self.venv.reset_infos]

    def _see(self, observations: Any, began: AnyArray) -> VecEnvObs:
        self._driver.observe(observations, began)
        seen: VecEnvObs = self._driver.view(observations)
        return seen
