"""The encoder that learns by hindsight: its layout, its teachers, and that it finds things."""

import numpy as np
import pytest
import torch
from torch import Tensor

from parrot_wrapper.errors import InvalidArgumentError, UnknownNameError
from parrot_wrapper.priors.encoders import KeypointEncoder, build_encoder
from parrot_wrapper.priors.encoders.cues import Cues, find_cues, hindsight_labels
from parrot_wrapper.priors.encoders.keypoints import SLOT
from parrot_wrapper.priors.encoders.teachers import DEFAULT_WEIGHTS, HORIZONS, PLACE
from parrot_wrapper.types import ObservationSpec
from tests.priors.moving_point import CONTROLS, point_data

SMALL = {"slots": 3, "channels": 8, "context": 8}
DATA = point_data(episodes=24, length=12, proprio=lambda place: np.zeros((len(place), 2)))
CUES = find_cues(DATA).to_dict()
PUSHED = point_data("drag", episodes=20)
"""Data that have something for every teacher."""
ALONE = [{name: float(name == only) for name in DEFAULT_WEIGHTS} for only in DEFAULT_WEIGHTS]
"""Weights with which one teacher is on."""


def make(side=32, *, cues=CUES, proprio: int = 0, **options) -> KeypointEncoder:
    sides = side if isinstance(side, tuple) else (side, side)
    spec = ObservationSpec(image=(*sides, 3), proprio=proprio)
    return build_encoder("keypoints", spec, {"cues": cues, **SMALL, **options}).train()


def drawn(encoder: KeypointEncoder, rows: int = 16, seed: int = 0, data=DATA) -> dict[str, Tensor]:
    taught = data.with_labels(encoder.labels(data))
    batch = taught.sample_pairs(rows, np.random.default_rng(seed))
    return {name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in batch.items()}


