"""The forms for acting give what the modules give, and follow their weights."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from parrot_table.structured import StructuredEncoder
from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec, load_prior
from parrot_wrapper.priors.coupling import CouplingStack
from parrot_wrapper.priors.encoders import KeypointEncoder, build_encoder, for_acting
from parrot_wrapper.priors.folded_couplings import FoldedCouplings


def shaken(module):
    """With weights that are not as they were initialised: zeros would hide mistakes."""
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor += 0.1 * torch.randn_like(tensor)
    return module.eval()


def images(batch, height=48, width=48, colours=3):
    return torch.randint(0, 256, (batch, height, width, colours), dtype=torch.uint8)


TOGGLE, TRACK = (
    {"dim": 3, "low": -0.5, "high": 0.5},
    {"source": "action", "dim": 0, "order": 1, "scale": 1.0, "told": 0.9},
)
FORCE = {**TRACK, "order": 2, "carry": 0.7}
ENCODERS = [
    ("structured", (48, 48, 3), {}),
    ("structured", (32, 40, 1), {"slots": 2, "channels": 8}),
    ("structured", (64, 48, 4), {"slots": 5, "sharpness": 3.0, "context": 16}),
    ("structured", (33, 46, 3), {"slots": 3, "channels": 8}),
    ("keypoints", (48, 48, 3), {"cues": {"toggles": [TOGGLE], "tracks": [TRACK] * 3}}),
    ("keypoints", (32, 40, 1), {"slots": 2, "channels": 8}),
    ("keypoints", (33, 97, 4), {"slots": 5, "channels": 32, "cues": {"tracks": [FORCE]}}),
    ("keypoints", (4, 60, 3), {"channels": 8, "context": 16, "cues": {"toggles": [TOGGLE] * 2}}),
    ("keypoints", (256, 131, 3), {"sharpness": 3.0, "channels": 8}),
]


@pytest.mark.parametrize(("name", "shape", "options"), ENCODERS)
@pytest.mark.parametrize("vectors", [{}, {"proprio": 5, "state": 2}], ids=["image", "vectors"])
def test_encoders(name, shape, options, vectors):
    encoder = shaken(build_encoder(name, ObservationSpec(image=shape, **vectors), options))
    folded = for_acting(encoder)
    assert folded is not encoder
    for batch in (1, 4, 1, 3):  # a later pass finds memory that an earlier one wrote to
        seen = {key: torch.randn(batch, length) for key, length in vectors.items()}
        seen["image"] = images(batch, *shape)
        with torch.inference_mode():
            features = encoder(seen)
            torch.testing.assert_close(folded(seen), features, atol=1e-4, rtol=1e-4)
            context = folded.context(features)
            torch.testing.assert_close(context, encoder.context(features), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", [StructuredEncoder, KeypointEncoder])
def test_a_derived_encoder_acts_as_it_is(kind):
    encoder = type("Derived", (kind,), {})(ObservationSpec(image=(32, 32, 3)))
    assert for_acting(encoder) is encoder


@pytest.mark.parametrize("dim", [1, 2, 7])
@pytest.mark.parametrize(("layers", "hidden_layers"), [(1, 2), (4, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("kind", ["affine", "spline"])
@pytest.mark.parametrize("trunk_blocks", [0, 2])
def test_couplings(dim, layers, hidden_layers, kind, trunk_blocks):
    stack = CouplingStack(
        dim, context_dim=5, layers=layers, hidden=16, hidden_layers=hidden_layers, coupling=kind,
        log_scale_bound=1.5, spline_bound=1.5, trunk_blocks=trunk_blocks, trunk_width=8,
    )  # fmt: skip
    z, context = torch.randn(3, dim), torch.randn(3, 5)
    before = z.clone()
    with torch.inference_mode():
        expected = shaken(stack).decode(z, context)
        made = FoldedCouplings(stack).decode(z, context)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(z, before)


def test_packaged_prior_is_the_same_prior():
    """As in float64 without any folding, on images of what it was made for."""
    gym = pytest.importorskip("gymnasium")
    pytest.importorskip("pybullet")
    pytest.importorskip("parrot_envs")
    env = gym.make("ParrotPickPlace-v0")
    env.action_space.seed(0)
    seen = [env.reset(seed=seed)[0] for seed in range(10)]
    seen += [env.step(env.action_space.sample())[0] for _ in range(10)]
    env.close()
    prior, exact = load_prior("parrot-v0"), load_prior("parrot-v0").double()
    z = np.random.default_rng(0).standard_normal((len(seen), prior.latent_dim)).astype(np.float32)
    together = np.stack(seen)
    features, action = exact.features(together), exact.decode(z, together)
    for index, image in enumerate(seen):
        one = prior.features(image[None])
        np.testing.assert_allclose(one[0], features[index], atol=1e-5)
        np.testing.assert_allclose(
            prior.decode_features(z[index : index + 1], one)[0], action[index], atol=1e-5
        )
    np.testing.assert_allclose(prior.features(together), features, atol=1e-5)
    np.testing.assert_allclose(prior.decode(z, together), action, atol=1e-5)


@pytest.fixture
def prior():
    config = FlowPriorConfig(
        ObservationSpec(image=(32, 32, 3)), action_dim=3, encoder="structured", hidden=16,
        encoder_options={"slots": 3, "channels": 8, "context": 8},
    )  # fmt: skip
    return shaken(FlowPrior(config)).requires_grad_(False)


IMAGE = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)


def acts(prior):
    """What a prior does, at the boundary where folded forms serve."""
    return prior.decode(np.ones((1, 3), np.float32), IMAGE)


def acts_plainly(prior):
    """The same from the modules themselves."""
    with torch.no_grad():
        context = prior.encoder.context(prior.encoder({"image": torch.from_numpy(IMAGE)}))
        return prior.decode_tensor(torch.ones(1, 3), context).numpy()


def trained(prior, **options):
    """One step of an optimiser, mode as it was."""
    prior.requires_grad_(True)
    optimiser = torch.optim.Adam(prior.parameters(), lr=0.05, **options)
    context = prior.encoder.context(prior.encoder({"image": torch.from_numpy(IMAGE)}))
    prior.decode_tensor(torch.ones(1, 3), context).square().sum().backward()
    optimiser.step()
    return prior


def other(module):
    return shaken(copy.deepcopy(module))


CHANGES = {
    "optimiser": lambda prior: trained(prior).requires_grad_(False),
    "fused optimiser": lambda prior: trained(prior, fused=True).requires_grad_(False),
    "fused optimiser, going on": lambda prior: trained(prior, fused=True),
    "in place": lambda prior: torch.nn.init.normal_(prior.flow.couplings[0].net[0].weight),
    "buffer": lambda prior: prior.encoder._base.add_(1.0),
    "load_state_dict": lambda prior: prior.load_state_dict(other(prior).state_dict()),
    "assigned state": lambda prior: prior.load_state_dict(other(prior).state_dict(), assign=True),
    "another tensor": lambda prior: setattr(
        prior.encoder.heads, "bias", torch.nn.Parameter(torch.ones(7), requires_grad=False)
    ),
    "another encoder": lambda prior: setattr(prior, "encoder", other(prior.encoder)),
    "action scale": lambda prior: prior.set_action_scale(torch.ones(3), 2.0 * torch.ones(3)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_follows_the_weights(prior, change):
    before = acts(prior)
    assert prior._acting_encoder.of(prior.encoder) is not None
    np.testing.assert_allclose(before, acts_plainly(prior), atol=1e-5)
    CHANGES[change](prior)
    assert np.abs(acts(prior) - before).max() > 1e-3
    np.testing.assert_allclose(acts(prior), acts_plainly(prior), atol=1e-5)


def test_weights_that_train_are_never_folded(prior):
    acts(prior)
    prior.flow.couplings[1].net[0].bias.requires_grad_(True)
    acts(prior)
    assert prior._acting_flow.of(prior.flow) is None
    assert prior._acting_encoder.of(prior.encoder) is not None


def test_copies_are_of_their_own(prior):
    before = acts(prior)
    for twin in (copy.deepcopy(prior), pickle.loads(pickle.dumps(prior))):
        np.testing.assert_array_equal(acts(twin), before)
        shaken(twin)
        np.testing.assert_allclose(acts(twin), acts_plainly(twin), atol=1e-5)
        np.testing.assert_array_equal(acts(prior), before)


def test_gradients_reach_every_weight_after_acting(prior):
    acts(prior)
    trained(prior.train())
    assert all(weight.grad is not None for weight in prior.parameters())
    acts(prior)
    assert prior.training


def test_other_dtypes_and_large_batches_are_left_to_the_modules(prior):
    expected = acts(prior)
    many = prior.decode(np.ones((9, 3), np.float32), IMAGE.repeat(9, 0))
    np.testing.assert_allclose(many, expected.repeat(9, 0), atol=1e-5)
    np.testing.assert_allclose(acts(prior.double()), expected, atol=1e-5)


def test_threads_do_not_share_memory(prior):
    rng = np.random.default_rng(0)
    seen = rng.integers(0, 256, (32, 1, 32, 32, 3), dtype=np.uint8)
    expected = [prior.features(image) for image in seen]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for one, other in zip(pool.map(prior.features, seen), expected, strict=True):
                np.testing.assert_array_equal(one, other)
