"""What random behaviour does: uniform actions, or samples of a learned part, without RL."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium as gym

from parrot_wrapper.evaluation.policies import UniformActions
from parrot_wrapper.evaluation.rollouts import EvaluationResult, evaluate
from parrot_wrapper.experiments.methods import explored_parts
from parrot_wrapper.experiments.runs import Run
from parrot_wrapper.wrapper import BehavioralPriorWrapper


def explore(run: Run, artifacts: Mapping[str, str]) -> EvaluationResult:
    """Roll out the held-out episodes of a run of an exploration grid.

    Behind the wrapper's Gaussian chart uniform actions are exact samples of the learned part.

    Args:
        run: The run; its env ids are registered.
        artifacts: Packaged name or folder of the learned part by kind.

    Raises:
        SpaceMismatchError: The learned part does not fit the env.
    """
    env = gym.make(run.task, **run.env_kwargs)
    for part in explored_parts(run.method):
        env = BehavioralPriorWrapper(env, artifacts[part])
    try:
        policy = UniformActions(env)
        return evaluate(policy, env, episodes=run.evaluation_episodes, on_reset=policy.begin)
    finally:
        env.close()
