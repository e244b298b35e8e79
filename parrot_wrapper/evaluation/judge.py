"""Judge a prior before any RL is spent on it: every measure that the env and the data allow."""

from __future__ import annotations

import time
from collections.abc import Callable
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
from parrot_wrapper.evaluation.keyframes import KeyframeError, measure_keyframes
from parrot_wrapper.evaluation.likelihood import Likelihood, measure_likelihood
from parrot_wrapper.evaluation.policies import (
    EpisodePolicy,
    PriorSamples,
    ScriptedExpert,
    UniformActions,
)
from parrot_wrapper.evaluation.recordings import HAND, LANDMARKS, Recording, record, recording_of
from parrot_wrapper.evaluation.regression import Probe, probe_features
from parrot_wrapper.evaluation.report import judgement_text
from parrot_wrapper.evaluation.rollouts import HELD_OUT_SEED, EvaluationResult, evaluate
from parrot_wrapper.evaluation.verdict import Verdict, reach_verdict
from parrot_wrapper.types import ActionPrior, OffersExpert, OffersLabels

if TYPE_CHECKING:
    from parrot_wrapper.data.dataset import EpisodeDataset

_ResultT = TypeVar("_ResultT")


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
        parts = {
            name: getattr(self, name)
            for name in (
                "uniform",
                "samples",
                "on_data",
                "on_expert",
                "keyframes",
                "cloning",
                "reachability",
                "probe",
            )
        }
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
    skipped: dict[str, str] = {}
    uniform = _score(UniformActions(env), env, chosen, "uniform actions")
    samples = _score(PriorSamples(env, prior), env, chosen, "samples of the prior")
    on_data = keyframes = data = None
    if dataset is None:
        skipped.update(dict.fromkeys(("likelihood on data", "next keyframe"), "no data were given"))
    else:
        held, steps = dataset, chosen.data_steps
        data = recording_of(held, prior, steps=steps, rng=np.random.default_rng(chosen.seed))
        on_data = _or_skip(
            skipped,
            "likelihood on data",
            lambda: measure_likelihood(prior, data, rng=np.random.default_rng(chosen.seed)),
        )
        rng = np.random.default_rng(chosen.seed)
        keyframes = _or_skip(
            skipped, "next keyframe", lambda: measure_keyframes(prior, held, steps=steps, rng=rng)
        )
    env_id = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
    of_env = dataset is not None and _made_in(dataset) in (env_id, None)
    expert = _expert_measures(prior, env, chosen, skipped, data if of_env else None)
    return Judgement(
        env_id=env_id,
        uniform=uniform,
        samples=samples,
        on_data=on_data,
        keyframes=keyframes,
        skipped=skipped,
        seconds=time.perf_counter() - started,
        **expert,
    )


def _made_in(dataset: EpisodeDataset) -> str | None:
    made: str | None = dataset.metadata.get("settings", {}).get("env_id")
    return made


def _expert_measures(
    prior: ActionPrior,
    env: gym.Env[Any, Any],
    settings: JudgeSettings,
    skipped: dict[str, str],
    shown: Recording | None,
) -> dict[str, Any]:
    bare = env.unwrapped
    if not isinstance(bare, OffersExpert):
        reason = "the env offers no scripted expert (make_expert)"
        skipped.update(dict.fromkeys(("likelihood on expert", "reachability"), reason))
        probe = {"probe": _probe_samples(prior, env, settings, skipped)}
        if shown is None:
            skipped["cloning in z"] = f"{reason}, and no demonstrations of it were given"
            return probe
        return {
            "expert": shown.success_rate.to_dict(),
            "cloning": _cloning(prior, env, settings, skipped, shown),
            **probe,
        }
    expert = ScriptedExpert(env, noise=settings.noise)
    recorded = _record(
        prior, env, expert, settings, "expert episodes", ScriptedExpert(env, noise=0.0)
    )
    rng = np.random.default_rng(settings.seed)
    return {
        "expert": recorded.success_rate.to_dict(),
        "on_expert": _or_skip(
            skipped,
            "likelihood on expert",
            lambda: measure_likelihood(prior, recorded.successful(), rng=rng),
        ),
        "cloning": _cloning(prior, env, settings, skipped, recorded),
        "reachability": _or_skip(
            skipped,
            "reachability",
            lambda: measure_reachability(
                env,
                prior,
                limits=settings.limits,
                episodes=settings.episodes,
                noise=settings.noise,
                progress=settings.progress,
            ),
        ),
        "probe": _probe(prior, recorded, skipped),
    }


def _cloning(
    prior: ActionPrior,
    env: gym.Env[Any, Any],
    settings: JudgeSettings,
    skipped: dict[str, str],
    recorded: Recording,
) -> Cloning | None:
    count, bar = settings.episodes, settings.progress
    return _or_skip(
        skipped,
        "cloning in z",
        lambda: clone_in_latent(env, prior, recorded, episodes=count, progress=bar),
    )


def _probe_samples(
    prior: ActionPrior, env: gym.Env[Any, Any], settings: JudgeSettings, skipped: dict[str, str]
) -> Probe | None:
    if not isinstance(env.unwrapped, OffersLabels):
        skipped["probe"] = "the env does not tell its state (privileged_labels)"
        return None
    policy = PriorSamples(env, prior)
    return _probe(prior, _record(prior, env, policy, settings, "episodes for the probe"), skipped)


def _probe(prior: ActionPrior, recorded: Recording, skipped: dict[str, str]) -> Probe | None:
    probe = _or_skip(skipped, "probe", lambda: probe_features(prior, recorded))
    if probe is None:
        skipped.setdefault("probe", f"the env's labels hold neither {LANDMARKS} nor {HAND}")
    return probe


def _score(
    policy: EpisodePolicy, env: gym.Env[Any, Any], settings: JudgeSettings, name: str
) -> EvaluationResult:
    return evaluate(
        policy,
        env,
        episodes=settings.episodes,
        seed=settings.seed,
        on_reset=policy.begin,
        progress=name if settings.progress else None,
    )


def _record(
    prior: ActionPrior,
    env: gym.Env[Any, Any],
    policy: EpisodePolicy,
    settings: JudgeSettings,
    name: str,
    intention: EpisodePolicy | None = None,
) -> Recording:
    return record(
        env,
        prior,
        policy,
        intention=intention,
        episodes=settings.expert_episodes,
        progress=name if settings.progress else None,
    )


def _or_skip(
    skipped: dict[str, str], name: str, measure: Callable[[], _ResultT]
) -> _ResultT | None:
    try:
        return measure()
    except DataError as error:
        skipped[name] = str(error)
    except NotImplementedError as error:  # decoders (CVAE, skills) cannot encode
        skipped[name] = f"the prior is not invertible ({error})"
    return None
