"""What a prior is worth before RL, in a few numbers: what a study of many priors keeps of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import DataError
from parrot_wrapper.evaluation.cloning import clone_in_latent
from parrot_wrapper.evaluation.keyframes import KeyframeError, measure_keyframes
from parrot_wrapper.evaluation.likelihood import measure_likelihood
from parrot_wrapper.evaluation.policies import PriorSamples, ScriptedExpert
from parrot_wrapper.evaluation.recordings import Recording, record
from parrot_wrapper.evaluation.rollouts import HELD_OUT_SEED, evaluate
from parrot_wrapper.latent import kl_is_bound
from parrot_wrapper.types import ActionPrior, OffersExpert
from parrot_wrapper.wrappers.driver import Driver, offered
from parrot_wrapper.wrappers.reader import with_batch_axis

_TIMED = 50
_Result = TypeVar("_Result")


def measure_prior(
    prior: ActionPrior, env: gym.Env[Any, Any], *, episodes: int, expert_episodes: int
) -> dict[str, float | None]:
    """Measure a prior in an env.

    Args:
        prior: The prior.
        env: The bare env; without an expert there is nothing to encode, and those are None.
        episodes: Held-out episodes of each policy that is rolled out.
        expert_episodes: Of the env's expert, for the likelihood and the clone.

    Returns:
        "nll" (nats per action dimension of the expert's successes; None without a density) and
        "nll_is_bound" (1 where that is an upper bound, 0 where it is exact), "samples" (success of
        the prior's samples), "lifted" (episodes in which they lift something; None where the env
        does not tell), "clone" (success of a clone of the expert in z; None without `encode`),
        "clone_error" (share of z's variance that the clone leaves unexplained), "keyframe_error"
        (`KeyframeError.unexplained`; None without images), "horizon" (env steps of a decision) and
        "decision_ms" (milliseconds that one takes for one env, from observation to action; median).
    """
    policy = PriorSamples(env, prior)
    samples = evaluate(policy, env, episodes=episodes, seed=HELD_OUT_SEED, on_reset=policy.begin)
    lifted = samples.share("lifted")
    measured: dict[str, float | None] = {
        "samples": samples.success.value,
        "lifted": None if lifted is None else lifted.value,
        "nll": None,
        "nll_is_bound": float(kl_is_bound(prior)),
        "clone": None,
        "clone_error": None,
        "keyframe_error": None,
        "horizon": float(prior.horizon),
        "decision_ms": _decision_ms(prior, env),
    }
    if not isinstance(env.unwrapped, OffersExpert):
        return measured
    recorded = record(
        env,
        prior,
        ScriptedExpert(env),
        intention=ScriptedExpert(env, noise=0.0),
        episodes=expert_episodes,
    )
    rng = np.random.default_rng(HELD_OUT_SEED)
    fit = _offered(lambda: measure_likelihood(prior, recorded.successful(), rng=rng))
    clone = _offered(lambda: clone_in_latent(env, prior, recorded, episodes=episodes))
    measured["nll"] = None if fit is None else fit.nll_per_dimension
    if clone is not None:
        measured["clone"] = clone.latent.rollouts.success.value
        measured["clone_error"] = clone.latent.unexplained
    keyframes = _offered(lambda: _keyframes(prior, recorded.successful(), rng))
    measured["keyframe_error"] = None if keyframes is None else keyframes.unexplained
    return measured


def _keyframes(prior: ActionPrior, recorded: Recording, rng: np.random.Generator) -> KeyframeError:
    """Of a recording, which lacks each episode's last observation: the one before stands for it."""
    if not isinstance(recorded.observations, Mapping):
        raise DataError("Expected images, got features.")
    lengths = np.unique(recorded.episodes, return_counts=True)[1]
    ends = np.cumsum(lengths)
    rows = np.insert(np.arange(len(recorded)), ends, ends - 1)
    data = EpisodeDataset.from_arrays(
        {key: part[rows] for key, part in recorded.observations.items()}, recorded.actions, lengths
    )
    return measure_keyframes(prior, data, steps=len(recorded), rng=rng)


def _offered(measure: Callable[[], _Result]) -> _Result | None:
    """None where the prior has no density or no `encode`, or no episode succeeded."""
    try:
        return measure()
    except (DataError, NotImplementedError):
        return None


def _decision_ms(prior: ActionPrior, env: gym.Env[Any, Any]) -> float:
    driver = Driver(env, prior, observation="features", **offered(env))
    observation, _ = env.reset(seed=HELD_OUT_SEED)
    noise = np.zeros((1, prior.latent_dim), np.float32)
    spent = []
    for _ in range(_TIMED):
        started = time.perf_counter()
        driver.observe(with_batch_axis(observation), began=True)
        driver.decode_latent(noise)
        spent.append(time.perf_counter() - started)
    return 1_000.0 * float(np.median(spent))
