"""Judging priors and policies: measures of a prior before RL, and held-out success after it.

Names are imported when they are first used: judging needs SciPy and torch, rollouts do not.
"""

from typing import TYPE_CHECKING

from parrot_wrapper.lazy_names import names_of

if TYPE_CHECKING:
    from parrot_wrapper.evaluation.judge import Judgement, JudgeSettings, judge_prior
    from parrot_wrapper.evaluation.rollouts import (
        HELD_OUT_SEED,
        EpisodeOutcome,
        EvaluationResult,
        Rate,
        evaluate,
    )
    from parrot_wrapper.evaluation.verdict import Verdict

__all__ = [
    "HELD_OUT_SEED",
    "EpisodeOutcome",
    "EvaluationResult",
    "JudgeSettings",
    "Judgement",
    "Rate",
    "Verdict",
    "evaluate",
    "judge_prior",
]

__getattr__, __dir__ = names_of(
    __name__,
    judge=["JudgeSettings", "Judgement", "judge_prior"],
    rollouts=["HELD_OUT_SEED", "EpisodeOutcome", "EvaluationResult", "Rate", "evaluate"],
    verdict=["Verdict"],
)
