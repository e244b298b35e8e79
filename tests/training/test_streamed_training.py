"""Priors that are trained on data larger than memory, and two parts that are not done again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.data import EpisodeDataset, save_dataset
from parrot_wrapper.data.streaming import ShardStream, Windows
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors import FlowPrior, load_prior
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.training.prior import fit_prior
from tests.training.test_prior_training import (
    QUICK,
    same_weights,
    state_data,
    state_prior,
    without_seconds,
)
from tests.training.test_train_prior_kinds import FEW

TWO_PARTS = replace(QUICK, sight_share=0.5)


@pytest.fixture
def states(tmp_path: Path) -> Path:
    save_dataset(state_data(), tmp_path / "states", episodes_per_shard=2)
    return tmp_path / "states"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A square that goes where actions say, in 12 shards of two episodes, one of them short."""
    rng = np.random.default_rng(0)
    lengths = [6, 2] * 12
    image = np.full((sum(lengths) + 24, 16, 16, 3), 40, np.uint8)
    action = rng.uniform(-1, 1, (sum(lengths), 2)).astype(np.float32)
    row = 0
    for start, length in zip(np.cumsum(lengths) - lengths, lengths, strict=True):
        place = np.cumsum([[8, 8], *(2 * action[start : start + length])], axis=0)
        for x, y in place.clip(0, 13).astype(int):
            image[row, y : y + 3, x : x + 3] = 230
            row += 1
    save_dataset(
        EpisodeDataset.from_arrays(image, action, lengths),
        tmp_path / "images",
        episodes_per_shard=2,
    )
    return tmp_path / "images"


def test_a_resumed_run_equals_an_unbroken_one(
    states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken, fresh = state_prior(), state_prior()
    expected = fit_prior(unbroken, ShardStream(states, window=3), QUICK, progress=False)
    at = Windows.at

    def interrupted(windows: Windows, step: int) -> list[EpisodeDataset]:
        if step == 9:
            raise KeyboardInterrupt
        return at(windows, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Windows, "at", interrupted)
        stream = ShardStream(states, window=3)
        fit_prior(state_prior(), stream, QUICK, run_folder=tmp_path / "run", progress=False)
    stream = ShardStream(states, window=3)
    report = fit_prior(fresh, stream, QUICK, run_folder=tmp_path / "run", progress=False)
    assert same_weights(unbroken, fresh)
    assert without_seconds(report.history) == without_seconds(expected.history)
    assert fresh.metadata["data"]["episodes"] == 20


def test_what_is_all_in_the_window_is_learned_like_data_in_memory(states: Path) -> None:
    settings = replace(QUICK, steps=400, batch_size=64, learning_rate=3e-3, validate_every=100)
    data = state_data(episodes=200)
    save_dataset(data, states / "more", episodes_per_shard=10)
    ways = (ShardStream(states / "more", window=4), data)
    found = [fit_prior(state_prior(), way, settings, progress=False).validation_nll for way in ways]
    assert found[0] == pytest.approx(found[1], abs=0.3)
    assert found[0] < 0.5


@pytest.mark.parametrize("ours", [True, False], ids=["keypoints", "convolutional"])
def test_features_of_a_stream_are_kept_by_shard(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: bool
) -> None:
    stream = ShardStream(images, window=4)
    encoder = {} if ours else {"encoder": "convolutional"}
    prior = FlowPrior.for_data(stream.sample, **encoder)
    report = fit_prior(prior, stream, TWO_PARTS, run_folder=tmp_path / "run", progress=False)
    assert len(list((tmp_path / "run" / "sight").glob("features-*.npy"))) == 12
    again = FlowPrior.for_data(stream.sample, **encoder)
    for kind, name in ((FlowPrior, "labels"), (FeatureCache, "make"), (ShardStream, "windows")):
        monkeypatch.setattr(kind, name, None)  # would fail if anything were made again
    stream = ShardStream(images, window=4)
    second = fit_prior(again, stream, TWO_PARTS, run_folder=tmp_path / "run", progress=False)
    assert second == report and same_weights(prior, again)


def test_two_parts_in_memory_are_not_made_again(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from parrot_wrapper.data import load_dataset

    data = load_dataset(images)
    first = FlowPrior.for_data(data)
    report = fit_prior(first, data, TWO_PARTS, run_folder=tmp_path / "run", progress=False)
    again = FlowPrior.for_data(data)
    for kind, name in ((FlowPrior, "labels"), (FlowPrior, "gaps"), (FeatureCache, "make")):
        monkeypatch.setattr(kind, name, None)
    assert report == fit_prior(again, data, TWO_PARTS, run_folder=tmp_path / "run", progress=False)
    assert same_weights(first, again)


def test_features_of_a_stream_need_a_folder(images: Path) -> None:
    stream = ShardStream(images, window=2)
    prior = FlowPrior.for_data(stream.sample, encoder="convolutional")
    with pytest.raises(InvalidArgumentError, match="run_folder for the features"):
        fit_prior(prior, stream, TWO_PARTS, progress=False)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("flow", ()),
        ("cvae", ()),
        ("trajectory", ("--horizon", "3")),
        ("chunk", ("--horizon", "3")),
        ("memory", ("--encoder", "convolutional")),
        ("bc", ()),
        ("features", ()),
    ],
)
def test_every_kind_reads_a_window(
    images: Path, tmp_path: Path, kind: str, more: tuple[str, ...]
) -> None:
    places = ["--data", str(images), "--out", str(tmp_path / kind), "--shards", "3"]
    assert main(["train-prior", "--kind", kind, *places, *FEW, *more]) == 0
    assert main(["train-prior", "--kind", kind, *places, *FEW, *more]) == 0  # and again


def test_a_shared_encoder_reads_a_window(images: Path, tmp_path: Path) -> None:
    shared = FlowPrior.for_data(ShardStream(images).sample, encoder="convolutional")
    shared.save(tmp_path / "shared")
    for kind in ("cvae", "trajectory"):
        places = ["--data", str(images), "--out", str(tmp_path / kind), "--shards", "3"]
        sharing = ["--encoder-of", str(tmp_path / "shared"), "--cache", str(tmp_path / "cache")]
        assert main(["train-prior", "--kind", kind, *places, *sharing, *FEW]) == 0
        facts = load_prior(tmp_path / kind).metadata
        assert facts["encoder"]["sha256"] == shared.encoder_digest
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 12
