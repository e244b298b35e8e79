"""Collections do not depend on workers, order or kills, and never mix settings."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from parrot_wrapper.data import load_dataset
from parrot_wrapper.data.storage import read_manifest
from parrot_wrapper.errors import (
    DataError,
    DataFileError,
    InvalidArgumentError,
    MissingExtraError,
)
from parrot_wrapper.io.strict_json import sealed
from parrot_wrapper.record.collect import ExpertSource, collect, record_episode
from tests.expert_env import ENV_ID
from tests.helpers import wait_for

ROOT = Path(__file__).parents[1]


def source(**changes) -> ExpertSource:
    fields = {
        "env_id": ENV_ID,
        "env_kwargs": {},
        "gym_packages": ("tests.expert_env",),
        "shard_attempts": 8,
        "base_seed": 100,
    }
    return ExpertSource(**{**fields, **changes})


def run(folder: Path, n_episodes: int, workers: int = 1, **changes):
    return collect(
        source(**changes), n_episodes=n_episodes, folder=folder, workers=workers, progress=False
    )


@pytest.fixture(scope="module")
def collected(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("collected") / "data"
    report = run(folder, 30)
    assert report.n_episodes == 30 <= report.kept < report.attempts
    assert 0.2 < report.keep_rate < 0.9
    return folder


def test_data_set_describes_itself(collected: Path) -> None:
    data = load_dataset(collected)
    facts, settings = data.metadata, data.metadata["settings"]
    assert settings["env_id"] == ENV_ID
    assert settings["camera"] == {"renderer": "dots", "eye": [0.0, 1.0]}
    assert (settings["noise"], settings["base_seed"]) == (0.1, 100)
    assert facts["labels"]["goal"] == {"shape": [2], "dtype": "float32"}
    assert facts["spaces"]["observation"] == {"image": {"shape": [6, 5, 3], "dtype": "uint8"}}
    assert facts["max_episode_steps"] == 8
    assert {"gymnasium", "numpy", "parrot-wrapper"} <= set(facts["versions"])
    counts = facts["counts"]
    assert counts["attempts"] % 8 == 0
    assert counts["kept"] >= 30


def test_kept_episodes_can_be_replayed_from_their_seeds(collected: Path) -> None:
    data = load_dataset(collected)
    env = gym.make(ENV_ID)
    kept = {}
    for seed in range(100, int(data.seeds.max()) + 1):
        episode, keep = record_episode(env, seed)
        if keep:
            kept[seed] = episode
    assert list(kept) == data.seeds.tolist()
    assert len({e.n_steps for e in kept.values()}) > 1
    for index, seed in enumerate(data.seeds):
        replayed, stored = kept[int(seed)], data.episode(index)
        np.testing.assert_array_equal(replayed.actions, stored.actions)
        np.testing.assert_array_equal(replayed.observations["image"], stored.observations["image"])
        np.testing.assert_array_equal(replayed.labels["goal"], stored.labels["goal"])


def test_workers_do_not_import_torch(collected: Path) -> None:
    assert not load_dataset(collected).labels["torch"].any()


def test_more_workers_and_stages_give_the_same_data(collected: Path, tmp_path: Path) -> None:
    run(tmp_path, 7, workers=2)
    assert load_dataset(tmp_path).n_episodes == 7
    untouched = (tmp_path / "shard-000000.h5").stat().st_mtime_ns
    (tmp_path / ".shard-000009.h5.abc.partial").write_bytes(b"half")
    run(tmp_path, 30, workers=2)
    assert load_dataset(tmp_path).content_hash == load_dataset(collected).content_hash
    assert (tmp_path / "shard-000000.h5").stat().st_mtime_ns == untouched
    assert not list(tmp_path.glob(".*.partial"))
    run(tmp_path, 5)  # fewer are a shorter cut
    part = load_dataset(collected, n_episodes=5)
    assert load_dataset(tmp_path).content_hash == part.content_hash


def test_a_lost_shard_is_made_again(collected: Path, tmp_path: Path) -> None:
    run(tmp_path, 30)
    (tmp_path / "shard-000001.json").unlink()
    with pytest.raises(DataFileError, match="is missing"):
        load_dataset(tmp_path)
    run(tmp_path, 30)
    assert load_dataset(tmp_path).content_hash == load_dataset(collected).content_hash


def test_other_settings_are_refused(collected: Path) -> None:
    with pytest.raises(
        DataFileError, match=r"base_seed: 100 there, 3 given.*noise: 0.1 there, 0.2"
    ):
        run(collected, 30, base_seed=3, noise=0.2)
    with pytest.raises(DataFileError, match="env_kwargs"):
        run(collected, 30, env_kwargs={"obs": "image"})


def test_other_versions_warn(tmp_path: Path) -> None:
    run(tmp_path, 2)
    content = json.loads((tmp_path / "dataset.json").read_text())
    content["facts"]["versions"]["gymnasium"] = "0.1"
    (tmp_path / "dataset.json").write_text(json.dumps(sealed(content)))
    with pytest.warns(UserWarning, match=r"begun with .*'gymnasium': '0.1'"):
        run(tmp_path, 2)


def test_an_altered_shard_is_not_built_upon(tmp_path: Path) -> None:
    run(tmp_path, 2)
    with (tmp_path / "shard-000000.h5").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(DataFileError, match=r"shard-000000\.h5: truncated or altered"):
        run(tmp_path, 30)


def test_state_and_dict_observations_and_success_as_the_rule(tmp_path: Path) -> None:
    run(tmp_path / "state", 3, env_kwargs={"obs": "state", "info_key": "is_success"})
    data = load_dataset(tmp_path / "state")
    assert data.observation_spec.state == 2
    assert data.success.all()
    run(tmp_path / "dict", 3, env_kwargs={"obs": "dict"})
    assert set(load_dataset(tmp_path / "dict").observations) == {"image", "proprio"}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"env_id": "CartPole-v1"}, InvalidArgumentError, "CartPole-v1 has none"),
        ({"gym_packages": ("no_such_pkg",)}, MissingExtraError, "'no_such_pkg'"),
        ({"env_kwargs": {"info_key": "won"}}, DataError, r"info\['keep'\] or .*'won'"),
        ({"env_kwargs": {"farthest": 0.0}, "shard_attempts": 1000}, DataError, "none in 1000"),
        ({"env_id": "Raech-v0"}, gym.error.Error, "Reach"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes, error, message) -> None:
    with pytest.raises(error, match=message):
        run(tmp_path, 3, **changes)


SCRIPT = """
import sys
from parrot_wrapper.record.collect import ExpertSource, collect

