"""On disk: bit-exact round trips, and every torn, altered, foreign or newer file is refused."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parrot_wrapper.data import EpisodeDataset, load_dataset, save_dataset
from parrot_wrapper.data.shards import write_shard
from parrot_wrapper.errors import DataError, DataFileError, InvalidArgumentError
from parrot_wrapper.io.strict_json import sealed


def random_dataset(lengths, seed: int = 0, labels: bool = True) -> EpisodeDataset:
    rng = np.random.default_rng(seed)
    n_steps, rows = sum(lengths), sum(lengths) + len(lengths)
    return EpisodeDataset.from_arrays(
        {
            "image": rng.integers(0, 256, (rows, 5, 4, 3), dtype=np.uint8),
            "proprio": rng.normal(size=(rows, 3)),
        },
        rng.uniform(-1, 1, (n_steps, 2)),
        lengths,
        rewards=rng.normal(size=n_steps),
        success=rng.random(len(lengths)) < 0.5,
        seeds=np.arange(len(lengths)),
        labels={"landmarks": rng.normal(size=(rows, 2, 3))} if labels else None,
        metadata={"note": "hand-made"},
    )


def assert_equal(left: EpisodeDataset, right: EpisodeDataset) -> None:
    assert left.n_episodes == right.n_episodes
    for index in range(left.n_episodes):
        assert left.episode(index).digest() == right.episode(index).digest()
    assert left.content_hash == right.content_hash


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    save_dataset(random_dataset([3, 1, 5, 2, 4]), tmp_path, episodes_per_shard=2)
    return tmp_path


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=9),
    per_shard=st.integers(1, 4),
    labels=st.booleans(),
    data=st.data(),
)
def test_round_trip(tmp_path_factory, lengths, per_shard, labels, data) -> None:
    folder = tmp_path_factory.mktemp("data")
    original = random_dataset([2, *lengths], labels=labels)
    save_dataset(original, folder, episodes_per_shard=per_shard)
    loaded = load_dataset(folder)
    assert_equal(loaded, original)
    assert loaded.metadata["note"] == "hand-made"
    np.testing.assert_array_equal(loaded.action_bounds, original.action_bounds)
    first = data.draw(st.integers(1, original.n_episodes))
    assert_equal(load_dataset(folder, n_episodes=first), original.subset(range(first)))


def test_stored_digests_are_the_content(stored: Path) -> None:
    loaded = load_dataset(stored)
    from_disk = loaded.content_hash
    loaded.digests = None
    assert loaded.content_hash == from_disk


def test_empty_shards_are_passed_over(tmp_path: Path) -> None:
    data = random_dataset([3, 2])
    save_dataset(data, tmp_path / "whole")
    (tmp_path / "gaps").mkdir()
    manifest = (tmp_path / "whole/dataset.json").read_text()
    (tmp_path / "gaps/dataset.json").write_text(manifest)
    for index, episodes in enumerate([[], [data.episode(0)], [], [data.episode(1)]]):
        write_shard(tmp_path / "gaps", index, episodes, attempts=4)
    assert_equal(load_dataset(tmp_path / "gaps"), data)


@pytest.mark.parametrize("wanted", [0, 6])
def test_number_of_episodes_is_checked(stored: Path, wanted: int) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"1 \.\.\. 5 .*got {wanted}"):
        load_dataset(stored, n_episodes=wanted)


@pytest.mark.parametrize("keep", [0, 100, -50])
def test_truncated_shard(stored: Path, keep: int) -> None:
    path = stored / "shard-000001.h5"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataFileError, match=r"shard-000001\.h5: truncated"):
        load_dataset(stored)
    assert load_dataset(stored, n_episodes=2).n_episodes == 2  # what is whole can still be read


def test_every_altered_byte_is_seen(stored: Path) -> None:
    path = stored / "shard-000000.h5"
    content = path.read_bytes()
    for position in np.random.default_rng(0).integers(len(content), size=25):
        altered = bytearray(content)
        altered[position] ^= 1
        path.write_bytes(altered)
        with pytest.raises(DataFileError, match=r"shard-000000\.h5: truncated or altered"):
            load_dataset(stored)


def test_swapped_shards_are_refused(stored: Path) -> None:
    for suffix in ("h5", "json"):
        first, second = (stored / f"shard-00000{i}.{suffix}" for i in (0, 1))
        first.rename(stored / "spare")
        second.rename(first)
        (stored / "spare").rename(second)
    with pytest.raises(DataFileError, match=r"shard-000000\.json: altered, or renamed"):
        load_dataset(stored)


def test_foreign_h5_is_refused(stored: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("other")
    save_dataset(random_dataset([3, 1], labels=False), other)
    (stored / "shard-000001.h5").write_bytes((other / "shard-000000.h5").read_bytes())
    with pytest.raises(DataFileError, match=r"shard-000001\.h5"):
        load_dataset(stored)


@pytest.mark.parametrize("name", ["dataset.json", "shard-000001.json"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.update(format_version=2),
            "format version 2 is newer than 1.*upgrade",
        ),
        (lambda c: c.update(format_version="1"), "format_version of 1 or more, found '1'"),
        (lambda c: c.update(format="minari"), "expected format 'parrot-.*foreign 'minari'"),
        (lambda c: c.update(surprise=1), "surprise|altered"),
        (lambda c: c.clear(), "found a foreign None"),
    ],
)
def test_json_of_other_kinds(stored: Path, name, change, message) -> None:
    content = json.loads((stored / name).read_text())
    change(content)
    (stored / name).write_text(json.dumps(content))
    with pytest.raises(DataFileError, match=message) as caught:
        load_dataset(stored)
    assert name in str(caught.value)


@pytest.mark.parametrize("text", ["", '{"format": "parrot', "[1, 2]", "\x00\x01"])
def test_json_that_is_torn(stored: Path, text: str) -> None:
    (stored / "dataset.json").write_text(text)
    with pytest.raises(DataFileError, match=r"dataset\.json"):
        load_dataset(stored)


@pytest.mark.parametrize(
    "change",
    [{"lengths": [3, "a"]}, {"lengths": 3}, {"attempts": 1}, {"sha256": None}, {"lengths": [0, 1]}],
)
def test_altered_sidecar(stored: Path, change) -> None:
    path = stored / "shard-000000.json"
    content = {**json.loads(path.read_text()), **change}
    for write in (rewrite, lambda path, content: path.write_text(json.dumps(content))):
        write(path, content)
        with pytest.raises(DataFileError, match=r"shard-000000\.json: altered"):
            load_dataset(stored)


def test_files_from_before_there_were_seals_are_read(stored: Path) -> None:
    for name in ("dataset.json", "shard-000000.json", "shard-000001.json"):
        content = json.loads((stored / name).read_text())
        assert content.pop("seal")
        (stored / name).write_text(json.dumps(content))
    assert load_dataset(stored).n_episodes == 5


def rewrite(path: Path, content: dict[str, Any]) -> None:
    """Write JSON as someone would who seals what was altered."""
    path.write_text(json.dumps(sealed(content)))


def test_lengths_that_do_not_fit_the_arrays(stored: Path) -> None:
    path = stored / "shard-000000.json"
    rewrite(path, {**json.loads(path.read_text()), "lengths": [3, 2]})
    with pytest.raises(DataFileError, match=r"shard-000000\.h5"):
        load_dataset(stored)


def test_missing_files(stored: Path) -> None:
    with pytest.raises(DataFileError, match=r"dataset\.json, found none"):
        load_dataset(stored / "nowhere")
    (stored / "shard-000001.json").unlink()
    with pytest.raises(DataFileError, match=r"expected 5 episodes, got 2 .*shard-000001\.h5"):
        load_dataset(stored)
    (stored / "shard-000000.h5").unlink()
    with pytest.raises(DataFileError, match=r"shard-000000\.h5: cannot be read"):
        load_dataset(stored, n_episodes=2)


def test_action_box_must_fit(stored: Path) -> None:
    content = json.loads((stored / "dataset.json").read_text())
    content["facts"]["spaces"]["action"]["low"] = [-1.0]
    rewrite(stored / "dataset.json", content)
    with pytest.raises(DataFileError, match=r"action box of 2 dimensions.*\(1,\), \(2,\)"):
        load_dataset(stored)
    del content["facts"]["spaces"]
    rewrite(stored / "dataset.json", content)
    with pytest.raises(DataFileError, match=r"facts\.spaces\.action"):
        load_dataset(stored)


def test_save_refuses_to_mix_and_to_write_half(stored: Path, tmp_path_factory) -> None:
    with pytest.raises(DataFileError, match="without a data set"):
        save_dataset(random_dataset([2]), stored)
    data = random_dataset([2])
    data.metadata["function"] = len
    folder = tmp_path_factory.mktemp("new")
    with pytest.raises(DataError, match="JSON-able"):
        save_dataset(data, folder)
    assert os.listdir(folder) == []


def test_actions_alone(stored: Path) -> None:
    whole, bare = load_dataset(stored), load_dataset(stored, actions_only=True)
    assert bare.observations == bare.labels == {}
    np.testing.assert_array_equal(bare.actions, whole.actions)
    assert bare.content_hash == whole.content_hash
    assert bare.action_bounds[0].tolist() == whole.action_bounds[0].tolist()
