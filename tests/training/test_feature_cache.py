"""Cached features: the encoder's own, found again, and never those of other data."""

import hashlib
import json

import numpy as np
import pytest

from parrot_wrapper.data import load_dataset, save_dataset
from parrot_wrapper.errors import DataError, DataFileError
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.types import ObservationSpec
from tests.training.toy_data import image_data, state_data


def conv_prior(seed: int = 0) -> FlowPrior:
    options = {"channels": 4, "hidden": 8, "embedding": 6}
    config = FlowPriorConfig(ObservationSpec(image=(8, 8, 3)), 3, "convolutional", options)
    return FlowPrior(config, seed=seed)


@pytest.fixture
def stored(tmp_path):
    save_dataset(image_data(), tmp_path / "data", episodes_per_shard=3)
    return tmp_path / "data"


def test_features_stand_in_place_of_observations(stored, tmp_path):
    prior, full = conv_prior(), load_dataset(stored)
    cache = FeatureCache(tmp_path / "cache", prior)
    made = cache.make(full, progress=False)
    expected = prior.features(full.observations["image"])
    assert made.observations["features"].dtype == np.float16
    np.testing.assert_allclose(made.observations["features"], expected, atol=1e-3)
    assert made.content_hash == full.content_hash
    ours = made.sample_pairs(8, np.random.default_rng(0))
    theirs = full.sample_pairs(8, np.random.default_rng(0))
    np.testing.assert_array_equal(ours["action"], theirs["action"])
    np.testing.assert_allclose(ours["features"], prior.features(theirs["image"]), atol=1e-3)


def test_they_are_found_without_the_images(stored, tmp_path):
    cache = FeatureCache(tmp_path / "cache", conv_prior())
    bare = load_dataset(stored, actions_only=True)
    assert cache.find(bare) is None
    made = cache.make(load_dataset(stored), progress=False)
    found = FeatureCache(tmp_path / "cache", conv_prior()).find(bare)
    assert isinstance(found.observations["features"], np.memmap)
    np.testing.assert_array_equal(found.observations["features"], made.observations["features"])
    # neither other data nor another encoder finds them
    assert cache.find(load_dataset(stored, n_episodes=5, actions_only=True)) is None
    assert FeatureCache(tmp_path / "cache", conv_prior(seed=1)).find(bare) is None
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


def test_only_one_process_computes_them(stored, tmp_path, monkeypatch):
    """Another one made them between the look into the cache and the lock."""
    cache, data = FeatureCache(tmp_path, conv_prior()), load_dataset(stored)
    cache.make(data, progress=False)
    monkeypatch.setattr(FeatureCache, "_write", None)
    assert cache.make(data, progress=False).content_hash == data.content_hash


def test_a_subset_gets_its_own_rows(tmp_path):
    prior, data = conv_prior(), image_data()
    subset = data.subset([5, 2])
    made = FeatureCache(None, prior).make(subset, progress=False)
    for index in range(2):
        images = subset.episode(index).observations["image"]
        found = made.episode(index).observations["features"]
        np.testing.assert_allclose(found, prior.features(images), atol=1e-3)


def test_damage_is_told(stored, tmp_path):
    cache = FeatureCache(tmp_path, conv_prior())
    data = load_dataset(stored)
    cache.make(data, progress=False)
    [path] = tmp_path.glob("*.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    with pytest.raises(DataFileError, match=r"damaged .*; delete it and try again"):
        cache.find(data)
    np.save(path, np.zeros((3, 6), np.float16))
    with pytest.raises(DataFileError, match="damaged .*SHA-256"):
        cache.find(data)
    sidecar = path.with_suffix(".json")
    sidecar.write_text(json.dumps({"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
    with pytest.raises(DataFileError, match=r"expected features \(40, 6\).*found \(3, 6\)"):
        cache.find(data)
    path.unlink()
    assert cache.find(data) is None
    assert cache.make(data, progress=False).content_hash == data.content_hash
    sidecar.write_text("{")
    with pytest.raises(DataFileError, match=r"json: damaged"):
        cache.find(data)


def test_other_observations_are_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"image: the prior expects \(8, 8, 3\), the data have none"
    ):
        FeatureCache(tmp_path, conv_prior()).make(state_data(), progress=False)
    assert not list(tmp_path.iterdir())
