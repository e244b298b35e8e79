"""Encoders: what they accept, what they return, and the registry."""

import numpy as np
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
    assert names == ["structured", "convolutional", "residual", "state"]
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
    features, intermediates = encoder.training_features(obs)
    assert features.shape == (4, encoder.feature_dim) == (4, 256)
    assert encoder.context(features) is features
    assert encoder.context_dim == 256
    assert encoder.auxiliary_losses(intermediates, obs) == {}
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


SIDE, THINGS, LABELS = 32, 3, ("landmarks", "landmark_pixels", "landmark_kinds", "gripper")
SPEC = ObservationSpec(image=(SIDE, SIDE, 3))
SHARED = GRIPPER + 4 + CONTAINER_CODE
"""Where the object slots begin."""


def make(**options) -> StructuredEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_encoder("structured", SPEC, {"channels": 16, "slots": 5, **options})


def scenes(episodes: int = 8, seed: int = 0) -> dict[str, torch.Tensor]:
    """Two images of each episode: two coloured squares and a grey container, and where they are."""
    rng = np.random.default_rng(seed)
    image = np.full((2 * episodes, SIDE, SIDE, 3), 200, np.uint8)
    pixels = rng.uniform(4, SIDE - 5, (2 * episodes, THINGS, 2)).astype(np.float32)
    colours = np.repeat(rng.integers(0, 256, (episodes, THINGS, 3)), 2, axis=0)
    colours[:, -1] = 90
    for row in range(2 * episodes):
        for thing in reversed(range(THINGS)):
            x, y = pixels[row, thing].round().astype(int)
            image[row, y - 2 : y + 3, x - 2 : x + 3] = colours[row, thing]
    metres = 0.2 * (pixels / SIDE - 0.5) + np.float32([0.3, 0.0])  # the table's middle
    height = np.full((*metres.shape[:2], 1), 0.02, np.float32)
    gripper = np.tile(np.float32([0.35, -0.02, 0.1, 1.0, 0.0]), (2 * episodes, 1))
    arrays = {
        "image": image,
        "landmarks": np.concatenate([metres, height], axis=2),
        "landmark_pixels": pixels,
        "landmark_kinds": np.tile(np.float32([0, 0, 1]), (2 * episodes, 1)),
        "gripper": gripper,
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def losses(encoder: StructuredEncoder, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    _, intermediates = encoder.training_features(batch)
    return encoder.auxiliary_losses(intermediates, batch)


def empty_table(encoder: StructuredEncoder) -> None:
    """Let it see neither objects nor containers anywhere."""
    with torch.no_grad():
        encoder.heads.weight.zero_()
        encoder.heads.bias[:2] = -40.0


def test_layout() -> None:
    encoder, batch = make(), scenes()
    features, maps = encoder.training_features(batch)
    assert encoder.feature_dim == SHARED + 4 * encoder.slots
    assert features.shape == (16, encoder.feature_dim)
    assert encoder.context(features).shape == (16, encoder.context_dim)
    assert torch.equal(encoder(batch), features)
    assert maps["heat"].shape == (16, SIDE // 4, SIDE // 4, 2)
    presence = features[:, [GRIPPER, *range(SHARED, encoder.feature_dim, 4)]]
    assert ((presence >= 0) & (presence <= 1)).all()
    only_image = encoder({"image": batch["image"]})
    assert torch.equal(only_image, features)  # labels are for training only


def test_absent_slots_are_quiet() -> None:
    encoder, batch = make(feature_noise=0.5), scenes()
    empty_table(encoder)
    features = encoder(batch).detach()
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
    features = encoder(scenes())
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = features.clone()
    shuffled[:, SHARED:] = features[:, SHARED:].view(-1, 5, 4)[:, order].flatten(1)
    torch.testing.assert_close(encoder.context(shuffled), encoder.context(features))


def test_order_of_labels_does_not_matter() -> None:
    encoder, batch = make(), scenes()
    shuffled = dict(batch)
    for name in LABELS[:3]:
        shuffled[name] = batch[name][:, [2, 0, 1]]
    expected, found = losses(encoder, batch), losses(encoder, shuffled)
    assert set(expected) == {"heat", "position", "gripper", "code"}
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_without_labels_there_is_only_likelihood() -> None:
    encoder, batch = make(), scenes()
    assert losses(encoder, {"image": batch["image"]}) == {}
    assert losses(make(auxiliary=0.0), batch) == {}
    encoder.initialise({"image": batch["image"]})
    twice = losses(make(auxiliary=2.0), batch)
    for name, value in losses(make(), batch).items():
        torch.testing.assert_close(twice[name], 2.0 * value)


def test_starts_from_where_things_are_on_average() -> None:
    encoder, batch = make(), scenes(64)
    before = losses(encoder, batch)
    encoder.initialise(batch)
    after = losses(encoder, batch)
    for name in ("position", "gripper"):
        assert after[name] < 0.7 * before[name]


def test_learns_and_gradients_reach_every_parameter() -> None:
    encoder, batch = make(), scenes()
    encoder.initialise(batch)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    first = losses(encoder, batch)
    for step in range(30):
        features, intermediates = encoder.training_features(batch)
        total = sum(encoder.auxiliary_losses(intermediates, batch).values())
        optimiser.zero_grad()
        (total + 1e-3 * encoder.context(features).square().mean()).backward()
        if step == 0:
            for name, parameter in encoder.named_parameters():
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        optimiser.step()
    last = losses(encoder, batch)
    assert all(last[name] < first[name] for name in first)
    assert sum(last.values()) < 0.8 * sum(first.values())
