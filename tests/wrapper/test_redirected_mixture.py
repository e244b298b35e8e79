"""The redirected prior: where it goes, what it says of its density, and its round trips."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import parrot_envs  # noqa: F401  # registers the ids
from parrot_table.redirected import RedirectedConfig, RedirectedMixture
from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec, load_prior
from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError
from parrot_wrapper.priors.mixtures.broad import BroadConfig
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.model import wrap_env
from parrot_wrapper.types import ActionPrior
from tests.helpers import AffinePrior

TASK = "ParrotPlaceCanInPan-v0"
CONTAINER = slice(5, 9)
"""Columns of the structured encoder's features: presence, and where it is."""


@pytest.fixture(scope="module")
def prior() -> FlowPrior:
    loaded = load_prior("parrot-v0")
    assert isinstance(loaded, FlowPrior)
    return loaded


@pytest.fixture(scope="module")
def holding(prior: FlowPrior) -> np.ndarray:
    """Features (B, F) at moments at which the expert holds something, before it lets go."""
    env = gym.make(TASK)
    found = []
    for seed in range(20):
        image, info = env.reset(seed=seed)
        expert = env.unwrapped.make_expert(np.random.default_rng(seed))  # type: ignore[attr-defined]
        for _ in range(25):
            if info["lifted"]:
                found.append(prior.features(image[None])[0])
            image, _, _, _, info = env.step(expert.act())
    env.close()
    return np.array(found)


def noise(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def test_it_is_a_prior_with_one_more_latent(prior: FlowPrior) -> None:
    mixture = RedirectedMixture(prior)
    assert isinstance(mixture, ActionPrior)
    assert (mixture.latent_dim, mixture.feature_dim) == (8, prior.feature_dim)


def test_it_carries_what_it_holds_to_the_container(prior: FlowPrior, holding: np.ndarray) -> None:
    mixture = RedirectedMixture(prior, share=0.9)
    assert len(holding) > 20
    assert np.median(mixture.share(holding)) > 0.8  # the features know that something is held
    far = holding[np.linalg.norm(holding[:, CONTAINER][:, 1:3], axis=1) > 0.5]
    z = np.zeros((len(far), mixture.latent_dim), np.float32)
    z[:, -1] = 5.0  # the redirected one
    action = mixture.decode_features(z, far)
    goal = far[:, CONTAINER][:, 1:3]
    along = (action[:, :2] * goal).sum(1) / np.linalg.norm(goal, axis=1)
    assert (along > 0.5).mean() > 0.8  # half a step's length towards it, and more
    assert (action[:, 6] < -0.5).mean() > 0.8  # and does not let go on the way
    z[:, -1] = -5.0
    np.testing.assert_allclose(
        mixture.decode_features(z, far), prior.decode_features(z[:, :7], far), atol=1e-5
    )


def test_an_empty_hand_is_left_alone(prior: FlowPrior) -> None:
    env = gym.make(TASK)
    image, _ = env.reset(seed=1)
    env.close()
    assert RedirectedMixture(prior, share=0.9).share(prior.features(image[None]))[0] < 0.1


def test_its_density_is_that_of_both(prior: FlowPrior, holding: np.ndarray) -> None:
    """By importance weights: the mean of q/p' over samples of p' is 1 for a normalised q."""
    mixture = RedirectedMixture(prior, share=0.6)
    features = np.repeat(holding[:4], 2_000, axis=0)
    action = mixture.decode_features(noise(len(features), mixture.latent_dim), features)
    known = prior.log_prob_features(action, features)
    other = mixture._log_prob_other(action, features)
    share = mixture.share(features)
    mixed = np.logaddexp(np.log1p(-share) + known, np.log(share) + other)
    for part in (known, other):
        weights = np.exp(part - mixed).reshape(4, -1)
        np.testing.assert_allclose(weights.mean(axis=1), 1.0, atol=0.12)


def test_log_prob_looks_at_the_image(prior: FlowPrior) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 3), dtype=np.uint8)
    mixture = RedirectedMixture(prior, share=0.6)
    action = mixture.decode(noise(5, 8), image)
    features = prior.features(image)
    known = prior.log_prob(action, image)
    other = mixture._log_prob_other(action, features)
    share = mixture.share(features)
    np.testing.assert_allclose(
        np.exp(mixture.log_prob(action, image)),
        (1 - share) * np.exp(known) + share * np.exp(other),
        rtol=1e-3,
    )


def test_encode_inverts_decode_up_to_the_deciding_latent(
    prior: FlowPrior, holding: np.ndarray
) -> None:
    mixture = RedirectedMixture(prior, share=0.6)
    z = noise(len(holding), mixture.latent_dim)
    action = mixture.decode_features(z, holding)
    again = mixture.encode_features(action, holding)
    assert set(again[:, -1] > 0.0) == {True, False}  # some of either
    np.testing.assert_allclose(mixture.decode_features(again, holding), action, atol=1e-3)


def test_what_cannot_be_redirected_is_refused(prior: FlowPrior) -> None:
    config = FlowPriorConfig(ObservationSpec(state=4), 2, encoder="state")
    with pytest.raises(NotOfferedError, match="say what is where.*'state'"):
        RedirectedMixture(FlowPrior(config))
    with pytest.raises(NotOfferedError, match="got AffinePrior"):
        RedirectedMixture(AffinePrior(ObservationSpec(state=4)))
    for wrong in ({"share": 1.0}, {"above": np.nan}, {"gripper": 7}):
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            RedirectedMixture(prior, **wrong)  # type: ignore[arg-type]


def test_a_run_acts_through_it(prior: FlowPrior) -> None:
    redirected = RedirectedConfig(share=0.8)
    config = RLConfig(env_id=TASK, prior="parrot-v0", mixtures=(redirected,))
    env = wrap_env(gym.make(config.env_id), config, prior)
    assert env.action_space.shape == (8,)
    env.reset(seed=0)
    _, _, _, _, info = env.step(env.action_space.sample())
    assert info["parrot/action"].shape == (7,)
    env.close()
    both = replace(config, mixtures=(redirected, BroadConfig(share=0.2)))
    env = wrap_env(gym.make(config.env_id), both, prior)
    assert env.action_space.shape == (9,)
    env.close()


def test_runs_that_had_it_before_there_were_mixtures() -> None:
    former = {"env_id": TASK, "prior": "parrot-v0", "broad": "0.2", "redirected": 0.8}
    config = RLConfig.from_dict(former)
    assert config.mixtures == (RedirectedConfig(share=0.8), BroadConfig(share=0.2))
    assert RLConfig.from_dict(config.to_dict()) == config
    without = {**former, "broad": None, "redirected": 0.0}
    assert RLConfig.from_dict(without) == RLConfig(TASK, prior="parrot-v0")
