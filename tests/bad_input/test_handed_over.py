"""What users hand over as an array is taken as the numbers that it holds, or refused by type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC

from parrot_wrapper import (
    BehavioralPriorWrapper,
    BroadMixture,
    FlowPrior,
    FlowPriorConfig,
    ObservationSpec,
    kl_to_prior,
    parse_chart,
    target_entropy,
)
from parrot_wrapper.data import Episode, EpisodeDataset
from parrot_wrapper.errors import (
    DataError,
    InvalidArgumentError,
    LatentError,
    ParrotError,
    SpaceMismatchError,
)
from parrot_wrapper.record.policy_episodes import record_policy
from parrot_wrapper.rl.cloned_actor import ClonedActor, ClonedActorConfig
from tests.expert_env import ReachEnv
from tests.helpers import EchoEnv
from tests.wrapper.test_shells import Sb3, Single, Vector

ROWS = np.array([[0.25], [-0.5], [0.125]], np.float32)  # exact in every format below
OBS = np.linspace(-1, 1, 9, dtype=np.float32).reshape(3, 3)


class ArrayLike:
    """As arrays of other libraries are: convertible, and nothing else."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if isinstance(self._values, Exception):
            raise self._values
        return np.asarray(self._values, dtype)


TAKEN: dict[str, Callable[[Any], Any]] = {
    "float64": lambda a: a.astype(np.float64),
    "float16": lambda a: a.astype(np.float16),
    "big-endian": lambda a: a.astype(">f4"),
    "big-endian doubles": lambda a: a.astype(">f8"),
    "extended precision": lambda a: a.astype(np.longdouble),
    "nested lists": lambda a: a.tolist(),
    "a tuple of arrays": tuple,
    "not contiguous": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "read-only": lambda a: np.frombuffer(a.tobytes(), np.float32).reshape(a.shape),
    "backwards": lambda a: a[::-1].copy()[::-1],
    "nothing masked": lambda a: np.ma.masked_array(a),
    "array-like": ArrayLike,
    "a tensor": torch.tensor,
    "with gradients": lambda a: torch.tensor(a, requires_grad=True) * 1,
    "a parameter": lambda a: torch.nn.Parameter(torch.tensor(a)),
    "half precision": lambda a: torch.tensor(a).half(),
    "bfloat16": lambda a: torch.tensor(a).bfloat16(),
    "a list of tensors": lambda a: [torch.tensor(r, requires_grad=True) for r in a],
    "negated lazily": lambda a: torch._neg_view(torch.tensor(-a)),
}
REFUSED: dict[str, Callable[[Any], Any]] = {
    "None": lambda a: None,
    "text": lambda a: "abc",
    "texts": lambda a: a.astype(str),
    "bytes": lambda a: a.tobytes(),
    "objects": lambda a: np.array([[None]] * len(a)),
    "ragged": lambda a: [[0.1], [0.1, 0.2]],
    "a ragged pair": lambda a: (a, None),
    "complex": lambda a: a * 1j,
    "complex tensor": lambda a: torch.tensor(a) * 1j,
    "dates": lambda a: a.astype("datetime64[s]"),
    "records": lambda a: a.view([("u", np.float32)]),
    "masked": lambda a: np.ma.masked_array(a, mask=True),
    "a list of masked": lambda a: list(np.ma.masked_array(a, mask=True)),
    "a mapping": lambda a: {"a": a},
    "a scalar": lambda a: 0.5,
    "0-d": lambda a: np.array(0.5),
    "a 0-d tensor": lambda a: torch.tensor(0.5),
    "a meta tensor": lambda a: torch.empty(a.shape, device="meta"),
    "a sparse tensor": lambda a: torch.tensor(a).to_sparse(),
    "broken array-like": lambda a: ArrayLike(RuntimeError("lost device")),
    "one more axis": lambda a: a[None, None],
    "NaN": lambda a: a * np.nan,
}
_CONFIG = FlowPriorConfig(
    ObservationSpec(state=3), 1, "state", hidden=8, action_low=(-2.0,), action_high=(2.0,)
)
PRIOR = FlowPrior(_CONFIG)
MIXTURE = BroadMixture(PRIOR, share=0.5)
ACTOR = ClonedActor(ClonedActorConfig((-2.0,), (2.0,), features_dim=1, net_arch=(8,)))
CHART = parse_chart("tempered:0.8")


def shell(kind: type[Single], method: str) -> Callable[[Any], Any]:
    """A method of a wrapper, or of one of its vector twins, around envs of the prior."""

    def call(values: Any) -> Any:
        made = kind(lambda: gym.make("Pendulum-v1"), PRIOR)
        made.reset()
        found = getattr(made.env, method)(values)
        return found if method == "encode" else found[:2]

    return call


