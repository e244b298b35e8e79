"""The structured encoder on squares on a plane, seen from straight above."""

import numpy as np
import torch

from parrot_wrapper.priors.encoders import build_encoder
from parrot_wrapper.priors.encoders.structured import CONTAINER_CODE, GRIPPER, StructuredEncoder
from parrot_wrapper.types import ObservationSpec

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
