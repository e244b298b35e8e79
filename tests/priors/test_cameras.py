"""Several cameras: every encoder of one image serves them, one encoder for each."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.errors import (
    InvalidArgumentError,
    ParrotError,
    SpaceMismatchError,
    UntaughtWarning,
)
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, load_prior
from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.encoders import (
    ENCODERS,
    CamerasEncoder,
    Encoder,
    build_encoder,
    for_acting,
    parts_read,
)
from parrot_wrapper.priors.encoders.cameras import seen_by
from parrot_wrapper.priors.encoders.image_encoder import ImageEncoder
from parrot_wrapper.types import ObservationSpec
from tests.small_priors import KINDS, SIZES, data, fit, make_prior, observations

CAMERAS = {"observation.images.wrist": (40, 56, 1), "image_wrist": (32, 36, 3)}
TWO = ObservationSpec(image=(36, 32, 3), proprio=2, cameras={"image_wrist": (48, 32, 1)})
ODD = ObservationSpec(state=3, cameras=CAMERAS)
"""None of them is called "image"."""
OURS = [name for name in ENCODERS.names() if name not in ENCODERS.added()]
IMAGE_ENCODERS = [name for name in OURS if "image" in parts_read(name)]


class Marked(ImageEncoder):
    """The mean of an image, noise, a context of its own, and a loss of every kind of input."""

    name = "marked"

    def __init__(self, observation: ObservationSpec) -> None:
        super().__init__(observation, feature_dim=1 + observation.proprio, context_dim=3)
        self.scale = nn.Parameter(torch.rand(1))
        self.register_buffer("seen", torch.zeros(1))
        self.add_scales()

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        mean = obs["image"].to(self.dtype).flatten(1).mean(dim=1, keepdim=True)
        return self.join(self.scale * mean, obs)

    def augment(self, obs: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        shade = torch.rand(1, generator=generator)
        return {**obs, "image": obs["image"] * shade}

    def training_features(self, obs: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return self(obs), {"mean": obs["image"].float().mean()}

    def auxiliary_losses(
        self,
        intermediates: Mapping[str, Tensor],
        batch: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        assert set(batch) <= {"image", "proprio", "action", "progress"}
        again = (intermediates["mean"] - batch["image"].float().mean()).abs()
        return {"again": again, "scaled": self.scale.sum() * intermediates["mean"]}

    def context(self, features: Tensor) -> Tensor:
        return features[:, :1].expand(-1, 3) * self.scale

    def perturb(self, features: Tensor, generator: torch.Generator) -> Tensor:
        return features + torch.rand(features.shape, generator=generator)

    @torch.no_grad()
    def initialise(self, obs: Mapping[str, Tensor]) -> None:
        super().initialise(obs)
        self.seen.copy_(obs["image"].float().mean())


def tensors(spec: ObservationSpec, rows: int = 4) -> dict[str, Tensor]:
    return {name: torch.from_numpy(part) for name, part in observations(spec, rows).items()}


def test_each_camera_has_what_it_would_have_alone():
    encoder = build_encoder("marked", TWO, {})
    assert isinstance(encoder, CamerasEncoder) and encoder.name == "marked"
    obs = {**tensors(TWO), "action": torch.zeros(4, 1)}
    fixed, wrist = encoder.cameras
    views = [(fixed, {**obs, "image": obs["image"]}), (wrist, {**obs, "image": obs["image_wrist"]})]
    encoder.initialise(obs)
    assert fixed.seen.item() == obs["image"].float().mean() != wrist.seen
    assert fixed.scale.item() != wrist.scale.item()  # weights of its own
    features, intermediates = encoder.training_features(obs)
    alone = torch.cat([part(seen) for part, seen in views], dim=1)
    assert torch.equal(features, alone) and torch.equal(encoder(obs), alone)
    assert features.shape == (4, encoder.feature_dim) == (4, 2 * 3)
    halves = zip(encoder.cameras, features.chunk(2, dim=1), strict=True)
    context = torch.cat([part.context(own) for part, own in halves], dim=1)
    assert torch.equal(encoder.context(features), context)
    assert context.shape == (4, encoder.context_dim) == (4, 2 * 3)
    losses = encoder.auxiliary_losses(intermediates, obs, torch.Generator())
    names = [f"{camera}/{loss}" for camera in TWO.images for loss in ("again", "scaled")]
    assert list(losses) == names
    assert losses["image/again"] == losses["image_wrist/again"] == 0
    shown = encoder.augment(obs, torch.Generator().manual_seed(0))
    shades = [float(shown[name].max() / obs[name].max()) for name in TWO.images]
    assert 0 < shades[0] < 1 and 0 < shades[1] < 1 and shades[0] != shades[1]
    assert shown["action"] is obs["action"]
    noisy = encoder.perturb(features, torch.Generator().manual_seed(0)) - features
    assert (noisy > 0).all() and not torch.equal(noisy[:, :3], noisy[:, 3:])


def test_all_that_an_encoder_may_write_is_asked_of_each_camera():
    offered = {name for name, made in vars(Encoder).items() if callable(made) and name[0] != "_"}
    assert offered >= {"forward", "perturb"} and offered <= set(vars(CamerasEncoder))


@pytest.mark.parametrize("spec", [TWO, ODD], ids=["image and wrist", "other names"])
@pytest.mark.parametrize("name", IMAGE_ENCODERS)
def test_every_encoder_of_images_serves_several(name, spec):
    encoder = build_encoder(name, spec, SIZES.get(name, {})).eval()
    obs = tensors(spec)
    encoder.initialise(obs)
    with torch.no_grad():
        features = encoder(obs)
        acting = for_acting(encoder)
        torch.testing.assert_close(acting(obs), features, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(
            acting.context(features), encoder.context(features), atol=1e-4, rtol=1e-3
        )
        for camera in spec.images:
            other = {**obs, camera: 255 - obs[camera]}
            assert not torch.equal(encoder(other), features)  # each one is seen
    assert features.shape == (4, encoder.feature_dim)
    assert encoder.context(features).shape == (4, encoder.context_dim)
    encoder.train().requires_grad_()
    seen, intermediates = encoder.training_features(obs)
    encoder.perturb(seen, torch.Generator().manual_seed(0)).sum().backward()
    losses = encoder.auxiliary_losses(
        intermediates, {**obs, "action": torch.zeros(4, 1)}, torch.Generator()
    )
    assert all(name.rpartition("/")[0] in spec.images for name in losses)


@pytest.mark.parametrize("side", [32, 256])
@pytest.mark.parametrize("name", IMAGE_ENCODERS)
def test_the_smallest_and_the_largest_images(name, side):
    spec = ObservationSpec(image=(side, side, 3), cameras={"wrist": (32, 288 - side, 3)})
    encoder = build_encoder(name, spec, SIZES.get(name, {})).eval()
    with torch.no_grad():
        assert encoder(tensors(spec, 1)).shape == (1, encoder.feature_dim)


def test_options_of_one_camera():
    options = {**SIZES["convolutional"], "cameras": {"image_wrist": {"embedding": 3}}}
    encoder = build_encoder("convolutional", TWO, options)
    assert [part.feature_dim for part in encoder.cameras] == [8, 3]
    for wrong, words in (
        ({"cameras": {"wrist": {}}}, "Did you mean 'image_wrist'"),
        ({"cameras": {"image_wrist": {"chanels": 3}}}, "Did you mean 'channels'"),
        ({"cameras": 3}, "names of images to options"),
    ):
        with pytest.raises(ParrotError, match=words):
            build_encoder("convolutional", TWO, wrong)
    with pytest.raises(ParrotError, match="option of the convolutional encoder 'cameras'"):
        build_encoder("convolutional", ObservationSpec(image=(8, 8, 3)), options)


def test_what_is_of_one_camera_alone_goes_to_it():
    batch = {"image": 1, "image_wrist": 2, "proprio": 3, "image/mark": 4, "image_wrist/mark": 5}
    assert seen_by("image", batch, TWO) == {"image": 1, "proprio": 3, "mark": 4}
    assert seen_by("image_wrist", batch, TWO) == {"image": 2, "proprio": 3, "mark": 5}


def test_each_camera_has_cues_of_its_own_and_learns_from_them():
    """Actions that one camera tells of, and the other does not."""
    rng = np.random.default_rng(0)
    steps, episodes = 12, 30
    actions = rng.uniform(-0.9, 0.9, (episodes, steps, 1)).repeat(2, 2)
    places = np.pad(np.cumsum(actions[:, :, 0], axis=1), ((0, 0), (1, 0))).reshape(-1)
    image = np.zeros((len(places), 32, 32, 3), np.uint8)
    for row, place in enumerate(places):
        column = int(np.clip(16 + 3 * place, 1, 30))
        image[row, 12:20, column - 1 : column + 2] = 255
    blind = np.full_like(image, 90)
    blind[:, 0, 0] = rng.integers(0, 256, (len(image), 3))  # changes, and tells of nothing
    dataset = EpisodeDataset.from_arrays(
        {"image": blind, "image_wrist": image}, actions.reshape(-1, 2), [steps] * episodes
    )
    prior = FlowPrior.for_data(dataset, encoder="keypoints", hidden=8)
    options = prior.config.encoder_options["cameras"]
    assert options["image_wrist"]["cues"]["tracks"] and not options["image"]["cues"]["tracks"]
    assert set(prior.labels(dataset)) >= {"image/hindsight_way", "image_wrist/hindsight_way"}
    with pytest.warns(UntaughtWarning, match="^image: "):
        fit(prior, dataset)
    losses = prior.metadata["metrics"]["validation"]
    assert "image_wrist/keyframe" in losses and "image/keyframe" not in losses


def test_a_torch_module_serves_several():
    ENCODERS.add("four cells", lambda: nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()))
    encoder = build_encoder("four cells", TWO, {})
    assert encoder(tensors(TWO)).shape == (4, encoder.feature_dim) == (4, (12 + 2) + (4 + 2))
    assert not encoder.train().cameras[1].module.training


def test_an_encoder_may_take_all_images_itself():
    class Mean(ImageEncoder):
        name = "mean of all"
        several_images = True

        def __init__(self, observation: ObservationSpec) -> None:
            super().__init__(observation, feature_dim=len(observation.images))

        def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
            means = [obs[name].float().flatten(1).mean(1) for name in self.observation.images]
            return torch.stack(means, dim=1)

    encoder = build_encoder("mean of all", TWO, {})
    assert isinstance(encoder, Mean) and encoder(tensors(TWO)).shape == (4, 2)
    with pytest.raises(InvalidArgumentError, match="would not look at image_wrist"):
        Marked(TWO)
    with pytest.raises(InvalidArgumentError, match="no image"):
        build_encoder("state", ObservationSpec(state=2, cameras=TWO.cameras), {})


@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_of_several_cameras_is_trained_and_stored(kind, tmp_path):
    prior = make_prior(kind, "residual" if kind == "features" else "marked", TWO)
    dataset = data(TWO)
    fit(prior, dataset)
    prior.save(tmp_path / "prior")
    loaded = load_prior(tmp_path / "prior")
    assert loaded.observation_spec == TWO and loaded.encoder_digest == prior.encoder_digest
    obs = observations(TWO, 6, seed=3)
    np.testing.assert_array_equal(loaded.features(obs), prior.features(obs))
    if kind == "features":
        assert prior.reconstruct(obs, "image_wrist").shape == obs["image_wrist"].shape
    if prior.looks and kind != "features":
        found = set(prior.metadata["metrics"]["validation"])
        assert found >= {"image/again", "image_wrist/scaled"}


def test_the_config_of_one_image_is_written_as_ever():
    one = FlowPriorConfig(ObservationSpec(image=(48, 48, 3), proprio=2), 1).to_dict()
    assert one["observation"] == {"image": [48, 48, 3], "proprio": 2, "state": 0}
    two = FlowPriorConfig(TWO, 1)
    assert two.to_dict()["observation"]["cameras"] == {"image_wrist": [48, 32, 1]}
    assert FlowPriorConfig.from_dict(two.to_dict()) == two


@pytest.mark.parametrize(
    "cameras", [{"proprio": (8, 8, 3)}, {"action": (8, 8, 3)}, {"a": (8, 8)}, {"a": 3}]
)
def test_cameras_that_cannot_be(cameras):
    with pytest.raises(InvalidArgumentError, match="names of their own|three positive integers"):
        PriorConfig(ObservationSpec(cameras=cameras), 1)


def test_observations_that_do_not_fit_are_told():
    prior = FlowPrior(FlowPriorConfig(TWO, 1, encoder="marked", hidden=8))
    good = observations(TWO)
    for wrong, words in (
        ({"image_wrist": None}, "image_wrist: expected .* uint8, got none"),
        ({"image_wrist": good["image"]}, r"image_wrist: .*48, 32, 1.* got shape \(4, 36, 32, 3\)"),
        ({"image_wrist": good["image_wrist"] / 255}, "image_wrist: .*uint8, got .*float64"),
        ({"image_wrist": good["image_wrist"][:2]}, "different batch sizes"),
    ):
        obs = {name: part for name, part in {**good, **wrong}.items() if part is not None}
        with pytest.raises(SpaceMismatchError, match=words):
            prior.features(obs)
