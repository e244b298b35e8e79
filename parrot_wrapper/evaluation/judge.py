"""Judge a prior before any RL is spent on it: every measure that the env and the data allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import gymnasium as gym
import numpy as np

from parrot_wrapper.checks import check_fields, require_count, require_instance
from parrot_wrapper.errors import DataError
from parrot_wrapper.evaluation.cloning import (
    LIMITS,
    Cloning,
    Reachability,
    clone_in_latent,
    measure_reachability,
)
from parrot_wrapper.evaluation.likelihood import Likelihood, measure_likelihood
from parrot_wrapper.evaluation.policies import (
    EpisodePolicy,
    PriorSamples,
    ScriptedExpert,
    UniformActions,
)
from parrot_wrapper.evaluation.recordings import HAND, LANDMARKS, Recording, record, recording_of
from parrot_wrapper.evaluation.regression import (
    KeyframeError,
    Probe,
    measure_keyframes,
    probe_features,
)
from parrot_wrapper.evaluation.report import judgement_text
from parrot_wrapper.evaluation.rollouts import HELD_OUT_SEED, EvaluationResult, evaluate
from parrot_wrapper.evaluation.verdict import Verdict, reach_verdict
from parrot_wrapper.latent import kl_is_bound
from parrot_wrapper.types import ActionPrior, OffersExpert, OffersLabels
from parrot_wrapper.wrappers.driver import Driver, offered
from parrot_wrapper.wrappers.reader import with_batch_axis

if TYPE_CHECKING:
    from parrot_wrapper.data.dataset import EpisodeDataset

_ResultT = TypeVar("_ResultT")
_TIMED = 50
"""Decisions whose median time counts."""
_MEASURES = (
    "uniform", "samples", "on_data", "on_expert", "keyframes", "cloning", "reachability", "probe",
)  # fmt: skip


@dataclass(frozen=True)
class JudgeSettings:
    """How much is spent on judging.

    Attributes:
        episodes: Held-out episodes for every rolled-out policy.
        expert_episodes: Episodes that the clones and the probe learn from.
        limits: Half-widths of the reachability test, in standard deviations.
        noise: Standard deviation of the expert's action noise, as in the prior's data.
        data_steps: Steps of the data set that likelihood and keyframes are measured on, at most.
        seed: First held-out seed.
        progress: Show progress bars.

    Raises:
        InvalidArgumentError: A value of another type or out of range.
    """

    episodes: int = 100
    expert_episodes: int = 600
    limits: tuple[float, ...] = LIMITS
    noise: float = 0.1
    data_steps: int = 20_000
    seed: int = HELD_OUT_SEED
    progress: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("episodes", "expert_episodes", "data_steps"):
            require_count(name, getattr(self, name))


@dataclass(frozen=True)
class Judgement:
    """All measures of one prior in one env; None for what was skipped.

    Attributes:
        env_id: The env.
        uniform: Uniform actions, without the prior.
        samples: Samples of the prior.
        expert: Success of the recorded expert episodes, or of the demonstrations, JSON-able.
        on_data: Fit to the data set.
        on_expert: Fit to the expert in this env.
        keyframes: Ways to the next keyframe from features of the data set.
        cloning: Clones of the expert, or of demonstrations where there is none.
        reachability: The expert through a clipped latent.
        probe: Positions from features.
        skipped: What was left out and why.
        seconds: Wall-clock time of all of it.
    """

    env_id: str
    uniform: EvaluationResult
    samples: EvaluationResult
    expert: dict[str, Any] | None = None
    on_data: Likelihood | None = None
    on_expert: Likelihood | None = None
    keyframes: KeyframeError | None = None
    cloning: Cloning | None = None
    reachability: Reachability | None = None
    probe: Probe | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        """Every measure as a table, and the verdict."""
        return judgement_text(self)

    __repr__ = __str__

    @property
    def verdict(self) -> Verdict:
        """Whether the prior is ready for RL in this env, why, and what to do next."""
        return reach_verdict(self)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy."""
        parts = {name: getattr(self, name) for name in _MEASURES}
        return {
            "env_id": self.env_id,
            "verdict": self.verdict.to_dict(),
            **{name: None if part is None else part.to_dict() for name, part in parts.items()},
            "expert": self.expert,
            "skipped": dict(self.skipped),
            "seconds": self.seconds,
        }


