"""The gymnasium.vector twin of the wrapper: one batched decode a step for all sub-envs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.surroundings import quiet_underflow
from parrot_wrapper.types import ActionPrior, AnyArray
from parrot_wrapper.wrappers.chunk import CHUNK_KEYS, CHUNK_OVER
from parrot_wrapper.wrappers.decoded import Decoded
from parrot_wrapper.wrappers.driver import DrivenBatch, Driver, DriverOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

    _Base: TypeAlias = VectorWrapper[Any, AnyArray, Any, AnyArray, AnyArray]
else:
    _Base = VectorWrapper  # older gymnasiums have it without parameters

_MASK = "reset_mask"


class BehavioralPriorVectorWrapper(DrivenBatch, _Base):
    """`BehavioralPriorWrapper` for Gymnasium's vector envs, in every autoreset mode.

    The prior stays in this process and embeds and decodes for all N sub-envs at once. Each one's
    action is decoded for the observation that it returned last. Observations, rewards and infos are
    those of a vector env whose sub-envs are wrapped one by one: `infos["parrot/action"]` (N, A),
    `"parrot/latent"` (N, Z) and `"parrot/clipped"` (N,), each with Gymnasium's mask of the sub-envs
    that executed something (`infos["_parrot/action"]` (N,) bool); a reset tells zeros, of nobody.

    - NEXT_STEP: the step after an episode's end resets that sub-env and ignores its u; the mask is
      False there, and the values are zeros.
    - SAME_STEP: where an episode ends, the step's own keys are in `infos["final_info"]`, and
      `infos["final_obs"]` is what the agent sees of the last observation.
    - DISABLED: reset ended sub-envs with `options={"reset_mask": mask}`, (N,) bool; the others keep
      the observation that they act on.

    With a prior of chunks each sub-env has to execute them by itself, since the sub-envs step
    together and begin new episodes by themselves: wrap each with `ActionChunking`, which has the
    discount within a chunk and stops where the episode ends; with `one_by_one=True` where the prior
    decodes each action for the newest observation (`DecodesClosedLoop`).

    Args:
        env: Vector env whose sub-envs all fit the prior.
        prior: Name of a packaged prior, a prior's folder, or a live prior.
        **options: `latent`, `observation`, `image_key`, `proprio_key` and `state_key`, as
            `BehavioralPriorWrapper` has them.

    Raises:
        SpaceMismatchError: Envs and prior disagree; every disagreement is listed.
        UnknownNameError: No such prior, chart or observation; the nearest is named.
        CheckpointError: The prior's folder cannot be trusted.
        InvalidArgumentError: No vector env of Gymnasium's, a wrapper below normalises observations
            by running statistics, or another argument is outside its range.

    Warns:
        UserWarning: A sub-env terminates on success, which SAC learns to avoid; a wrapper below
            changes observations in a way that the prior's data may not have; or the vector env
            does not tell its autoreset mode, and NEXT_STEP is assumed, as Gymnasium does.

    Example:
        >>> import gymnasium as gym
        >>> from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
        >>> config = FlowPriorConfig(ObservationSpec(state=3), action_dim=1, encoder="state",
        ...                          action_low=(-2.0,), action_high=(2.0,))
        >>> envs = gym.make_vec("Pendulum-v1", num_envs=2)
        >>> envs = BehavioralPriorVectorWrapper(envs, FlowPrior(config))
        >>> _ = envs.reset(seed=0)
        >>> *_, infos = envs.step(np.zeros((2, 1), np.float32))
        >>> infos["parrot/latent"], infos["_parrot/latent"]
        (array([[0.], [0.]], dtype=float32), array([ True,  True]))
    """

    def __init__(
        self,
        env: VectorEnv[Any, AnyArray, AnyArray],
        prior: str | Path | ActionPrior,
        **options: Unpack[DriverOptions],
    ) -> None:
        self._mode = _autoreset_mode(env)
        driver = Driver(
            env,
            prior,
            observation_space=env.single_observation_space,
            action_space=env.single_action_space,
            cameras=_asked(env, "camera_spec"),
            terminates=_terminates_on_success(env),
            chunk_horizons=_asked(env, "chunk_horizon"),
            **options,
        )
        super().__init__(env)
        self.single_action_space = driver.action_space
        self.action_space = batch_space(driver.action_space, env.num_envs)
        if driver.observation != "image":
            self.single_observation_space = driver.observation_space
            self.observation_space = batch_space(driver.observation_space, env.num_envs)
        self._driver = driver
        self._ended: AnyArray | None = None  # (N,) bool, whose episode is over; None before a reset

    def __repr__(self) -> str:
        """With the prior and the chart, and the envs inside."""
        return f"<{type(self).__name__}({self._driver}), {self.env}>"

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset all sub-envs, or those of `options["reset_mask"]`.

        Args:
            seed: None, a number (sub-env i gets `seed + i`), or one for each sub-env.
            options: Handed to the sub-envs; a copy, so that wrappers around this one still find the
                mask that Gymnasium's vector envs take out.

        Raises:
            InvalidArgumentError: The mask is not (N,) bool with a True in it.
            ResetNeeded: The mask leaves sub-envs out that were never reset.
        """
        mask = _reset_mask(options, self.num_envs)
        if self._ended is None and not mask.all():
            raise ResetNeeded(
                "Expected a reset of all sub-envs first, got a reset_mask that leaves out "
                f"{np.flatnonzero(~mask).tolist()}; call reset() without one."
            )
        ended = np.zeros(self.num_envs, bool) if self._ended is None else self._ended & ~mask
        self._ended = None
        self._driver.forget()
        observations, infos = self.env.reset(
            seed=seed, options=None if options is None else dict(options)
        )
        self._ended = ended
        nothing = self._driver.nothing_done(self.num_envs)
        return self._see(observations, mask), infos | _done_by(infos, nothing, np.zeros_like(mask))

    def step(self, actions: AnyArray) -> tuple[Any, AnyArray, AnyArray, AnyArray, dict[str, Any]]:
        """Execute what the prior makes of the latent actions u (N, Z).

        Raises:
            ResetNeeded: The sub-envs were not reset yet, or without autoreset, one whose episode is
                over was not.
            LatentError: u has the wrong shape or dtype, is not finite, or is outside [-1, 1].
                No sub-env is stepped.
        """
        decoded = self._driver.decode(actions)
        assert self._ended is not None  # decoding asks for a reset
        if self._mode is AutoresetMode.DISABLED and self._ended.any():
            raise ResetNeeded(
                f"Expected sub-envs within an episode, got {np.flatnonzero(self._ended).tolist()} "
                "after its end, and this vector env resets none by itself; call "
                "reset(options={'reset_mask': terminations | truncations})."
            )
        resets = self._ended & (self._mode is AutoresetMode.NEXT_STEP)
        with quiet_underflow():
            returned = self.env.step(self._driver.to_execute(decoded))
            for call in range(1, self._driver.calls):
                going = ~returned[-1][CHUNK_OVER]
                self._driver.decode_newest(decoded, call, returned[0], going)
                actions = self._driver.to_execute(decoded, call)
                actions[resets] = np.nan  # see `ActionChunking`
                returned = self.env.step(actions)
        observations, rewards, terminations, truncations, infos = returned
        rewards = np.reshape(rewards, len(terminations))  # some give each in an array of one
        ended = terminations | truncations
        told = self._told(infos, decoded, acted=~resets, ended=ended)
        began = ended if self._mode is AutoresetMode.SAME_STEP else resets
        self._ended = ended & (self._mode is not AutoresetMode.SAME_STEP)
        return self._see(observations, began), rewards, terminations, truncations, told

    def _see(self, observations: Any, began: AnyArray) -> Any:
        self._driver.observe(observations, began)
        return self._driver.view(observations)

    def _told(
        self, infos: Mapping[str, Any], decoded: Decoded, *, acted: AnyArray, ended: AnyArray
    ) -> dict[str, Any]:
        """Infos with what was done; where the sub-env began anew already, in the final info."""
        told = dict(infos)
        if self._mode is AutoresetMode.SAME_STEP and ended.any():
            final = dict(infos.get("final_info", {}))
            told["final_info"] = final | _done_by(final, decoded, ended)
            told["_final_info"] = ended.copy()
            if "final_obs" in infos:
                told["final_obs"] = self._final_views(infos["final_obs"], np.flatnonzero(ended))
            acted = acted & ~ended
        return told | _done_by(told, decoded, acted)

    def _final_views(self, observations: AnyArray, rows: AnyArray) -> AnyArray:
        """Last observations, an object array (N,), as the agent sees them."""
        views: AnyArray = observations.copy()
        seen = self._driver.views_of_last([observations[row] for row in rows], rows)
        for row, view in zip(rows, seen, strict=True):
            views[row] = view
        return views


