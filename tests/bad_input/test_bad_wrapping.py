"""Envs, charts and latents that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from parrot_table.redirected import RedirectedMixture
from parrot_wrapper import (
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
    kl_to_prior,
    parse_chart,
    target_entropy,
)
from parrot_wrapper.errors import (
    InvalidArgumentError,
    LatentError,
    SpaceMismatchError,
    UnknownNameError,
)
from parrot_wrapper.priors.mixtures.broad import BroadMixture
from parrot_wrapper.priors.mixtures.settings import read_mixture
from tests.bad_input.mistakes import (
    Table,
    cases,
    check,
)
from tests.helpers import AffinePrior, EchoEnv


def wrap(env: Any = None, prior: Any = None, **options: Any) -> Any:
    return BehavioralPriorWrapper(env or EchoEnv(), prior or AffinePrior(), **options)


def at_step(u: Any, **options: Any) -> Any:
    env = wrap(prior=AffinePrior(**options))
    env.reset(seed=0)
    return env.step(u)


TABLE: Table = {
    InvalidArgumentError: [
        ("no env", lambda: BehavioralPriorWrapper(None, AffinePrior()), "gymnasium.Env, got None"),
        ("an id as env", lambda: BehavioralPriorWrapper("Toy-v0", AffinePrior()), "got .Toy-v0"),
        ("no prior", lambda: BehavioralPriorWrapper(EchoEnv(), None), "live prior"),
        ("a network as prior", lambda: BehavioralPriorWrapper(EchoEnv(), object()), "live prior"),
        ("a discount of two", lambda: wrap(gamma=2), "2"),
        ("text as discount", lambda: wrap(gamma="1"), "'1'"),
        ("a flat VecEnv", lambda: BehavioralPriorVecWrapper(EchoEnv(), AffinePrior()), "VecEnv"),
        *((f"keys {keys}", lambda keys=keys: wrap(**keys), "image_key|as state_key|as proprio_key")
          for keys in ({"state_key": ()}, {"state_key": 3}, {"image_key": ("a", "b")},
                       {"proprio_key": [1]})),
        ("no chart", lambda: parse_chart(None), "got None"),
        ("a chart without number", lambda: parse_chart("box"), "needs a number"),
        ("a negative box", lambda: parse_chart("box:-1"), "must be positive and finite"),
        ("a NaN box", lambda: parse_chart("box:nan"), "finite"),
        ("a number too many", lambda: parse_chart("gaussian:2"), "takes no number"),
        ("a wide box", lambda: parse_chart("box:wide"), "needs a number"),
        ("a number as chart", lambda: parse_chart(3), "Expected a chart or one of gaussian"),
        (
            "an endless temperature",
            lambda: parse_chart("tempered:inf"),
            "temperature must be positive and finite",
        ),
        ("too large a margin", lambda: parse_chart("truncated:0.5"), "0.5"),
        ("no budget", lambda: target_entropy(7, kl=0), "must be positive and finite"),
        ("text as budget", lambda: target_entropy(7, kl="5"), "'5'"),
        ("a NaN budget", lambda: target_entropy(7, kl=float("nan")), "nan"),
        ("no dimension", lambda: target_entropy(0, kl=5), "got 0"),
        ("a negative budget", lambda: target_entropy(7, kl=-1.0), "`kl` must be positive"),
        (
            "an endless budget",
            lambda: target_entropy(7, kl=np.inf),
            "`kl` must be positive and finite",
        ),
        ("a dict as a space", lambda: target_entropy(gym.spaces.Dict({}), kl=5), "Box action"),
        ("text as a space", lambda: target_entropy("Box", kl=5), "'Box'"),
        ("choices as a space", lambda: target_entropy(gym.spaces.Discrete(3), kl=5), "Discrete"),
        ("text as entropy", lambda: kl_to_prior("x", 7), "'x'"),
        ("a share of two", lambda: BroadMixture(AffinePrior(), share=2), "got 2"),
        ("text as a share", lambda: BroadMixture(AffinePrior(), share="x"), "'x'"),
        ("text as a mixture", lambda: read_mixture("a lot"), "'a lot'"),
        ("text as a height", lambda: RedirectedMixture(AffinePrior(), above="x"), "'x'"),
        ("no such gripper", lambda: RedirectedMixture(AffinePrior(), gripper=9), "got 9"),
        ("text as a gripper", lambda: RedirectedMixture(AffinePrior(), gripper="x"), "'x'"),
    ],
    UnknownNameError: [
        ("no such mixture", lambda: read_mixture({"kind": "braod"}), "'broad'"),
        ("nearly a chart", lambda: parse_chart("bx:2"), "Did you mean 'box'"),
    ],
    SpaceMismatchError: [
        ("other actions", lambda: wrap(EchoEnv(action_dim=3)),
         r"\(3,\)"),
        ("another box", lambda: wrap(EchoEnv(action_bound=2)),
         "bound"),
        ("choices as actions", lambda: wrap(gym.make("CartPole-v1")), "Discrete"),
        ("states for images", lambda: wrap(EchoEnv("state")),
         "expected an image"),
        ("no such image key", lambda: wrap(EchoEnv("dict"), image_key="x"), "'x'"),
    ],
    LatentError: [
        ("latents of three", lambda: at_step(np.zeros(3)), r"shape \(1, 3\)"),
        ("a batch of latents", lambda: at_step(np.zeros((1, 2))), "shape"),
        ("noise as latents", lambda: at_step(np.full(2, 3.0)), "to_unit"),
        ("a broken prior", lambda: at_step(np.zeros(2), scale=np.nan), "broken"),
    ],
    gym.error.ResetNeeded: [
        ("a step before reset", lambda: wrap().step(np.zeros(2)), "reset"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), cases(TABLE))
def test_mistakes(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    check(call, error, message)


def test_actions_that_leave_the_box_are_clipped_and_it_is_said() -> None:
    *_, info = at_step(np.ones(2), scale=5.0)
    assert info["parrot/clipped"] and (np.abs(info["parrot/action"]) <= 1.0).all()