def losses(encoder: KeypointEncoder, batch: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    _, seen = encoder.training_features(batch)
    return encoder.auxiliary_losses(seen, batch, torch.Generator().manual_seed(seed))


def test_layout() -> None:
    encoder = make(proprio=2)
    batch = drawn(encoder)
    batch["proprio"] = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    encoder.initialise(batch)
    features, seen = encoder.training_features(batch)
    # a toggle has a state, now and later, and two of the kinds of keyframes, which tell of things
    hand, kinds, told = PLACE + 1 + len(HORIZONS), 3, 2
    assert features.shape == (16, encoder.feature_dim)
    assert encoder.feature_dim == hand + SLOT * (2 * kinds + told * SMALL["slots"]) + 2
    assert encoder.context(features).shape == (16, encoder.context_dim)
    assert torch.equal(encoder(batch), features)
    assert torch.equal(features[:, :hand], seen["hand"])
    slots = features[:, hand:-2].view(16, -1, SLOT)
    assert ((slots[:, :, 0] >= 0) & (slots[:, :, 0] <= 1)).all()
    torch.testing.assert_close(features[:, -2:].mean(0), torch.zeros(2))  # standardised
    assert seen["heat"].shape == (16, 64, kinds) and seen["attention"].shape == (16, 64)
    torch.testing.assert_close(seen["attention"].sum(1), torch.ones(16))
    labels = {key for key in batch if key.startswith("hindsight")}
    without = {key: part for key, part in batch.items() if key not in labels}
    assert len(labels) == 7 and torch.equal(encoder(without), features)
    assert encoder.auxiliary_losses(seen, without, torch.Generator()) == {}


def test_absent_slots_are_quiet() -> None:
    encoder = make(feature_noise=0.5)
    with torch.no_grad():  # nothing is anywhere
        encoder.appearance[2].weight[:3] = 0.0
        encoder.appearance[2].bias[:3] = -40.0
    features = encoder(drawn(encoder)).detach()
    start = PLACE + 1 + len(HORIZONS)
    assert features[:, start:].abs().max() < 1e-6
    features[:, start : start + SLOT] = 1.0  # but for one
    noisy = encoder.perturb(features, torch.Generator().manual_seed(0))
    assert torch.equal(noisy[:, start + SLOT :], features[:, start + SLOT :])
    assert torch.equal(noisy[:, start], features[:, start])  # presence itself gets no noise
    assert 0.3 < (noisy - features)[:, start + 1 : start + SLOT].std() < 0.8


def test_slots_of_a_kind_are_a_set() -> None:
    encoder = make(slots=5)
    with torch.no_grad():
        encoder.kind.normal_(generator=torch.Generator().manual_seed(0))
    features = encoder(drawn(encoder))
    start = encoder.feature_dim - 2 * 5 * SLOT
    slots = features[:, start:].detach().view(-1, 2, 5, SLOT).clone()

    def context(of_slots: Tensor) -> Tensor:
        return encoder.context(torch.cat((features[:, :start], of_slots.flatten(1)), dim=1))

    shuffled = slots[:, :, torch.tensor([3, 0, 4, 1, 2])]
    torch.testing.assert_close(context(shuffled), context(slots))
    slots[:, 1] = 0.0  # the kinds are not
    assert (context(slots.flip(1)) - context(slots)).abs().max() > 1e-2


def test_what_is_gone_to_and_where_it_is_put_share_no_slot() -> None:
    encoder = make(slots=2)
    _, seen = encoder.training_features(drawn(encoder))
    heat = torch.zeros_like(seen["heat"])
    heat[:, 20, 0] = heat[:, 43, 1] = 1.0  # two things that look alike
    seen = {**seen, "heat": heat, "code": torch.ones_like(seen["code"]) / 3**0.5}
    start = encoder.shared
    slots = encoder._slots(seen)[:, start:].view(-1, 2, 2, SLOT)
    relative = seen["place"] - seen["hand"][:, None, :PLACE]
    for kind, cell in ((0, 20), (1, 43)):
        present, place = slots[:, kind, :, :1], slots[:, kind, :, 1:]
        assert present.max() > 0.9
        expected = present * relative[:, cell, None]
        torch.testing.assert_close(place, expected, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("side", [4, 32, 48, 64, 84, 96, 128, 256, (33, 50), (97, 61)])
def test_images_of_any_size(side) -> None:
    encoder = make(side).eval()
    height, width = encoder.observation.image[:2]
    image = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8)
    features, seen = encoder.training_features({"image": image})
    assert features.shape == (2, encoder.feature_dim) and features.isfinite().all()
    assert seen["heat"].shape[1] <= 14 * 14
    last = image.clone()
    last[:, -1, -1] = 255 - last[:, -1, -1]
    assert not torch.equal(encoder({"image": last}), features)


@pytest.mark.parametrize("teachers", [{}, *ALONE], ids=["default", *DEFAULT_WEIGHTS])
def test_teachers_are_weighed_and_draw_from_the_generator(teachers) -> None:
    cues = find_cues(PUSHED).to_dict()
    encoder = make(cues=cues, teachers=teachers)
    batch = drawn(encoder, data=PUSHED)
    found = losses(encoder, batch)
    on = {name for name, weight in {**DEFAULT_WEIGHTS, **teachers}.items() if weight}
    assert set(found) == on | ({"centre"} if "odometry" in on else set())
    assert all(value.isfinite() and value.ndim == 0 for value in found.values())
    assert all(torch.equal(value, found[name]) for name, value in losses(encoder, batch).items())
    other = losses(encoder, batch, seed=1)
    assert {name for name in found if other[name] != found[name]} == on & {"contrast"}
    twice = {name: 2.0 * weight for name, weight in encoder.teachers.weights.items()}
    double = make(cues=cues, teachers=twice)
    double.load_state_dict(encoder.state_dict())
    for name in on:
        torch.testing.assert_close(losses(double, batch)[name], 2.0 * found[name])


@pytest.mark.parametrize("side", [32, 84])
def test_patterns_lie_over_images_in_training(side) -> None:
    encoder = make(side, patterns=0.2)
    image = torch.full((64, side, side, 3), 128, dtype=torch.uint8)
    obs = {"image": image, "action": torch.zeros(64, 1)}
    shown = encoder.augment(obs, torch.Generator().manual_seed(0))
    again = encoder.augment(obs, torch.Generator().manual_seed(0))
    assert torch.equal(shown["image"], again["image"]) and shown["action"] is obs["action"]
    assert shown["image"].shape == image.shape
    assert shown["image"].min() >= 0 and shown["image"].max() <= 255
    change = (shown["image"] - 128.0).flatten(1)
    by_image = change.std(dim=1) / 255
    assert by_image.max() > 4 * by_image.min() and 0.02 < by_image.mean() < 0.4
    assert change.mean().abs() < 0.02 * 255
    change = change.view(64, side, side, 3)
    beside = (change[:, 1:, 1:] * change[:, :-1, :-1]).mean()
    assert 0.1 < beside / change.square().mean() < 0.9  # squares, not pixels
    assert encoder.training_features(shown)[0].isfinite().all()
    plain = make(side, patterns=0.0)
    assert plain.augment(obs, torch.Generator()) is obs


def test_things_of_different_kinds_may_look_alike() -> None:
    encoder = make(teachers=ALONE[list(DEFAULT_WEIGHTS).index("contrast")])
    batch = drawn(encoder, 12)
    _, seen = encoder.training_features(batch)
    looks = torch.cat((torch.eye(3), -torch.eye(3))).repeat_interleave(2, dim=0)  # by episode
    heat = torch.zeros_like(seen["heat"])
    heat[:, 20, 0] = heat[:, 43, 1] = 1.0
    seen = {**seen, "heat": heat, "code": looks[:, None].expand_as(seen["code"])}
    found = encoder.auxiliary_losses(seen, batch, torch.Generator().manual_seed(0))
    assert found["contrast"] < 0.05  # two that had to differ would cost log 2 at least
    mixed = {**seen, "code": seen["code"][torch.randperm(12)]}
    assert encoder.auxiliary_losses(mixed, batch, torch.Generator())["contrast"] > 0.7


OF_THE_FLOW = {"token", "score", "pooled"}
"""Layers between features and a prior."""
REACHED = {
    "odometry": {"plane", "heads", "trunk", "stem", "teachers.gains"},
    "motion": {"heads", "trunk", "stem"},
    "toggle": {"hand", "heads", "trunk", "stem"},
    "keyframe": {
        "shift",
        "heads",
        "trunk",
        "stem",
        "appearance",
        "teachers.spread",
        "teachers.above",
        "meant",
    },
    "mass": {"appearance", "stem"},
    "contrast": {"appearance", "stem"},
    "horizon": {"appearance", "stem", "heads", "trunk", "hand", "shift", "teachers.readers"},
}
REACHED["soon"] = REACHED["speed"] = REACHED["toggle"]
REACHED["dynamics"] = REACHED["reconstruction"] = REACHED["horizon"]


@pytest.mark.parametrize("weights", ALONE, ids=DEFAULT_WEIGHTS)
def test_each_teacher_reaches_what_it_teaches(weights) -> None:
    encoder = make(cues=find_cues(PUSHED).to_dict(), teachers=weights)
    batch = drawn(encoder, 32, data=PUSHED)
    encoder.initialise(batch)
    sum(losses(encoder, batch).values()).backward()
    (only,) = (name for name, weight in weights.items() if weight)
    reached = {
        name
        for name, part in encoder.named_parameters()
        if part.grad is not None and part.grad.abs().sum() > 0
    }
    for part in REACHED[only]:
        assert any(name.startswith(part) for name in reached), part
    assert any(
        name.startswith("teachers.readers") for name in dict(encoder.named_parameters())
    ) == (only in ("horizon", "dynamics", "reconstruction"))


def test_who_is_near_learns_where_things_are_but_not_that_they_are_there() -> None:
    encoder = make(teachers={name: float(name == "keyframe") for name in DEFAULT_WEIGHTS})
    for factor, learned in ((1e-3, {False}), (1e3, {True})):
        batch = drawn(encoder, 32)
        batch["hindsight_way"] *= factor
        encoder.zero_grad()
        losses(encoder, batch)["keyframe"].backward()
        found = {bool(part.grad.any()) for part in encoder.appearance.parameters()}
        assert found == learned
        assert encoder.heads.weight.grad[:PLACE].any() and encoder.meant[0].weight.grad.any()


def test_together_they_reach_every_parameter() -> None:
    encoder = make(teachers=dict.fromkeys(DEFAULT_WEIGHTS, 1.0))
    batch = drawn(encoder, 32)
    encoder.initialise(batch)
    features, _ = encoder.training_features(batch)
    total = sum(losses(encoder, batch).values()) + encoder.context(features).square().mean()
    total.backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("teacher", ["horizon", "dynamics", "reconstruction"])
def test_what_features_must_tell_is_learned(teacher) -> None:
    encoder = make(teachers={name: float(name == teacher) for name in DEFAULT_WEIGHTS})
    batch = drawn(encoder, 64)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=1e-3)
    history = []
    for _ in range(120):
        loss = losses(encoder, batch)[teacher]
        history.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert history[-1] < 0.8 * history[0]