class Sensing(EchoEnv):
    """Its observation is as it was handed over."""

    def __init__(self, given: Any) -> None:
        super().__init__("state")
        self.given = given

    def _observe(self) -> Any:
        return self.given


def observed(given: Any) -> Any:
    prior = FlowPrior(FlowPriorConfig(ObservationSpec(state=4), 2, "state", hidden=8))
    env = BehavioralPriorWrapper(Sensing(given), prior, observation="features")
    return env.reset()[0]


def dataset(**changes: Any) -> Any:
    arrays = {"observations": OBS, "actions": ROWS[:2], "lengths": [2], **changes}
    made = EpisodeDataset.from_arrays(**arrays)
    return made.observations["state"], made.actions, made.rewards, made.labels.get("x")


def episode(**changes: Any) -> Any:
    arrays = {
        "observations": {"state": OBS},
        "actions": ROWS[:2],
        "rewards": ROWS[:2, 0],
        "success": True,
        "seed": 0,
        **changes,
    }
    made = Episode(**arrays)
    return made.observations["state"], made.actions, made.rewards, made.labels.get("x")


def recorded(action: Any) -> Any:
    env = gym.make("Pendulum-v1", max_episode_steps=2)
    return record_policy(env, lambda _: action, episodes=1).actions


def with_expert(action: Any) -> Any:
    from parrot_wrapper.record.expert_episodes import record_episode

    class Env(ReachEnv):
        def make_expert(self, rng: Any, noise: float = 0.1) -> Any:
            expert = super().make_expert(rng, noise)
            expert.act = lambda: action
            return expert

    return record_episode(gym.wrappers.TimeLimit(Env(), 2), 0)[0].actions


BOUNDARIES: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "prior.decode": (ROWS, lambda v: PRIOR.decode(v, OBS)),
    "prior.decode, obs": (OBS, lambda v: PRIOR.decode(ROWS, v)),
    "prior.decode, named obs": (OBS, lambda v: PRIOR.decode(ROWS, {"state": v})),
    "prior.decode_features": (OBS, lambda v: PRIOR.decode_features(ROWS, v)),
    "prior.encode": (ROWS, lambda v: PRIOR.encode(v, OBS)),
    "prior.encode_features": (ROWS, lambda v: PRIOR.encode_features(v, OBS)),
    "prior.log_prob": (ROWS, lambda v: PRIOR.log_prob(v, OBS)),
    "prior.log_prob_features": (ROWS, lambda v: PRIOR.log_prob_features(v, OBS)),
    "prior.features": (OBS, PRIOR.features),
    "mixture.decode": (OBS[:, :2], lambda v: MIXTURE.decode(v, OBS)),
    "mixture.encode": (ROWS, lambda v: MIXTURE.encode(v, OBS)),
    "mixture.log_prob": (ROWS, lambda v: MIXTURE.log_prob(v, OBS)),
    "actor.predict": (ROWS, ACTOR.predict),
    "wrapper.step": (ROWS[0], shell(Single, "step")),
    "wrapper.encode": (ROWS[0], shell(Single, "encode")),
    "vector wrapper.step": (ROWS, shell(Vector, "step")),
    "vector wrapper.encode": (ROWS, shell(Vector, "encode")),
    "SB3 wrapper.step": (ROWS, shell(Sb3, "step")),
    "SB3 wrapper.encode": (ROWS, shell(Sb3, "encode")),
    "an env's observation": (np.array([0.5, 0.25, -0.5, 0.0], np.float32), observed),
    "data.observations": (OBS, lambda v: dataset(observations={"state": v})),
    "data.actions": (ROWS[:2], lambda v: dataset(actions=v)),
    "data.rewards": (ROWS[:2, 0], lambda v: dataset(rewards=v)),
    "data.labels": (OBS, lambda v: dataset(labels={"x": v})),
    "episode.observations": (OBS, lambda v: episode(observations={"state": v})),
    "episode.actions": (ROWS[:2], lambda v: episode(actions=v)),
    "episode.rewards": (ROWS[:2, 0], lambda v: episode(rewards=v)),
    "episode.labels": (OBS, lambda v: episode(labels={"x": v})),
    "a recorded policy": (ROWS[0], recorded),
    "an expert": (np.array([0.25, 0.5], np.float32), with_expert),
}
REFUSALS = (  # the first that fits: what a boundary's name ends in, the error, what it names
    ("decode_features", InvalidArgumentError, "features"),
    ("decode", LatentError, "latent"),
    (".step", LatentError, "latents"),
    ("obs", SpaceMismatchError, "state"),
    ("prior.features", SpaceMismatchError, "state"),
    ("an env's observation", SpaceMismatchError, "got"),
    ("wrapper.encode", InvalidArgumentError, "got"),
    ("encode", InvalidArgumentError, "action"),
    ("encode_features", InvalidArgumentError, "action"),
    ("log_prob", InvalidArgumentError, "action"),
    ("log_prob_features", InvalidArgumentError, "action"),
    ("actor.predict", InvalidArgumentError, "features"),
    ("observations", DataError, "observations"),
    ("actions", DataError, "actions"),
    ("rewards", DataError, "rewards"),
    ("labels", DataError, "labels"),
    ("", DataError, "got"),
)
FINE = {("data.rewards", "None"), ("an env's observation", "one more axis")}
"""None leaves rewards out; vectors of an env are flattened."""
CHARTS = {"to_latent": CHART.to_latent, "to_unit": CHART.to_unit}
_PLAIN = {"a scalar", "0-d", "a 0-d tensor", "one more axis", "NaN"}
"""Charts take any shape, and NaN is NaN."""


