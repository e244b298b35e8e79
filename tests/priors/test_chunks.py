"""Priors of chunks and skills: exactness, what each learns, and how it is replanned."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError, UnknownNameError
from parrot_wrapper.latent import kl_to_prior, parse_chart
from parrot_wrapper.priors import (
    ChunkFlowPrior,
    ChunkFlowPriorConfig,
    FlowMatchingPrior,
    FlowMatchingPriorConfig,
    FlowPrior,
    FlowPriorConfig,
    MeanFlowPrior,
    MeanFlowPriorConfig,
    SkillPrior,
    SkillPriorConfig,
    load_prior,
)
from parrot_wrapper.priors.standardised import MOST_STEPS
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.types import ActionPrior
from tests.priors.test_flow import shaken
from tests.training.toy_data import FIT, STATE


def made(kind, config, **options):
    """One with weights as a trained one could have."""
    prior = kind(config(STATE, 2, "state", **options))
    shaken(prior, scale=0.1)
    if hasattr(prior, "action_std"):
        spread = torch.linspace(0.3, 0.6, prior.latent_dim)
        prior.set_action_scale(spread - 0.4, spread)
    return prior.requires_grad_(False)


MAKERS = {
    "chunk": lambda **more: made(
        ChunkFlowPrior, ChunkFlowPriorConfig, **{"horizon": 3, "hidden": 16, **more}
    ),
    "spline": lambda **more: made(
        ChunkFlowPrior,
        ChunkFlowPriorConfig,
        **{"horizon": 3, "hidden": 16, "coupling": "spline", "mixing": True, **more},
    ),
    "flow-matching": lambda **more: made(
        FlowMatchingPrior, FlowMatchingPriorConfig, **{"horizon": 3, "hidden": 16, **more}
    ),
    "mean-flow": lambda **more: made(
        MeanFlowPrior, MeanFlowPriorConfig, **{"horizon": 3, "hidden": 16, **more}
    ),
    "skill": lambda **more: made(
        SkillPrior,
        SkillPriorConfig,
        **{"horizon": 3, "widths": (16,), "recurrent": 8, "latent_dim": 4, **more},
    ),
}
REPLANNED = [name for name in MAKERS if name != "skill"]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", MAKERS)
def test_a_folder_gives_the_same_prior(name, tmp_path):
    prior = MAKERS[name]()
    prior.save(tmp_path)
    loaded = load_prior(tmp_path)
    assert type(loaded) is type(prior) and isinstance(loaded, ActionPrior)
    assert loaded.config == prior.config
    z, state = normal(5, prior.latent_dim), normal(5, 3, seed=1)
    chunk = prior.decode(z, state)
    assert chunk.shape == (5, 3, 2) and np.ptp(chunk) > 0.1
    np.testing.assert_array_equal(loaded.decode(z, state), chunk)
    for other in (prior.decode(z + 1, state), prior.decode(z, state + 1)):
        assert (np.abs(other - chunk).max(axis=(1, 2)) > 1e-4).all()


@pytest.mark.parametrize("horizon", [1, 2, 5, MOST_STEPS])
@pytest.mark.parametrize(
    "more", [{}, {"coupling": "spline", "spline_bins": 4}, {"mixing": True}], ids=str
)
def test_chunk_flows_are_exact(horizon, more):
    """Inverse and density in float64, the latter against autograd's Jacobian."""
    prior = MAKERS["chunk"](horizon=horizon, **more).double()
    z = torch.from_numpy(normal(3, prior.latent_dim)).double()
    context = torch.from_numpy(normal(3, 3, seed=1)).double()
    action = prior.decode_tensor(z, context)
    torch.testing.assert_close(prior.encode_tensor(action, context)[0], z, rtol=0, atol=1e-8)
    density = prior.log_prob_tensor(action, context)
    for row in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda a, row=row: prior.encode_tensor(a[None], context[row : row + 1])[0][0],
            action[row],
        )
        base = -0.5 * (z[row].square() + math.log(2 * math.pi)).sum()
        torch.testing.assert_close(density[row], base + jacobian.slogdet()[1])
    shape = (3, 2) if horizon == 1 else (3, horizon, 2)
    chunks, state = action.reshape(shape).numpy().astype(np.float32), context.numpy()
    state = state.astype(np.float32)
    np.testing.assert_allclose(prior.decode(z.numpy(), state), chunks, atol=1e-6)
    np.testing.assert_allclose(prior.encode(chunks, state), z.numpy(), atol=1e-4)
    np.testing.assert_allclose(prior.log_prob(chunks, state), density.numpy(), rtol=1e-4)