def test_ways_ahead_end_with_the_episode() -> None:
    cues = find_cues(DATA)
    labels = hindsight_labels(DATA, cues, HORIZONS)
    track, ahead = labels["hindsight_track"], labels["hindsight_ahead"]
    state, soon = labels["hindsight_toggle"], labels["hindsight_soon"]
    assert state.shape[1]
    first, last = int(DATA.obs_offsets[3]), int(DATA.obs_offsets[3] + DATA.lengths[3])
    for column, steps in enumerate(HORIZONS):
        for row in (first, first + 5, last):
            expected = track[min(row + steps, last)] - track[row]
            np.testing.assert_allclose(ahead[row, column], expected, atol=1e-6)
            assert (soon[row, column] == state[min(row + steps, last)]).all()


def test_without_cues_there_is_nothing_to_teach_of_places() -> None:
    encoder = make(cues=None)
    assert encoder.cues == Cues()
    assert set(losses(encoder, drawn(encoder))) == {"contrast"}


@pytest.mark.parametrize(
    ("teachers", "error"),
    [
        ({"keyframes": 1.0}, UnknownNameError),
        ({"odometry": -1.0}, InvalidArgumentError),
        ({"odometry": float("nan")}, InvalidArgumentError),
        ({"odometry": float("inf")}, InvalidArgumentError),
        ({"odometry": "1"}, InvalidArgumentError),
        ({"odometry": None}, InvalidArgumentError),
    ],
)
def test_bad_weights(teachers, error) -> None:
    with pytest.raises(error, match="teacher"):
        make(teachers=teachers)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("control", CONTROLS)
