"""Data that are larger than memory: windows of shards, from a disk or a storage by its URL."""

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

from parrot_wrapper.data import EpisodeDataset, load_dataset, save_dataset
from parrot_wrapper.data.streaming import ShardStream
from parrot_wrapper.errors import DataError, DataFileError, InvalidArgumentError


def numbered(n_episodes: int, steps: int = 4) -> EpisodeDataset:
    """Episodes whose states and actions tell which step of which episode they are."""
    states = np.arange(n_episodes * (steps + 1), dtype=np.float32)[:, None]
    actions = np.linspace(-1, 1, n_episodes * steps, dtype=np.float32)[:, None]
    return EpisodeDataset.from_arrays({"state": states}, actions, [steps] * n_episodes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_dataset(numbered(40), tmp_path / "data", episodes_per_shard=4)
    return tmp_path / "data"


def test_each_pass_goes_through_all_shards_in_an_order_of_its_own(folder: Path) -> None:
    stream = ShardStream(folder, window=3)
    windows = stream.windows(seed=1, rows=8)  # a shard has 16 steps, so it comes every second step
    begun = [[float(shard.actions[0, 0]) for shard in windows.at(step)] for step in range(60)]
    windows.close()
    assert all(len(set(window)) >= 2 for window in begun)
    assert begun[0] == begun[1] != begun[2]
    entered = [window[-1] for window in begun[::2]]
    passes = [entered[i + 8 : i + 18] for i in (0, 10)]  # the first window has three at once
    assert passes[0] != passes[1] and sorted(passes[0]) == sorted(passes[1])
    assert len(set(passes[0])) == 10
    later = stream.windows(seed=1, rows=8)
    assert [float(shard.actions[0, 0]) for shard in later.at(40)] == begun[40]
    later.close()


def test_it_is_the_data_set(folder: Path) -> None:
    whole = load_dataset(folder, n_episodes=38)
    stream = ShardStream(folder, window=40, n_episodes=38)
    assert (stream.n_episodes, stream.n_steps) == (38, whole.n_steps)
    assert stream.sample.content_hash == whole.content_hash
    assert stream.metadata == whole.metadata
    rest, held_out = stream.split(0.25, np.random.default_rng(0))
    assert held_out.n_episodes == 8 and len(rest.numbers) == 8
    found = [rest.changed(number) for number in rest.numbers]
    steps = np.concatenate([held_out.actions, *(shard.actions for shard in found)])
    assert np.array_equal(np.sort(steps, axis=0), whole.actions)
    row = held_out.gather(np.array([5]), np.array([2]))
    index = int(np.flatnonzero(whole.actions == row["action"])[0])
    assert whole.observations["state"][whole.observation_rows()[index]] == row["state"]
    assert ShardStream(folder, window=2).content_hash != stream.content_hash


def test_it_is_read_by_a_url(folder: Path) -> None:
    storage = fsspec.filesystem("memory")
    storage.put(str(folder), "/far/data", recursive=True)
    url = "memory://far/data"
    for known in (url, folder.as_uri(), Path(folder.as_uri())):
        assert load_dataset(known).content_hash == load_dataset(folder).content_hash
    stream = ShardStream(Path(url), window=2)  # the command line has paths
    assert stream.content_hash == ShardStream(folder, window=2).content_hash
    assert stream.changed(3).content_hash == ShardStream(folder).changed(3).content_hash
    storage.rm("/far/data/shard-000003.h5")
    with pytest.raises(DataFileError, match="memory://far/data/shard-000003.h5"):
        stream.changed(3)
    with pytest.raises(DataFileError, match="expected a data set folder"):
        load_dataset("memory://far/nothing")


class Refusing(http.server.BaseHTTPRequestHandler):
    """Storage that lets nobody in."""

    def do_GET(self) -> None:
        told = {"RemoteException": {"exception": "AccessControlException", "message": "no rights"}}
        self.send_response(403)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def refusing() -> Iterator[str]:
    pytest.importorskip("requests")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"webhdfs://127.0.0.1:{server.server_port}/data"
        server.shutdown()


def test_a_storage_without_rights_is_named(refusing: str) -> None:
    with pytest.raises(DataFileError, match=rf"{refusing}.*PermissionError.*rights"):
        ShardStream(refusing)
    with pytest.raises(DataFileError, match="nothing://data.*Check the URL"):
        load_dataset("nothing://data")


def test_what_cannot_be_streamed_is_refused(folder: Path, tmp_path: Path) -> None:
    save_dataset(numbered(4), tmp_path / "small", episodes_per_shard=4)
    with pytest.raises(DataError, match="two or more shards"):
        ShardStream(tmp_path / "small").split(0.5, np.random.default_rng(0))
    with pytest.raises(InvalidArgumentError, match="window >= 2"):
        ShardStream(folder, window=1)
    with pytest.raises(InvalidArgumentError, match=r"1 \.\.\. 40"):
        ShardStream(folder, n_episodes=41)
    (folder / "shard-000002.h5").write_bytes(b"")
    with pytest.raises(DataFileError, match="shard-000002"):
        replace(ShardStream(folder), window=2).changed(2)


MEMORY = """
import resource, sys
from parrot_wrapper.data.streaming import ShardStream
stream = ShardStream(sys.argv[1], window=2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
stream.sample
windows = stream.windows(seed=0, rows=16)
for step in range(100):
    windows.at(step)
windows.close()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_has_a_bound(tmp_path: Path) -> None:
    """40 shards of 4.4 MB; two windows of two and four more are allowed."""
    images = np.zeros((40 * 17, 300, 300, 3), np.uint8)
    actions = np.linspace(-1, 1, 40 * 16)[:, None]
    data = EpisodeDataset.from_arrays(images, actions, [16] * 40)
    save_dataset(data, tmp_path / "data", episodes_per_shard=1)
    script = [sys.executable, "-c", MEMORY, str(tmp_path / "data")]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    shard = images.nbytes / 40 / 1024
    assert int(done.stdout) < (2 * 2 + 4) * shard + 10_000 < images.nbytes / 1024 / 2