def judge_prior(
    prior: ActionPrior,
    env: gym.Env[Any, Any],
    *,
    dataset: EpisodeDataset | None = None,
    settings: JudgeSettings | None = None,
) -> Judgement:
    """Measure a prior; what needs an expert, labels or data that are not there is skipped.

    Args:
        prior: The prior; where its `encode` or `log_prob` raises NotImplementedError, what needs
            them is skipped.
        env: The bare env, which has to fit the prior. Not closed.
        dataset: Held-out data of the prior's kind, for the likelihood. Where the env has no expert
            and the data are of this env, for cloning in z too.
        settings: None for the defaults.

    Raises:
        SpaceMismatchError: Env and prior disagree.
    """
    require_instance("prior", prior, ActionPrior, "a live prior; load_prior makes one of a name")
    chosen, started = settings or JudgeSettings(), time.perf_counter()
    judge = _Judge(prior, env, chosen)
    measured: dict[str, Any] = {
        "uniform": judge.score(UniformActions(env), "uniform actions"),
        "samples": judge.score(PriorSamples(env, prior), "samples of the prior"),
        **judge.on_data(dataset),
    }
    env_id = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
    made = {} if dataset is None else dataset.metadata.get("settings", {})
    of_env = made.get("env_id", env_id) in (env_id, None)
    measured |= judge.by_expert(judge.shown if of_env else None)
    seconds = time.perf_counter() - started
    return Judgement(env_id=env_id, skipped=judge.skipped, seconds=seconds, **measured)


