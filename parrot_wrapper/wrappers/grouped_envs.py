"""Many envs in a few worker processes, each of which steps its share of them one by one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import CloudpickleWrapper, batch_space

from parrot_wrapper.checks import require_count
from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError, ProcessDiedError
from parrot_wrapper.io.executors import main_as_it_is
from parrot_wrapper.types import AnyArray

if TYPE_CHECKING:
    _Base: TypeAlias = VectorEnv[Any, AnyArray, AnyArray]
else:
    _Base = VectorEnv  # older gymnasiums have it without parameters

_MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)


class GroupedVectorEnv(_Base):
    """Gymnasium's vector env for tens to thousands of envs: `workers` processes share them.

    `AsyncVectorEnv` starts a process for each env, which takes too much memory and switching where
    there are many more envs than cores. What this one returns is what `SyncVectorEnv` does.
    `BehavioralPriorVectorWrapper` around it decodes for all envs in one batch.

    Args:
        env_fns: What makes each env; called in the workers, which have imported nothing else.
        workers: Processes; cores as a rule.
        autoreset_mode: NEXT_STEP or SAME_STEP.

    Raises:
        InvalidArgumentError: No envs, `workers` below 1, or without autoreset.
        ProcessDiedError: A worker has died.
        Exception: Whatever an env raises.

    Example:
        >>> import gymnasium as gym
        >>> envs = GroupedVectorEnv([lambda: gym.make("CartPole-v1")] * 6, workers=2)
        >>> observations, _ = envs.reset(seed=0)
        >>> observations.shape, envs.step(envs.action_space.sample())[1]
        ((6, 4), array([1., 1., 1., 1., 1., 1.]))
        >>> envs.close()
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], gym.Env[Any, Any]]],
        *,
        workers: int,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        require_count("workers", workers)
        if not env_fns or autoreset_mode not in _MODES:
            raise InvalidArgumentError(
                f"Expected envs that are reset as NEXT_STEP or SAME_STEP, got {len(env_fns)} envs "
                f"and {autoreset_mode}."
            )
        self.num_envs = len(env_fns)
        bounds = np.linspace(0, len(env_fns), min(workers, len(env_fns)) + 1).astype(int)
        self._slices = [slice(*pair) for pair in pairwise(bounds)]
        self._workers = [_Worker(env_fns[part], autoreset_mode) for part in self._slices]
        told = self._answers()
        self.single_observation_space, self.single_action_space, metadata, self.spec = told[0]
        self.metadata = {**metadata, "autoreset_mode": autoreset_mode}
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset all envs; see `VectorEnv.reset`.

        Raises:
            NotOfferedError: Some of them alone are asked for.
        """
        if options and "reset_mask" in options:
            raise NotOfferedError("Expected a reset of all envs, got a reset_mask.")
        if seed is None or isinstance(seed, int | np.integer):
            seed = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        told = self._asked(
            "reset", [{"seed": seed[part], "options": options} for part in self._slices]
        )
        observations, infos = zip(*told, strict=True)
        return _joined(observations), self._infos(infos)

    def step(self, actions: AnyArray) -> tuple[Any, AnyArray, AnyArray, AnyArray, dict[str, Any]]:
        """Step all envs; see `VectorEnv.step`."""
        shares = [{"actions": actions[part]} for part in self._slices]
        *parts, infos = zip(*self._asked("step", shares), strict=True)
        observations, rewards, terminations, truncations = map(_joined, parts)
        return observations, rewards, terminations, truncations, self._infos(infos)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of all envs, or get an attribute; see `SyncVectorEnv.call`."""
        told = self._asked("call", [kwargs] * len(self._workers), name, *args)
        return tuple(value for values in told for value in values)

    def close_extras(self, **_: Any) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.end()

    def _asked(self, name: str, shares: Sequence[Mapping[str, Any]], *args: Any) -> list[Any]:
        for worker, share in zip(self._workers, shares, strict=True):
            worker.ask((name, args, share))
        return self._answers()

    def _answers(self) -> list[Any]:
        told = [worker.answer() for worker in self._workers]  # of all, before one is raised
        for _, error in told:
            if error is not None:
                raise error
        return [value for value, _ in told]

    def _infos(self, infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return _joined_infos(infos, [part.stop - part.start for part in self._slices])


class _Worker:
    """A process with its envs."""

    def __init__(self, env_fns: Sequence[Any], mode: AutoresetMode) -> None:
        context = multiprocessing.get_context("spawn")
        self._link, their_link = context.Pipe()
        makers = CloudpickleWrapper(tuple(env_fns))  # type: ignore[arg-type]  # takes anything
        self._process = context.Process(target=_serve, args=(their_link, makers, mode), daemon=True)
        with main_as_it_is(known=False):  # what is needed of the script is sent
            self._process.start()
        their_link.close()

    def ask(self, message: Any) -> None:
        try:
            self._link.send(message)
        except OSError:
            return  # it has died, as the answer will tell

    def answer(self) -> tuple[Any, BaseException | None]:
        """What was asked for, or what went wrong."""
        try:
            told: tuple[Any, BaseException | None] = self._link.recv()
            return told
        except (EOFError, OSError) as gone:
            self._process.join()
            code = self._process.exitcode
            error = ProcessDiedError(
                f"A worker with envs has died, with exit code {code}. Use fewer envs if it was "
                "killed for memory."
            )
            error.__cause__ = gone
            return None, error

    def end(self) -> None:
        self._link.close()
        self._process.join()


def _serve(link: Connection, makers: Any, mode: AutoresetMode) -> None:
    """What a worker does, until the other side of the link is closed."""
    envs: Any = None
    try:
        envs = SyncVectorEnv(makers.fn, autoreset_mode=mode)
        spaces = (envs.single_observation_space, envs.single_action_space)
        link.send(((*spaces, envs.metadata, envs.spec), None))
        while True:
            link.send(_done(envs, *link.recv()))
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        return
    except Exception as error:
        link.send((None, error))
    finally:
        if envs is not None:
            envs.close()


def _done(envs: Any, name: str, args: Any, share: Any) -> tuple[Any, Exception | None]:
    try:
        return getattr(envs, name)(*args, **share), None
    except Exception as error:
        return None, error


def _joined(parts: Sequence[Any]) -> Any:
    """Batches one behind the other, of arrays or of mappings of them."""
    if isinstance(parts[0], Mapping):
        return {key: _joined([part[key] for part in parts]) for key in parts[0]}
    return np.concatenate(parts)


def _joined_infos(infos: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> dict[str, Any]:
    """Infos of all groups; where a group has none under a key, zeros, as Gymnasium does."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos for key in info):
        parts = [info.get(key) for info in infos]
        known = next(part for part in parts if part is not None)
        if isinstance(known, Mapping):
            found[key] = _joined_infos([part or {} for part in parts], sizes)
            continue
        empty = None if known.dtype == object else 0
        arrays = [
            np.full((size, *known.shape[1:]), empty, known.dtype) if part is None else part
            for part, size in zip(parts, sizes, strict=True)
        ]
        found[key] = np.concatenate(arrays)
    return found