def test_what_moves_tells_where_cells_are(control, dark) -> None:
    """Before any training: how far apart in the image two places are, in each direction."""
    data = point_data(control, episodes=40)
    if dark:
        data.observations["image"] = 255 - data.observations["image"]
    cues = find_cues(data)
    encoder = make(cues=cues.to_dict())
    encoder.initialise(drawn(encoder, 1024, data=data))
    place = 8.0 * encoder.plane.detach()[1:3, :2].numpy()  # of x and of y
    unit = {"position": 1.0, "velocity": 5.0}.get(control, 10.0)
    expected = np.diag([unit / track.scale for track in cues.tracks])
    np.testing.assert_allclose(place, expected, atol=0.15 * expected.max())


def test_it_finds_the_hand() -> None:
    """From images and actions alone; a wrong sign or a wrong gain fails."""
    data, other = point_data(episodes=100), point_data(episodes=15, seed=5)
    encoder = make(cues=find_cues(data).to_dict(), channels=16)
    encoder.initialise(drawn(encoder, 1024, data=data))
    optimiser = torch.optim.Adam(encoder.parameters(), lr=2e-3)
    taught = data.with_labels(encoder.labels(data))
    for step in range(600):
        batch = taught.sample_pairs(32, np.random.default_rng(step))
        tensors = {name: torch.from_numpy(part) for name, part in batch.items()}
        optimiser.zero_grad()
        sum(losses(encoder, tensors, step).values()).backward()
        optimiser.step()
    with torch.no_grad():
        image = torch.from_numpy(other.observations["image"])
        _, seen = encoder.training_features({"image": image})
        hand = (seen["hand"][:, :PLACE] @ encoder.teachers.gains.T).numpy()
    track = encoder.labels(other)["hindsight_track"]
    rows = other.obs_offsets[:, None] + np.array([[2, 12]])
    moved, really = (np.diff(part[rows], axis=1) for part in (hand, track))
    assert np.square(moved - really).mean() < 0.1 * np.square(really).mean()
    # In all episodes alike: other things in sight shift it by as much in the whole of one.
    place = other.labels["place"]
    design = np.column_stack([hand, np.ones(len(hand))])
    off = place - design @ np.linalg.lstsq(design, place, rcond=None)[0]
    assert np.square(off).mean() < 0.02 * place.var()