class _Judge:
    """Measures a prior in an env, and keeps what it skips and why."""

    def __init__(self, prior: ActionPrior, env: gym.Env[Any, Any], settings: JudgeSettings) -> None:
        self.prior, self.env, self.settings = prior, env, settings
        self.skipped: dict[str, str] = {}
        self.shown: Recording | None = None
        """The data, where there are any."""

    def score(self, policy: EpisodePolicy, name: str) -> EvaluationResult:
        """A policy over held-out episodes."""
        return evaluate(
            policy,
            self.env,
            episodes=self.settings.episodes,
            seed=self.settings.seed,
            on_reset=policy.begin,
            progress=name if self.settings.progress else None,
        )

    def on_data(self, dataset: EpisodeDataset | None) -> dict[str, Any]:
        """Fit to the data, and the way to the next keyframe from features of them."""
        if dataset is None:
            names = ("likelihood on data", "next keyframe")
            self.skipped.update(dict.fromkeys(names, "no data were given"))
            return {}
        steps = self.settings.data_steps
        shown = self.shown = recording_of(dataset, self.prior, steps=steps, rng=self._rng())

        def keyframes() -> KeyframeError:
            return measure_keyframes(self.prior, dataset, steps=steps, rng=self._rng())

        return {
            "on_data": self.or_skip("likelihood on data", lambda: self._likelihood(shown)),
            "keyframes": self.or_skip("next keyframe", keyframes),
        }

    def by_expert(self, shown: Recording | None) -> dict[str, Any]:
        """What the env's expert shows, or demonstrations of this env where it has none."""
        if not isinstance(self.env.unwrapped, OffersExpert):
            reason = "the env offers no scripted expert (make_expert)"
            self.skipped.update(dict.fromkeys(("likelihood on expert", "reachability"), reason))
            probe = {"probe": self._probe_samples()}
            if shown is None:
                self.skipped["cloning in z"] = f"{reason}, and no demonstrations of it were given"
                return probe
            return {**self._cloning(shown), **probe}
        recorded = self.expert_episodes()
        return {
            "on_expert": self.or_skip(
                "likelihood on expert", lambda: self._likelihood(recorded.successful())
            ),
            **self._cloning(recorded),
            "reachability": self.or_skip("reachability", self._reachability),
            "probe": self._probe(recorded),
        }

    def expert_episodes(self) -> Recording:
        """What the env's expert does, with noise, and what it means to do."""
        expert = ScriptedExpert(self.env, noise=self.settings.noise)
        return self._record(expert, "expert episodes", ScriptedExpert(self.env, noise=0.0))

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self.settings.seed)

    def _likelihood(self, recorded: Recording) -> Likelihood:
        return measure_likelihood(self.prior, recorded, rng=self._rng())

    def _reachability(self) -> Reachability:
        return measure_reachability(
            self.env,
            self.prior,
            limits=self.settings.limits,
            episodes=self.settings.episodes,
            noise=self.settings.noise,
            progress=self.settings.progress,
        )

    def _cloning(self, recorded: Recording) -> dict[str, Any]:
        """Success of who was recorded, and clones of them."""
        count, bar = self.settings.episodes, self.settings.progress
        cloning = self.or_skip(
            "cloning in z",
            lambda: clone_in_latent(self.env, self.prior, recorded, episodes=count, progress=bar),
        )
        return {"expert": recorded.success_rate.to_dict(), "cloning": cloning}

    def _probe_samples(self) -> Probe | None:
        if not isinstance(self.env.unwrapped, OffersLabels):
            self.skipped["probe"] = "the env does not tell its state (privileged_labels)"
            return None
        samples = PriorSamples(self.env, self.prior)
        return self._probe(self._record(samples, "episodes for the probe"))

    def _probe(self, recorded: Recording) -> Probe | None:
        probe = self.or_skip("probe", lambda: probe_features(self.prior, recorded))
        if probe is None:
            lacking = f"the env's labels hold neither {LANDMARKS} nor {HAND}"
            self.skipped.setdefault("probe", lacking)
        return probe

    def _record(
        self, policy: EpisodePolicy, name: str, intention: EpisodePolicy | None = None
    ) -> Recording:
        return record(
            self.env,
            self.prior,
            policy,
            intention=intention,
            episodes=self.settings.expert_episodes,
            progress=name if self.settings.progress else None,
        )

    def or_skip(self, name: str, measure: Callable[[], _ResultT]) -> _ResultT | None:
        """What is measured; nothing where prior, env or data lack what it needs."""
        try:
            return measure()
        except DataError as error:
            self.skipped[name] = str(error)
        except NotImplementedError as error:  # decoders (CVAE, skills) cannot encode
            self.skipped[name] = f"the prior is not invertible ({error})"
        return None


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
    judge = _Judge(prior, env, JudgeSettings(episodes, expert_episodes, progress=False))
    samples = judge.score(PriorSamples(env, prior), "samples")
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
    recorded, rng = judge.expert_episodes(), np.random.default_rng(HELD_OUT_SEED)
    fit = judge.or_skip("nll", lambda: measure_likelihood(prior, recorded.successful(), rng=rng))
    clone = judge.or_skip("clone", lambda: clone_in_latent(env, prior, recorded, episodes=episodes))
    keyframes = judge.or_skip("keyframes", lambda: _keyframes(prior, recorded.successful(), rng))
    measured["nll"] = None if fit is None else fit.nll_per_dimension
    if clone is not None:
        measured["clone"] = clone.latent.rollouts.success.value
        measured["clone_error"] = clone.latent.unexplained
    measured["keyframe_error"] = None if keyframes is None else keyframes.unexplained
    return measured


def _keyframes(prior: ActionPrior, recorded: Recording, rng: np.random.Generator) -> KeyframeError:
    """Of a recording, which lacks each episode's last observation: the one before stands for it."""
    if not isinstance(recorded.observations, Mapping):
        raise DataError("Expected images, got features.")
    lengths = np.unique(recorded.episodes, return_counts=True)[1]
    ends = np.cumsum(lengths)
    rows = np.insert(np.arange(len(recorded)), ends, ends - 1)
    from parrot_wrapper.data.dataset import EpisodeDataset

    data = EpisodeDataset.from_arrays(
        {key: part[rows] for key, part in recorded.observations.items()}, recorded.actions, lengths
    )
    return measure_keyframes(prior, data, steps=len(recorded), rng=rng)


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
