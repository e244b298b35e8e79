"""Priors to and from the Hub, without a network: its client, and a cache as it makes it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from parrot_wrapper.errors import CheckpointError
from parrot_wrapper.priors.hub import from_pretrained, model_card, push_to_hub
from tests.small_priors import make_prior, observations

huggingface_hub = pytest.importorskip("huggingface_hub")
REPO, COMMIT = "somebody/reaching", "0" * 40


@pytest.fixture
def prior():
    made = make_prior("flow", "state")
    made.set_metadata({"env_id": "Reach-v0", "data": {"episodes": 20}})
    return made


@pytest.fixture
def uploaded(prior, tmp_path, monkeypatch):
    """What the client was asked to upload, in the layout of its cache."""
    cache = tmp_path / "cache"
    repo = cache / "models--somebody--reaching"

    def upload(self, *, repo_id, folder_path):
        assert (repo_id, self.token) == (REPO, "secret")
        shutil.copytree(folder_path, repo / "snapshots" / COMMIT)
        (repo / "refs").mkdir()
        (repo / "refs" / "main").write_text(COMMIT)
        return "https://huggingface.co/commit"

    made = []
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "create_repo", lambda self, name, **how: made.append((name, how))
    )
    address = push_to_hub(prior, REPO, license="mit", token="secret")
    assert address == "https://huggingface.co/commit"
    assert made == [(REPO, {"private": True, "exist_ok": True})]
    return cache


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_from_the_cache_and_from_a_folder_it_is_the_same(prior, uploaded, offline):
    seen = observations(prior.observation_spec)["state"]
    expected = prior.decode(np.ones((4, 1), np.float32), seen)
    snapshot = uploaded / "models--somebody--reaching" / "snapshots" / COMMIT
    for again in (
        from_pretrained(REPO, cache_dir=uploaded),
        from_pretrained(REPO, cache_dir=uploaded, revision=COMMIT),
        from_pretrained(snapshot),
    ):
        np.testing.assert_array_equal(again.decode(np.ones((4, 1), np.float32), seen), expected)
        assert again.metadata == prior.metadata


def test_the_card_has_the_metadata_and_how_to_use_it(prior, uploaded):
    names = {path.name for path in uploaded.rglob("*") if path.is_file()} - {"main"}
    assert names == {"README.md", "prior.json", "weights.safetensors"}
    [card] = [path.read_text() for path in uploaded.rglob("README.md")]
    assert card == model_card(prior, REPO, license="mit")
    data = huggingface_hub.ModelCard(card).data
    assert (data.license, data.library_name, data.tags[1]) == ("mit", "parrot-wrapper", "flow")
    told = json.loads(card.partition("```json")[2].partition("```")[0])
    assert told == prior.metadata


def test_what_is_not_there_or_damaged_is_told(uploaded, offline, tmp_path):
    with pytest.raises(CheckpointError, match="somebody/else: expected a folder, or a prior on"):
        from_pretrained("somebody/else", cache_dir=uploaded)
    with pytest.raises(CheckpointError, match="no such name: expected"):
        from_pretrained("no such name", cache_dir=uploaded)
    [weights] = uploaded.rglob("weights.safetensors")
    Path(weights).write_bytes(b"spoilt")
    with pytest.raises(CheckpointError, match="truncated"):
        from_pretrained(REPO, cache_dir=uploaded)
