"""Encoders: what they accept, what they return, and the registry."""

import pytest
import torch

from parrot_table.layout import CONTAINER_CODE, GRIPPER
from parrot_table.structured import StructuredEncoder
from parrot_wrapper.priors.encoders import ENCODERS, build_encoder
from parrot_wrapper.types import ObservationSpec

IMAGE = ObservationSpec(image=(48, 48, 3))
BOTH = ObservationSpec(image=(48, 48, 3), proprio=8)


def observations(spec: ObservationSpec, batch: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (batch, *spec.image), generator=generator, dtype=torch.uint8)
    return {"image": image, "proprio": torch.randn(batch, spec.proprio, generator=generator)}


def test_registry_goes_by_class_name():
    names = [name for name in ENCODERS.names() if name not in ENCODERS.added()]
    known = {"structured", "convolutional", "keypoints", "residual", "state", "nothing"}
    assert set(names) == known
    assert all(ENCODERS.get(name).name == name for name in names)


@pytest.mark.parametrize("spec", [IMAGE, BOTH])
def test_residual(spec):
    encoder = build_encoder("residual", spec, {"channels": 8, "embedding": 5})
    obs = observations(spec)
    encoder.initialise(obs)
    features = encoder(obs)
    assert features.shape == (4, encoder.feature_dim) == (4, 5 + spec.proprio)
    mean, log_variance = encoder.posterior(obs["image"])
    assert torch.equal(features[:, :5], mean)
    if spec.proprio:
        torch.testing.assert_close(features[:, 5:].mean(dim=0), torch.zeros(8))
    (mean.sum() + log_variance.sum()).backward()
    assert all(p.grad is not None for p in encoder.parameters())
    assert {m.kernel_size for m in encoder.trunk if hasattr(m, "kernel_size")} == {(4, 4)}


@pytest.mark.parametrize("spec", [IMAGE, BOTH])
@pytest.mark.parametrize("unshuffle", [1, 2])
def test_convolutional(spec, unshuffle):
    encoder = build_encoder("convolutional", spec, {"pixel_unshuffle": unshuffle})
    assert encoder.head[0].in_features == 2304 + spec.proprio  # as in the paper
    obs = observations(spec)
    encoder.initialise(obs)
    features = encoder(obs)
    assert features.shape == (4, encoder.feature_dim) == (4, 256)
    assert encoder.context(features) is features
    assert encoder.context_dim == 256
    features.sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_state_is_standardised():
    encoder = build_encoder("state", ObservationSpec(state=3, proprio=2), {})
    generator = torch.Generator().manual_seed(0)
    state = 5 + 3 * torch.randn(200, 3, generator=generator)
    state[:, 1] = 7.0  # constant
    obs = {"state": state, "proprio": torch.randn(200, 2, generator=generator)}
    encoder.initialise(obs)
    features = encoder(obs)
    assert features.shape == (200, 5)
    torch.testing.assert_close(features.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    assert features[:, 1].abs().max() < 1e-5
    assert features[:, 0].std().item() == pytest.approx(1, abs=0.02)


SIZED = {
    "structured": {"slots": 2, "channels": 8, "context": 8},
    "convolutional": {"channels": 4, "hidden": 8, "embedding": 8},
    "convolutional in blocks": {"channels": 4, "hidden": 8, "embedding": 8, "pixel_unshuffle": 2},
    "residual": {"channels": 8, "blocks": 1, "embedding": 8},
}


@pytest.mark.parametrize("kind", SIZED)
@pytest.mark.parametrize("size", [(32, 32), (33, 50), (50, 35), (37, 39), (64, 96), (84, 84)])
def test_images_of_any_size_are_seen_to_the_last_pixel(kind, size):
    spec = ObservationSpec(image=(*size, 3))
    encoder = build_encoder(kind.split()[0], spec, SIZED[kind]).eval()
    image = torch.randint(0, 256, (16, *size, 3), dtype=torch.uint8)
    other = image.clone()
    other[:, -1, -1] = 255 - other[:, -1, -1]
    with torch.no_grad():
        before, after = encoder({"image": image}), encoder({"image": other})
    assert before.shape == (16, encoder.feature_dim)
    assert not torch.equal(before, after)


SIDE = 32
SHARED = GRIPPER + 4 + CONTAINER_CODE
"""Where the object slots begin."""


def make(**options) -> StructuredEncoder:
    spec = ObservationSpec(image=(SIDE, SIDE, 3))
    return build_encoder("structured", spec, {"channels": 16, "slots": 5, **options})


def images(batch: int = 8) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, SIDE, SIDE, 3)
    return {"image": torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)}


def test_layout() -> None:
    encoder = make()
    features = encoder(images())
    assert encoder.feature_dim == SHARED + 4 * encoder.slots
    assert features.shape == (8, encoder.feature_dim)
    assert encoder.context(features).shape == (8, encoder.context_dim)
    presence = features[:, [GRIPPER, *range(SHARED, encoder.feature_dim, 4)]]
    assert ((presence >= 0) & (presence <= 1)).all()
    (encoder.context(features).square().mean() + features.square().mean()).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_absent_slots_are_quiet() -> None:
    encoder = make(feature_noise=0.5)
    with torch.no_grad():  # neither objects nor containers anywhere
        encoder.heads.weight.zero_()
        encoder.heads.bias[:2] = -40.0
    features = encoder(images()).detach()
    assert features[:, GRIPPER : GRIPPER + 4].abs().max() < 1e-6
    assert features[:, SHARED:].abs().max() < 1e-6
    features[:, SHARED + 8 :] = 0.0
    features[:, SHARED : SHARED + 4] = 1.0
    noisy = encoder.perturb(features, torch.Generator().manual_seed(0))
    assert torch.equal(noisy[:, SHARED + 8 :], features[:, SHARED + 8 :])
    assert torch.equal(noisy[:, SHARED], features[:, SHARED])  # presence itself gets no noise
    moved = (noisy - features)[:, SHARED + 1 : SHARED + 4].std()
    assert 0.3 < moved < 0.8


def test_slots_are_a_set() -> None:
    encoder = make()
    features = encoder(images())
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = features.clone()
    shuffled[:, SHARED:] = features[:, SHARED:].view(-1, 5, 4)[:, order].flatten(1)
    torch.testing.assert_close(encoder.context(shuffled), encoder.context(features))
