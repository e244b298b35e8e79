"""A prior that is refitted to what an agent learned behind it, in offline rounds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from parrot_wrapper.data import EpisodeDataset, load_dataset, save_dataset
from parrot_wrapper.errors import DataError, InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.priors.loading import load_prior
from parrot_wrapper.record.policy_episodes import record_policy
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.refit import mixture, record_agent, refit
from parrot_wrapper.rl.refit_job import RefitJob
from parrot_wrapper.rl.train import train
from tests.training.toy_rl import ReachEnv

TINY: dict[str, Any] = {"steps": 300, "batch_size": 64, "device": "cpu", "patience": 0}


def make_env(env_id: str = "", **options: Any) -> gym.Env[Any, Any]:
    return ReachEnv()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Old data without success, a prior of them, and an agent that its wide noise lets succeed."""
    root = tmp_path_factory.mktemp("refit")
    old = record_policy(
        make_env(), lambda _: [0.2, -0.3], episodes=40, noise=0.15, only_successes=False
    )
    save_dataset(old, root / "old")
    prior = FlowPrior.for_data(old, hidden=16)
    prior.save(root / "prior")
    config = RLConfig(
        env_id="Toy-v0", prior=str(root / "prior"), kl=None, net_arch=(32,), batch_size=64,
        learning_starts=100, total_steps=400, gradient_steps=2, device="cpu", gamma=0.5,
    )  # fmt: skip
    train(config, root / "run", make_env=make_env, progress=False)
    return root


def job(places: Path, out: Path, **changes: Any) -> RefitJob:
    made = RefitJob(
        str(places / "prior"), places / "old", (places / "run",), out, episodes=30, share=0.75
    )
    return replace(made, **changes)


def test_the_prior_does_what_the_agent_learned_and_keeps_what_was_there(
    places: Path, tmp_path: Path
) -> None:
    refit(job(places, tmp_path / "a"), TINY, make_env=make_env, progress=False)
    data = load_dataset(tmp_path / "a" / "data")
    assert data.n_episodes == 40  # 30 of the agent, which are three quarters
    ends = data.actions.reshape(40, 5, 2)[:, -1, 0]
    assert (ends[:30] > 0.5).all() and not (ends[30:] > 0.5).any()
    before, after = load_prior(places / "prior"), load_prior(tmp_path / "a" / "prior")
    obs = np.random.default_rng(0).uniform(-1, 1, (400, 4)).astype(np.float32)
    z = np.random.default_rng(1).standard_normal((400, 2)).astype(np.float32)
    share = [(prior.decode(z, obs)[:, 0] > 0.5).mean() for prior in (before, after)]
    assert share[1] > share[0] + 0.3
    # u of the same action is another one behind the other prior
    action = after.decode(z, obs)
    assert np.abs(before.encode(action, obs) - after.encode(action, obs)).mean() > 0.1


def test_it_goes_on_where_it_was_stopped(places: Path, tmp_path: Path) -> None:
    out = tmp_path / "b"

    def broken(*_: Any, **__: Any) -> gym.Env[Any, Any]:
        raise AssertionError("recorded twice")

    first = refit(job(places, out), TINY, make_env=make_env, progress=False)
    again = refit(job(places, out), TINY, make_env=broken, progress=False)
    assert again.validation_nll == first.validation_nll
    with pytest.raises(InvalidArgumentError, match="another refit .*share"):
        refit(job(places, out, share=0.5), TINY, make_env=make_env)


def test_agents_without_success_are_refused(places: Path, tmp_path: Path) -> None:
    class Hopeless(ReachEnv):
        def step(self, action: Any) -> Any:
            observation, _, terminated, truncated, _ = super().step(action)
            return observation, 0.0, terminated, truncated, {"is_success": False}

    with pytest.raises(DataError, match="no success in 20 episodes"):
        refit(job(places, tmp_path, episodes=2), make_env=lambda *_, **__: Hopeless())
    with pytest.raises(InvalidArgumentError, match="folders of runs"):
        job(places, tmp_path, runs=())
    old = load_dataset(places / "old")
    images = replace(old, observations={"image": old.observations["state"]})
    with pytest.raises(SpaceMismatchError, match="shows image"):
        record_agent(places / "run", images, episodes=1, seed=0, make_env=make_env)


def test_each_agent_has_the_same_weight() -> None:
    def episodes(count: int, value: float) -> EpisodeDataset:
        lengths = np.full(count, 2)
        return EpisodeDataset.from_arrays(
            np.full((3 * count, 4), value, np.float32),
            np.random.default_rng(0).uniform(-1, 1, (2 * count, 2)),
            lengths,
        )

    mixed = mixture(episodes(50, 0.0), [episodes(9, 1.0), episodes(4, 2.0)], share=0.4, seed=0)
    kinds = [mixed.episode(index).observations["state"][0, 0] for index in range(mixed.n_episodes)]
    assert [kinds.count(value) for value in (0.0, 1.0, 2.0)] == [12, 4, 4]
