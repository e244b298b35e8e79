"""Several processes train one prior: what comes out is that of one process."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from parrot_wrapper.data import ShardStream, save_dataset
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors import load_prior
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.ranks import Ranks, ranks
from tests.training.test_prior_training import (
    QUICK,
    image_data,
    image_prior,
    interrupting,
    same_weights,
    state_data,
    state_prior,
)

ROOT = Path(__file__).parents[2]


def together(script: Path, *words: Path) -> None:
    """Two processes, as `torchrun` starts them."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, script, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_are_as_one(tmp_path: Path) -> None:
    alone = state_prior()
    report = fit_prior(alone, state_data(), QUICK, progress=False)
    begun_alone = tmp_path / "begun-alone" / "run"
    with pytest.raises(KeyboardInterrupt):
        fit_prior(
            state_prior(),
            interrupting(state_data(), 6),
            QUICK,
            run_folder=begun_alone,
            progress=False,
        )
    save_dataset(image_data(), tmp_path / "images", episodes_per_shard=1)
    folders = (tmp_path / "images", tmp_path / "new", begun_alone.parent)
    together(Path(__file__).with_name("fit_together.py"), *folders)
    for folder in (tmp_path / "new", begun_alone.parent):
        first, second = (load_prior(folder / name) for name in ("rank0", "rank1"))
        assert same_weights(first, second)
        for name, tensor in alone.state_dict().items():
            torch.testing.assert_close(first.state_dict()[name], tensor, rtol=1e-3, atol=1e-5)
        assert not same_weights(first, alone)  # they did share the batches
        # and what two have begun one goes on with
        again = fit_prior(
            state_prior(), state_data(), QUICK, run_folder=folder / "run", progress=False
        )
        assert again.steps == report.steps
        assert again.validation == pytest.approx(report.validation, rel=1e-3)
    for name, data in (
        ("parts", image_data()),
        ("stream", ShardStream(tmp_path / "images", window=2)),
    ):
        places = [tmp_path / "new" / f"{name}-rank{rank}" for rank in (0, 1)]
        first, second = map(load_prior, places)
        assert same_weights(first, second)
        counts = [json.loads(place.with_suffix(".json").read_text()) for place in places]
        assert sum(counts) == 30 and min(counts) >= 14  # each made its share of the features
        parts, one = replace(QUICK, sight_share=0.5), image_prior()
        fit_prior(one, data, parts, progress=False, run_folder=tmp_path / f"{name}-alone")
        for key, tensor in one.state_dict().items():
            torch.testing.assert_close(first.state_dict()[key], tensor, rtol=1e-2, atol=1e-4)


def test_each_has_its_pairs_of_rows() -> None:
    action, image, toggles = (
        torch.arange(12).reshape(12, 1),
        torch.zeros(12, 2, 2),
        torch.ones(12, 0),
    )
    batch = {"action": action, "image": image, "toggles": toggles}
    shares = [Ranks(rank, 3).share(batch) for rank in range(3)]
    parts = [share["action"].flatten().tolist() for share in shares]
    assert parts == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]
    assert {share["toggles"].shape for share in shares} == {(4, 0)}
    assert Ranks().share(batch) is batch


def test_a_batch_that_cannot_be_shared_out() -> None:
    Ranks(0, 4).require_shares(16)
    with pytest.raises(InvalidArgumentError, match="multiple of 6 for 3 processes, got 16"):
        Ranks(0, 3).require_shares(16)
    with pytest.raises(InvalidArgumentError, match="multiple of 8 for 2 processes.*two parts"):
        Ranks(0, 2).require_shares(12, in_parts=True)


def test_without_torchrun_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")  # another launcher's
    monkeypatch.setenv("RANK", "3")
    assert ranks() == Ranks()
