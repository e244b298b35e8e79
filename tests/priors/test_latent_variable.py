"""A latent that is held is inferred from what whole segments do, and decides it."""

from __future__ import annotations

import numpy as np
import pytest

from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.priors import LatentVariablePrior
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import training_config

H, A = 4, 2


@pytest.fixture(scope="module")
def prior() -> LatentVariablePrior:
    """Of episodes that go left all the time, or right, with noise of each step."""
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], 60).repeat(H + 2)
    actions = rng.normal(0.0, 0.1, (len(signs), A))
    actions[:, 0] += 0.6 * signs
    states = rng.normal(size=(60 * (H + 3), 3))
    data = EpisodeDataset.from_arrays({"state": states}, actions, [H + 2] * 60)
    made = LatentVariablePrior.for_data(
        data, sees=(), horizon=H, latent_dim=1, widths=(32,), recurrent=16
    )
    config = training_config(
        LatentVariablePrior, steps=500, batch_size=64, learning_rate=5e-3, warmup_steps=20,
        validate_every=250, validation_batches=2, edge_spread=0.0, device="cpu",
    )  # fmt: skip
    report = fit_prior(made, data, config, progress=False)
    # a Gaussian of each step alone, and one that knows the side, which is one bit in H steps
    alone = 0.5 * A * np.log(2 * np.pi * np.e) + np.log(0.1) + np.log(0.61)
    best = alone + np.log(0.1 / 0.61) + np.log(2.0) / H
    assert best - 0.2 < sum(report.validation.values()) < alone - 0.7
    return made


def test_what_is_held_decides_the_side_and_noise_the_rest(prior):
    rng = np.random.default_rng(1)
    z = rng.standard_normal((400, prior.latent_dim)).astype(np.float32)
    states = rng.normal(size=(400, H, 3)).astype(np.float32)
    first = prior.features(states[:, 0])
    steps = [prior.decode_step(z, first, prior.features(states[:, k]), k) for k in range(H)]
    left = np.stack(steps, axis=1)[..., 0] < 0
    assert (left.all(axis=1) | ~left.any(axis=1)).mean() > 0.7
    assert 0.3 < left.mean() < 0.7
    other = z.copy()
    other[:, 1 + A * 2 :] = 0.0  # the noise of later steps
    again = prior.decode_step(other, first, prior.features(states[:, 1]), 1)
    np.testing.assert_array_equal(again, steps[1])
    assert np.abs(steps[1][:, 1]).std() > 0.03


def test_plans_are_inverted_exactly(prior):
    rng = np.random.default_rng(2)
    actions = rng.uniform(-0.5, 0.5, (10, H, A)).astype(np.float32)
    state = rng.normal(size=(10, 3)).astype(np.float32)
    z = prior.encode(actions, state)
    assert z.shape == (10, 1 + H * A) == (10, prior.latent_dim)
    np.testing.assert_allclose(prior.decode(z, state), actions, atol=1e-4)
    assert not prior.bijective
