"""Judging priors and policies: measures of a prior before RL, and held-out success after it.

Names are imported when they are first used: judging needs SciPy and torch, rollouts do not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_HOMES = {
    "HELD_OUT_SEED": "rollouts",
    "EpisodeOutcome": "rollouts",
    "EvaluationResult": "rollouts",
    "JudgeSettings": "judge",
    "Judgement": "judge",
    "Rate": "rollouts",
    "Verdict": "verdict",
    "evaluate": "rollouts",
    "judge_prior": "judge",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