def test_a_chunk_of_one_is_a_flow():
    chunk = MAKERS["chunk"](horizon=1)
    flow = FlowPrior(FlowPriorConfig(STATE, 2, "state", hidden=16))
    flow.requires_grad_(False).load_state_dict(chunk.state_dict(), strict=True)
    z, state = normal(6, 2), normal(6, 3, seed=1)
    action = flow.decode(z, state)
    np.testing.assert_array_equal(chunk.decode(z, state), action)
    np.testing.assert_array_equal(chunk.log_prob(action, state), flow.log_prob(action, state))
    batch = {"state": torch.from_numpy(state), "progress": torch.tensor(1.0)}
    rows, generator = torch.from_numpy(action), torch.Generator()
    losses = flow.losses({**batch, "action": rows}, generator)
    assert chunk.losses({**batch, "action": rows[:, None]}, generator) == losses


def test_the_likelihood_of_a_chunk_is_per_step():
    prior = MAKERS["chunk"]()
    state, chunk = normal(4, 3), normal(4, 3, 2, seed=1)
    batch = {"state": torch.from_numpy(state), "action": torch.from_numpy(chunk)}
    nll = prior.losses(batch, torch.Generator())["nll"].item()
    assert nll == pytest.approx(-prior.log_prob(chunk, state).mean() / 3, rel=1e-5)


@pytest.mark.parametrize("name", REPLANNED)
def test_replanned_each_action_is_the_first_of_a_new_plan(name):
    planned = MAKERS[name]()
    assert not planned.closed_loop
    prior = planned.replanned()
    assert prior.closed_loop and prior.config.replan and not planned.config.replan
    z, first, newest = normal(4, 6), normal(4, 3, seed=1), normal(4, 3, seed=2)
    for step in (0, 2):
        expected = planned.decode(z, newest)[:, 0]
        found = prior.decode_step(z, prior.features(first), prior.features(newest), step)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(prior.decode(z, first), planned.decode(z, first))
    exact = name in ("chunk", "spline")
    assert (planned.bijective, prior.bijective) == (exact, False)
    assert prior.replanned(False).bijective is exact


@pytest.mark.parametrize("name", ["flow-matching", "mean-flow"])
def test_noise_without_an_inverse_says_so(name):
    prior, state = MAKERS[name](), normal(2, 3)
    for call in (prior.encode, prior.log_prob):
        with pytest.raises(NotOfferedError, match=name):
            call(np.zeros((2, 3, 2), np.float32), state)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_solvers_have_their_order(solver, order):
    """On dx/dt = x, whose solution is e x: twice the steps, an error of 2^-order."""
    errors = []
    for steps in (8, 16):
        config = FlowMatchingPriorConfig(STATE, 2, "state", solver=solver, solver_steps=steps)
        prior = FlowMatchingPrior(config)
        prior._velocity = lambda x, time, context: x
        z = torch.ones(1, 2)
        errors.append((prior.decode_tensor(z, torch.zeros(1, 3)) - math.e).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.15)


def test_a_mean_flow_has_no_loss_where_it_is_exact():
    """Data at one point c: on straight lines to c the velocity never changes."""
    prior = MAKERS["mean-flow"](horizon=1)
    c = torch.tensor([[0.3, -0.2]])
    prior._velocity = lambda x, time, context: (c - x) / (1.0 - time[:, :1])
    noise, time = torch.randn(64, 2), 0.9 * torch.rand(64, 2)
    exact = prior._error(noise, c.expand(64, 2), time, torch.zeros(64, 3)).item()
    assert exact == pytest.approx(0.0, abs=1e-6)


def test_a_mean_flow_follows_its_identity():
    """u = v + (r - t) du/dt, for u = t + 2 x: du/dt along the line is 1 + 2 v."""
    prior = MAKERS["mean-flow"](horizon=1)
    prior._velocity = lambda x, time, context: time[:, :1] + 2.0 * x
    noise, action = torch.from_numpy(normal(64, 2)), torch.from_numpy(normal(64, 2, seed=1))
    time = torch.rand(64, 2, generator=torch.Generator().manual_seed(0))
    found = prior._error(noise, action, time, torch.zeros(64, 3)).item()
    start, end = time.sort(dim=1).values.split(1, dim=1)
    end = torch.where(torch.arange(64)[:, None] < 32, start, end)  # half learn the moment
    v, x = action - noise, (1 - start) * noise + start * action
    error = (start + 2 * x - (v + (end - start) * (1 + 2 * v))).square().mean(dim=1)
    assert found == pytest.approx((error / (error + 1e-3).sqrt()).mean().item(), rel=1e-3)


