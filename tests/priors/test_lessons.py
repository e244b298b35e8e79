"""What data teach and lack is said at the start of training: no prior looks fine and is blind."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from parrot_wrapper.cli.train_prior import _remarks
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import DataError, InvalidArgumentError, UntaughtWarning
from parrot_wrapper.priors import FlowPrior
from parrot_wrapper.priors.encoders.cues import Cues, Toggle, Track, find_cues, hindsight_labels
from parrot_wrapper.priors.encoders.lessons import lessons
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from tests.priors.moving_point import point_data

QUICK = PriorTrainingConfig(
    steps=2, batch_size=8, warmup_steps=1, validation_batches=1, threads=1, device="cpu",
    precision="float32",
)  # fmt: skip
SMALL = {"slots": 2, "channels": 8, "context": 8}


def prior_for(data: EpisodeDataset, encoder: str = "keypoints", **options) -> FlowPrior:
    own = {"encoder_options": SMALL} if encoder == "keypoints" else {}
    return FlowPrior.for_data(data, encoder=encoder, hidden=8, **own, **options)


def changed(data: EpisodeDataset, **arrays) -> EpisodeDataset:
    """The data with other observations or actions."""
    actions = arrays.pop("actions", data.actions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return EpisodeDataset.from_arrays(
            {**data.observations, **arrays}, actions, data.lengths,
            action_low=-2.0, action_high=2.0,
        )  # fmt: skip


DATA = point_data(episodes=20, length=16)
IMAGES = DATA.observations["image"]


@pytest.mark.parametrize("encoder", ["keypoints", "convolutional"])
@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"image": np.full_like(IMAGES, 70)}, "images that differ under 'image'"),
        ({"image_wrist": np.zeros_like(IMAGES)}, "images that differ under 'image_wrist'"),
        ({"actions": np.full_like(DATA.actions, 0.3)}, "actions that differ"),
    ],
)
def test_what_never_changes_teaches_nothing(encoder, arrays, words, tmp_path):
    data = changed(DATA, **arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntaughtWarning)
        with pytest.raises(DataError, match=words):
            fit_prior(prior_for(data, encoder), data, QUICK, run_folder=tmp_path, progress=False)
    assert not list(tmp_path.glob("*.safetensors"))


def test_an_image_that_is_not_looked_at_may_stay_as_it_is():
    data = changed(DATA, image_wrist=np.zeros_like(IMAGES))
    prior = prior_for(data, image_keys=("image",))
    with pytest.warns(UserWarning, match="Not looked at"):
        assert fit_prior(prior, data, QUICK, progress=False).steps == 2


def test_one_episode():
    data = DATA.subset([3])
    assert find_cues(data).tracks == ()
    with pytest.raises(DataError, match="two or more episodes"):
        fit_prior(prior_for(data), data, QUICK, progress=False)


def moved_cameras() -> EpisodeDataset:
    """Each episode before another background."""
    rng, rows = np.random.default_rng(0), len(IMAGES) // 20
    walls = rng.integers(0, 256, (20, 1, *IMAGES.shape[1:])).repeat(rows, axis=1)
    walls = np.sort(walls.reshape(IMAGES.shape), axis=1)  # not of one mean colour
    point = np.abs(IMAGES.astype(int) - 60).sum(axis=3, keepdims=True) > 90
    return changed(DATA, image=np.where(point, IMAGES, walls).astype(np.uint8))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: point_data(episodes=20, blind=True), "tell of no action"),
        (lambda: changed(DATA, actions=np.random.default_rng(0).normal(size=DATA.actions.shape)),
         "tell of no action"),
        (lambda: point_data(episodes=200, length=1), "tell of no action|way to a keyframe"),
        (moved_cameras, "differs from one episode to the next"),
    ],
    ids=["noise for images", "noise for actions", "single steps", "another camera each"],
)  # fmt: skip
def test_gaps_are_warned_of(make, words):
    data = make()
    prior = prior_for(data)
    with pytest.warns(UntaughtWarning, match=words):
        fit_prior(prior, data, QUICK, progress=False)


def test_what_teaches_is_said_once_and_kept(tmp_path):
    cues = Cues(
        (Toggle(6, -0.4, 0.4),),
        (*(Track("action", dim, 1, 1.0, told) for dim, told in enumerate((0.69, 0.91, 0.64))),),
    )
    seven = changed(DATA, actions=np.random.default_rng(0).normal(size=(len(DATA.actions), 7)))
    assert lessons(cues, seven) == (
        "keyframes by action 6 and by rest; odometry by actions 0, 1, 2 (velocities; images tell "
        "0.69, 0.91, 0.64 of them); not told by the images: actions 3, 4, 5"
    )
    mixed = replace(cues, tracks=(cues.tracks[0], replace(cues.tracks[1], order=0)))
    assert "action 0 (velocities; images tell 0.69 of it); odometry by action 1 (pos" in lessons(
        mixed, seven
    )
    own = replace(cues, tracks=(Track("proprio", 2, 0, 1.0, 0.5),))
    assert lessons(own, seven).endswith("odometry by proprio 2 (images tell 0.50 of it)")
    assert lessons(Cues(), DATA.subset([0])).startswith("not told by the images: actions 0, 1, 2")

    prior = prior_for(DATA)
    (line,) = prior.lessons(DATA)
    assert line == lessons(prior.encoder.cues, DATA) and "odometry by actions 0, 1" in line
    told = [remark for remark in _remarks(prior, DATA, QUICK) if line in remark]
    assert len(told) == 1
    fit_prior(prior, DATA, QUICK, progress=False)
    assert prior.metadata["taught"] == [line]

    two = changed(DATA, image_wrist=IMAGES[:, ::-1])
    cameras = prior_for(two).lessons(two)
    assert [line.split(":")[0] for line in cameras] == ["image", "image_wrist"]
    features = FeatureCache(tmp_path, prior).make(DATA, progress=False)
    assert prior.lessons(features) == prior.gaps(features) == []
    other = prior_for(DATA, "convolutional")
    fit_prior(other, DATA, QUICK, progress=False)
    assert "taught" not in other.metadata


def test_labels_of_data_that_lack_what_it_was_taught_by():
    cues = Cues((Toggle(9, 0.0, 1.0),), (Track("proprio", 0, 0, 1.0, 0.9),))
    with pytest.raises(DataError, match="action 9, proprio 0"):
        hindsight_labels(DATA, cues)
    prior = prior_for(point_data(episodes=20, proprio=lambda place: place), proprio=False)
    with pytest.raises(DataError, match="proprio 0"):
        fit_prior(prior, DATA, QUICK, progress=False)


def test_no_image_at_all():
    data = EpisodeDataset.from_arrays({"state": np.eye(6)}, np.eye(4)[:, :1], [2, 2])
    with pytest.raises(InvalidArgumentError, match="image"):
        FlowPrior.for_data(data, encoder="keypoints")