def equal(found: Any, expected: Any) -> None:
    if isinstance(expected, tuple | list):
        for one, other in zip(found, expected, strict=True):
            equal(one, other)
    elif isinstance(expected, np.ndarray):
        np.testing.assert_allclose(found, expected, atol=1e-7)
        assert found.dtype == expected.dtype and type(found) is np.ndarray


@pytest.mark.filterwarnings("ignore:.*(never change|leave the box)")
@pytest.mark.parametrize("where", BOUNDARIES)
def test_numbers_are_taken_and_all_else_is_refused(where: str) -> None:
    values, call = BOUNDARIES[where]
    expected = call(values)
    refusal, named = next(rest for end, *rest in REFUSALS if where.endswith(end))
    for how, given in TAKEN.items():
        try:
            equal(call(given(values)), expected)
        except Exception as error:
            raise AssertionError(f"{where}: {how}") from error
    for how, given in REFUSED.items():
        if (where, how) in FINE:
            continue
        try:
            call(given(values))
        except refusal as error:
            assert len(str(error)) < 800 and named in str(error), how
        except Exception as error:
            raise AssertionError(f"{where}: {how} brings {type(error).__name__}") from error
        else:
            raise AssertionError(f"{where}: {how} is taken")


@pytest.mark.parametrize("where", CHARTS)
def test_charts(where: str) -> None:
    for given in TAKEN.values():
        equal(CHARTS[where](given(ROWS)), CHARTS[where](ROWS))
    for how in REFUSED.keys() - _PLAIN:
        with pytest.raises(ParrotError, match="numbers"):
            CHARTS[where](REFUSED[how](ROWS))


@pytest.mark.parametrize(
    "value", [None, "1", [1.0], np.zeros(2), torch.ones(2), torch.tensor(1.5), 1j, np.array("a")]
)
def test_kl_helpers(value: Any) -> None:
    for call in (
        lambda: kl_to_prior(value, 7),
        lambda: target_entropy(7, kl=value),
        lambda: kl_to_prior(-1.0, value),
        lambda: target_entropy(value, kl=1.0),
        lambda: parse_chart(value),
    ):
        with pytest.raises(ParrotError):
            call()
    assert target_entropy(np.int64(7), kl=1.0) == target_entropy(torch.tensor(7), kl=1.0)


def test_what_an_sb3_model_predicts() -> None:
    env = gym.make("Pendulum-v1", max_episode_steps=3)
    model = SAC("MlpPolicy", env, device="cpu", policy_kwargs={"net_arch": [4]}, buffer_size=10)
    with pytest.raises(DataError, match=r"model.predict\(observation\)\[0\]"):
        record_policy(env, model.predict, episodes=1)
    assert record_policy(env, lambda seen: model.predict(seen)[0], episodes=1).n_steps == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("success", 0.5),
        ("success", "yes"),
        ("success", None),
        ("success", [True, None]),
        ("seeds", [0.5]),
        ("seeds", [np.nan]),
        ("lengths", [2.0]),
        ("labels", [1]),
    ],
)
def test_facts_of_episodes(name: str, value: Any) -> None:
    if (name, value) != ("success", None):
        with pytest.raises(DataError):
            dataset(**{name: value})
    if name in ("success", "labels"):
        with pytest.raises(DataError):
            episode(**{name: value})


def test_options_of_mixtures() -> None:
    for options in ({"spread": "a"}, {"spread": None}, {"motion": [0.5]}, {"idle": "x"}):
        with pytest.raises(InvalidArgumentError):
            BroadMixture(PRIOR, **{"share": 0.5, **options})