def size(state):
    """How far an action of `sides` goes."""
    return 0.5 + 0.3 * np.tanh(state[..., 0])


def sides(episodes=200, length=4):
    """An episode goes to one side, left or right; how far each step, what is seen then says."""
    rng = np.random.default_rng(0)
    state = rng.standard_normal((episodes, length + 1, 3)).astype(np.float32)
    action = rng.choice([-1, 1], (episodes, 1)) * size(state[:, :length])
    action += 0.02 * rng.standard_normal(action.shape)
    lengths = [length] * episodes
    return EpisodeDataset.from_arrays(
        {"state": state.reshape(-1, 3)}, action.reshape(-1, 1), lengths
    )


SPLINE = {
    "horizon": 2, "hidden": 32, "coupling": "spline", "mixing": True, "coupling_layers": 2,
    "spline_bins": 4,
}  # fmt: skip
LEARNERS = {
    "chunk": (ChunkFlowPrior, {"horizon": 2, "hidden": 32}),
    "spline": (ChunkFlowPrior, SPLINE),
    "flow-matching": (FlowMatchingPrior, {"horizon": 2, "hidden": 128}),
    "mean-flow": (MeanFlowPrior, {"horizon": 2, "hidden": 128}),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_chunks_keep_to_one_side(name):
    """Of two sides a chunk takes one, as far as the first observation says."""
    kind, options = LEARNERS[name]
    data = sides()
    prior = kind.for_data(data, seed=1, **options)
    steps = 800 if name in ("flow-matching", "mean-flow") else FIT.steps
    fit_prior(prior, data, replace(FIT, steps=steps), progress=False)
    state, z = normal(400, 3, seed=5), normal(400, 2, seed=6)
    chunk = prior.decode(z, state)[:, :, 0]
    assert 0.3 < (chunk[:, 0] > 0).mean() < 0.7
    assert (chunk[:, 0] * chunk[:, 1] > 0).mean() > 0.85
    assert np.median(np.abs(np.abs(chunk[:, 0]) - size(state))) < 0.13
    # replanned, each action goes as far as what is seen then says
    newest = normal(400, 3, seed=7)
    action = prior.replanned().decode_step(z, prior.features(state), prior.features(newest), 1)
    assert np.median(np.abs(np.abs(action[:, 0]) - size(newest))) < 0.13


def test_skills_are_decoded_for_what_is_seen():
    data = sides()
    options = {"horizon": 4, "latent_dim": 2, "widths": (64, 64), "recurrent": 32}
    prior = SkillPrior.for_data(data, seed=1, **options)
    report = fit_prior(prior, data, FIT, progress=False)
    # open loop, the best mean square would be 3/4 of the variance of `size`
    assert report.validation["reconstruction"] < 0.25 * 0.75 * np.var(size(normal(10_000, 3)))
    first, newest = prior.features(normal(400, 3, seed=5)), normal(400, 3, seed=7)
    seen = [prior.features(newest), prior.features(normal(400, 3, seed=8))]

    def acts(z):
        return [prior.decode_step(z, first, now, k)[:, 0] for k, now in enumerate(seen)]

    one, other = acts(normal(400, 2, seed=6))
    assert (one * other > 0).mean() > 0.85
    assert 0.3 < (one > 0).mean() < 0.7
    # encoded actions go to their side, as far as what is seen says
    side = np.resize([0.5, -0.5], 400).astype(np.float32)
    wanted = np.repeat(side[:, None, None], 4, axis=1)
    again = acts(prior.encode_features(wanted, first))[0]
    assert np.median(np.abs(again - np.sign(side) * size(newest))) < 0.05
    latents = prior.encode(data.actions.reshape(-1, 4, 1), data.observations["state"][::5])
    assert np.abs(latents.mean(axis=0)).max() < 0.3
    assert 0.6 < latents.std(axis=0).max() < 1.4


def test_the_prior_over_skills_learns_from_skills_and_not_they_from_it():
    prior = MAKERS["skill"]().requires_grad_(True)
    state, action = torch.from_numpy(normal(8, 3, 3)), torch.from_numpy(normal(8, 3, 2, seed=1))
    batch = {"state": state, "action": action, "progress": torch.tensor(1.0)}
    losses = prior.losses(batch, torch.Generator().manual_seed(0))
    mean, log_variance = prior._posterior(action)
    skills = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    first = prior.encoder.context(prior.encoder({"state": state[:, 0]}))
    centre, log_scale = prior._prior(first)
    usual = torch.distributions.Normal(centre, log_scale.exp())
    kl = torch.distributions.kl_divergence(skills, usual).sum(dim=1).mean()
    torch.testing.assert_close(losses["prior_kl"], kl)
    losses["prior_kl"].backward()
    assert all(weight.grad is None for weight in prior.reader.parameters())
    assert all(weight.grad.abs().sum() > 0 for weight in prior.prior_net.parameters())


def test_sac_over_skills_has_spirls_objective():
    """KL(policy over skills || p(skill | s)) = Z log 2 - entropy of u, sample by sample.

    The policy is SB3's, a squashed Gaussian; skills are what the chart and the prior make of u.
    """
    prior = MAKERS["skill"](latent_dim=3).double()
    chart = parse_chart("gaussian")
    rows = 20_000
    context = torch.from_numpy(normal(1, 3)).double().expand(rows, 3)
    mean, log_std = torch.tensor([[0.4, -0.2, 0.9]]), torch.tensor([[-0.3, -1.0, 0.1]])
    policy = SquashedDiagGaussianDistribution(3)
    policy.proba_distribution(mean.expand(rows, 3), log_std.expand(rows, 3))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        u = policy.sample()
    log_u = policy.log_prob(u).double()
    z = torch.from_numpy(chart.to_latent(u.numpy())).double()
    skill = prior.skill_tensor(z, context)
    noise, log_det = prior.noise_tensor(skill, context)
    torch.testing.assert_close(noise, z)
    centre, log_scale = prior._prior(context)
    reference = torch.distributions.Normal(centre, log_scale.exp())
    log_prior = reference.log_prob(skill).sum(dim=1)
    # density of the policy over skills: through du/dz = 2 phi(z) and dz/dskill
    base = torch.distributions.Normal(0.0, 1.0)
    log_policy = log_u + (math.log(2.0) + base.log_prob(z)).sum(dim=1) + log_det
    pointwise = log_policy - log_prior
    # SB3 adds 1e-6 under a logarithm, which far out in the tails is felt
    inner = (z.abs() < 3.5).all(dim=1)
    torch.testing.assert_close(
        pointwise[inner], log_u[inner] + 3 * math.log(2.0), rtol=0, atol=2e-3
    )
    kl = kl_to_prior(-log_u.mean().item(), 3)
    assert pointwise.mean().item() == pytest.approx(kl, abs=2e-3)
    # ... and not that of Gaussians before they are squashed, as in the original code
    unsquashed = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, log_std.exp()), torch.distributions.Normal(0.0, 1.0)
    ).sum()
    assert abs(unsquashed.item() - kl) > 0.05


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (ChunkFlowPriorConfig, {"horizon": 0}, "horizon"),
        (ChunkFlowPriorConfig, {"horizon": 17}, "at most 16.*'trajectory'"),
        (ChunkFlowPriorConfig, {"replan": 1}, "replan"),
        (ChunkFlowPriorConfig, {"spline_bins": 1}, "spline_bins"),
        (ChunkFlowPriorConfig, {"spline_bound": 0.0}, "spline_bound"),
        (FlowPriorConfig, {"mixing": "yes"}, "mixing"),
        (FlowMatchingPriorConfig, {"horizon": 2.5}, "horizon"),
        (FlowMatchingPriorConfig, {"solver_steps": 0}, "solver_steps"),
        (FlowMatchingPriorConfig, {"hidden_layers": 0}, "hidden_layers"),
        (MeanFlowPriorConfig, {"solver": "heun"}, "must be 'euler'"),
        (SkillPriorConfig, {"horizon": 1}, "horizon"),
        (SkillPriorConfig, {"horizon": 20}, "at most 16"),
        (SkillPriorConfig, {"recurrent": 0}, "recurrent"),
    ],
)
def test_what_no_config_can_be(config, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        config(STATE, 2, "state", **options)


def test_choices_by_name():
    with pytest.raises(UnknownNameError, match="Did you mean 'spline'"):
        FlowPriorConfig(STATE, 2, "state", coupling="splines")
    with pytest.raises(UnknownNameError, match="Did you mean 'heun'"):
        replace(FlowMatchingPriorConfig(STATE, 2, "state"), solver="huen")
