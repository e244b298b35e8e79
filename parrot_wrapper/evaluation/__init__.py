"""Judging priors and policies: measures of a prior before RL, and held-out success after it."""

from parrot_wrapper.evaluation.judge import Judgement, JudgeSettings, judge_prior
from parrot_wrapper.evaluation.rates import Rate
from parrot_wrapper.evaluation.rollouts import (
    HELD_OUT_SEED,
    EpisodeOutcome,
    EvaluationResult,
    evaluate,
)

__all__ = [
    "HELD_OUT_SEED",
    "EpisodeOutcome",
    "EvaluationResult",
    "JudgeSettings",
    "Judgement",
    "Rate",
    "evaluate",
    "judge_prior",
]