if __name__ == "__main__":
    source = ExpertSource(
        "Reach-v0", {"delay": 0.004}, gym_packages=("tests.expert_env",), shard_attempts=8
    )
    collect(source, n_episodes=60, folder=sys.argv[1], workers=2, progress=False)
"""


def children(pid: int) -> list[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listing]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_at_any_moment_and_resumed(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "script.py")]
    broken = tmp_path / "broken"
    for shards in (1, 3):
        process = subprocess.Popen([*command, str(broken)], env=environment, cwd=tmp_path)
        wait_for(lambda least=shards: len(list(broken.glob("shard-*.json"))) >= least)
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert workers
        wait_for(lambda pids=workers: not any(map(alive, pids)))
        # what is there is whole, and short of the whole data set
        with pytest.raises(DataFileError, match="is missing"):
            load_dataset(broken)
    subprocess.run([*command, str(broken)], env=environment, cwd=tmp_path, check=True)
    subprocess.run([*command, str(tmp_path / "whole")], env=environment, cwd=tmp_path, check=True)
    resumed, unbroken = load_dataset(broken), load_dataset(tmp_path / "whole")
    assert resumed.content_hash == unbroken.content_hash
    assert read_manifest(broken) == read_manifest(tmp_path / "whole")


def test_straying_first_leads_where_the_expert_never_starts() -> None:
    astray = ExpertSource("ParrotMultiTask-v0", gym_packages=("parrot_envs",), stray_steps=6)
    env = astray.make_env()
    episodes = [record_episode(env, seed, stray_steps=6)[0] for seed in range(12)]
    again = record_episode(env, 3, stray_steps=6)[0]
    home = record_episode(env, 3)[0]
    env.close()
    assert {e.n_steps for e in episodes} > {25}
    assert all(19 <= e.n_steps <= 25 for e in episodes)
    starts = {tuple(e.labels["gripper"][0, :3]) for e in episodes if e.n_steps < 25}
    assert tuple(home.labels["gripper"][0, :3]) not in starts
    np.testing.assert_array_equal(again.actions, episodes[3].actions)
    assert home.n_steps == 25


def test_straying_needs_an_env_that_can() -> None:
    with pytest.raises(InvalidArgumentError, match="make_stray"):
        source(stray_steps=3).make_env()
