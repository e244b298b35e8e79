"""Whatever a caller has set for the whole program, the same numbers come out, and it stays set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv

from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
    BroadMixture,
    load_prior,
    parse_chart,
)
from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.errors import NotOfferedError
from parrot_wrapper.evaluation.regression import FitSettings, fit_mlp
from parrot_wrapper.latent import CHART_FORMS
from parrot_wrapper.priors import EncoderPrior
from parrot_wrapper.record.policy_episodes import record_policy
from parrot_wrapper.rl.cloned_actor import (
    ClonedActor,
    ClonedActorConfig,
    load_cloned_actor,
)
from tests.helpers import EchoEnv
from tests.small_priors import KINDS, data, fit, make_prior, observations, spec


@contextmanager
def switched(on: Callable[[], Any], off: Callable[[], Any]) -> Iterator[None]:
    on()
    try:
        yield
    finally:
        off()


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "float64 by default": lambda: switched(
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_dtype(torch.float32),
    ),
    "bfloat16 by default": lambda: switched(
        lambda: torch.set_default_dtype(torch.bfloat16),
        lambda: torch.set_default_dtype(torch.float32),
    ),
    "another default device": lambda: switched(
        lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)
    ),
    "within a device": lambda: torch.device("meta"),
    "deterministic": lambda: switched(
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
    ),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "seterr": lambda: np.errstate(all="raise"),
}

TINY = np.array([[1e-42], [-1e-30], [0.3], [0.0]])
ENCODERS = {kind: "residual" if kind == "features" else "structured" for kind in KINDS}


def offered(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except NotOfferedError:
        return "not offered"


def outputs(prior: EncoderPrior) -> list[Any]:
    """What all methods at the NumPy boundary return."""
    obs = observations(prior.observation_spec)
    z = np.resize(TINY, (4, prior.latent_dim))
    action = np.resize(TINY / 2, (4, 1) if prior.horizon == 1 else (4, prior.horizon, 1))
    features = prior.features(obs)
    return [
        features,
        offered(lambda: prior.decode(z, obs)),
        offered(lambda: prior.decode_features(z, features)),
        offered(lambda: prior.encode(action, obs)),
        offered(lambda: prior.encode_features(action, features)),
        offered(lambda: prior.log_prob(action, obs)),
        offered(lambda: prior.log_prob_features(action, features)),
        prior.changed_features(lambda seen: (torch.nn.functional.silu(seen),), features)[0],
        prior.reconstruct(obs) if hasattr(prior, "reconstruct") else None,
    ]


def of_prior(kind: str) -> Callable[[Path], Any]:
    """Made, used, trained, used again, saved and loaded; then it can be fine-tuned."""

    def run(folder: Path) -> Any:
        prior = make_prior(kind, ENCODERS[kind], spec(ENCODERS[kind], proprio=2, state=1))
        before = [prior.encoder_digest, *outputs(prior)]
        fit(prior, data(prior.observation_spec))
        prior.save(folder / "prior")
        loaded = load_prior(folder / "prior").to("cpu").double().float()
        return before, outputs(prior), outputs(loaded), loaded

    return run


def of_charts(folder: Path) -> Any:
    charts = [parse_chart(form) for form in CHART_FORMS]
    told = [(chart.bound, chart.prior_mass(7), chart.kl_uniform_to_prior) for chart in charts]
    return told, [(c.to_latent(TINY), c.to_unit(50.0 * TINY), c.to_unit(TINY)) for c in charts]


def pendulum_prior() -> EncoderPrior:
    from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec

    low, high = (-2.0,), (2.0,)
    config = FlowPriorConfig(
        ObservationSpec(state=3), 1, "state", hidden=8, action_low=low, action_high=high
    )
    return FlowPrior(config)


def of_wrapper(folder: Path) -> Any:
    env = BehavioralPriorWrapper(gym.make("Pendulum-v1"), pendulum_prior(), observation="both")
    told = [env.reset(seed=0)]
    for u in TINY:
        told += [env.step(u), env.encode(u)]
    return told


def of_vector_wrapper(folder: Path) -> Any:
    env = BehavioralPriorVectorWrapper(
        gym.make_vec("Pendulum-v1", num_envs=4, vectorization_mode="sync"),
        pendulum_prior(),
        observation="features",
    )
    return [env.reset(seed=0)[0], env.step(TINY)[:4], env.encode(TINY)]


def of_sb3_wrapper(folder: Path) -> Any:
    venv = DummyVecEnv([lambda: gym.make("Pendulum-v1", max_episode_steps=1)] * 4)
    venv.seed(0)
    env = BehavioralPriorVecWrapper(venv, pendulum_prior(), observation="features")
    return [env.reset(), env.step(TINY)[:3], env.encode(TINY)]


def of_mixture(folder: Path) -> Any:
    mixture = BroadMixture(pendulum_prior(), share=0.5, idle=0.01)
    obs = np.resize(TINY, (4, 3))
    z = np.concatenate((TINY, TINY), axis=1)
    return mixture.decode(z, obs), mixture.encode(TINY, obs), mixture.log_prob(TINY, obs)


def of_data(folder: Path) -> Any:
    made = EpisodeDataset.from_arrays(
        np.resize(TINY, (8, 3)),
        np.resize(TINY, (6, 1)),
        [3, 3],
        rewards=[1e-300] * 6,
        labels={"x": np.resize(TINY, (8, 1))},
    )
    recorded = record_policy(
        EchoEnv("state"), lambda _: np.array([1e-44, 0.1]), episodes=2, only_successes=False
    )
    found = made.action_statistics()
    return made.content_hash, recorded.content_hash, found.mean, found.std


def of_actor(folder: Path) -> Any:
    actor = ClonedActor(ClonedActorConfig((-2.0,), (2.0,), features_dim=1, net_arch=(8,)))
    actor.save(folder / "actor")
    return actor.predict(TINY), load_cloned_actor(folder / "actor").predict(TINY)


def of_regression(folder: Path) -> Any:
    rows = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    fitted = fit_mlp(rows, rows**2, np.arange(20) > 15, FitSettings(hidden=4, epochs=2))
    return fitted.predict(rows), fitted.rmse


CALLS: dict[str, Callable[[Path], Any]] = {
    **{kind: of_prior(kind) for kind in KINDS},
    "charts": of_charts,
    "wrapper": of_wrapper,
    "vector wrapper": of_vector_wrapper,
    "SB3 wrapper": of_sb3_wrapper,
    "mixture": of_mixture,
    "data": of_data,
    "cloned actor": of_actor,
    "regression": of_regression,
}
_usual: dict[str, Any] = {}


def same(found: Any, expected: Any) -> None:
    if isinstance(expected, np.ndarray):
        # convolutions may round differently from call to call, by where their memory lies
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        assert found.dtype == expected.dtype
    elif isinstance(expected, dict):
        same([found[key] for key in expected], list(expected.values()))
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif not isinstance(expected, torch.nn.Module):
        assert found == expected


@pytest.mark.parametrize("surrounding", SURROUNDINGS)
@pytest.mark.parametrize("what", CALLS)
def test_the_same_comes_out(what: str, surrounding: str, tmp_path: Path) -> None:
    if what not in _usual:
        _usual[what] = CALLS[what](tmp_path / "usual")
    with SURROUNDINGS[surrounding]():
        before = state()
        found = CALLS[what](tmp_path)
        assert state() == before
    same(found, _usual[what])
    for prior in (part for part in found if isinstance(part, torch.nn.Module)):
        fit(prior, data(prior.observation_spec))  # what was loaded there can train here


def state() -> tuple[Any, ...]:
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_autocast_enabled("cpu"),
        sorted(np.geterr().items()),
    )