def _autoreset_mode(env: object) -> AutoresetMode:
    """How a vector env begins new episodes."""
    if not isinstance(env, VectorEnv):
        raise InvalidArgumentError(
            f"Expected a gymnasium.vector.VectorEnv, got {env!r}; one env takes "
            "BehavioralPriorWrapper, a VecEnv of Stable-Baselines3 BehavioralPriorVecWrapper."
        )
    if "autoreset_mode" not in env.metadata:
        warnings.warn(
            f"Expected metadata['autoreset_mode'] of {env}, got none; NEXT_STEP is assumed.",
            UserWarning,
            stacklevel=3,
        )
        return AutoresetMode.NEXT_STEP
    mode = env.metadata["autoreset_mode"]
    if not isinstance(mode, AutoresetMode):
        raise InvalidArgumentError(
            f"Expected metadata['autoreset_mode'] to be a gymnasium.vector.AutoresetMode, "
            f"got {mode!r}."
        )
    return mode


def _done_by(infos: Mapping[str, Any], decoded: Decoded, acted: AnyArray) -> dict[str, Any]:
    """The wrapper's keys, and those of chunks that sub-envs told, with masks of who executed."""
    masks = {f"_{key}": acted.copy() for key in CHUNK_KEYS if key in infos}
    return decoded.infos(acted) | masks


def _asked(env: VectorEnv[Any, Any, Any], name: str) -> tuple[Any, ...]:
    """What the sub-envs have under this name, called if it is a method; empty if not all have it.

    Asking a worker process for what it does not have would end it.
    """
    call = getattr(env.unwrapped, "call", None)
    if call is None or not all(call("has_wrapper_attr", name)):
        return ()
    told: tuple[Any, ...] = tuple(call(name))
    return told


def _terminates_on_success(env: VectorEnv[Any, Any, Any]) -> bool:
    of_spec = env.spec.kwargs.get("terminate_on_success") if env.spec is not None else None
    return any(_asked(env, "terminate_on_success") or (of_spec,))


def _reset_mask(options: Mapping[str, Any] | None, size: int) -> AnyArray:
    """Which sub-envs to reset: all where the options do not say."""
    if options is None or _MASK not in options:
        return np.ones(size, bool)
    mask = options[_MASK]
    right = isinstance(mask, np.ndarray) and mask.dtype == bool and mask.shape == (size,)
    if not right or not mask.any():
        raise InvalidArgumentError(
            f"Expected options['reset_mask'] as an array ({size},) of bool, True for at least one "
            f"sub-env, got {mask!r}."
        )
    checked: AnyArray = mask.copy()
    return checked
