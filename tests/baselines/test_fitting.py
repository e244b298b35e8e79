"""The fitting loop: it fits, keeps the best, resumes, and refuses what it must."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from parrot_wrapper.baselines.config import FittingConfig, recipe
from parrot_wrapper.baselines.fitting import fit_module
from parrot_wrapper.errors import (
    CheckpointError,
    DataError,
    InvalidArgumentError,
    UnknownNameError,
)

QUICK = FittingConfig(
    steps=12,
    batch_size=16,
    learning_rate=0.05,
    warmup_steps=2,
    validate_every=4,
    validation_batches=2,
    checkpoint_every=5,
    log_every=3,
    threads=1,
    device="cpu",
)


class Net(torch.nn.Module):
    """A line behind batch normalisation, and a layer that the loss does not reach."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.norm = torch.nn.BatchNorm1d(2)
            self.line = torch.nn.Linear(2, 1)
            self.unreached = torch.nn.Linear(2, 1)

    def forward(self, x):
        return self.line(self.norm(x))


def make_batch(rng):
    x = rng.standard_normal((16, 2)).astype(np.float32)
    return {"x": torch.from_numpy(x), "y": torch.from_numpy(x @ np.float32([[2], [-1]]) + 0.5)}


def loss(module, batch, step):
    return {
        "error": (module(batch["x"]) - batch["y"]).square().mean(),
        "size": 1e-3 * module.line.weight.square().sum(),
    }


def fit(module, config=QUICK, folder=None, **options):
    options = {"settings": {"data": {"sha256": "a"}}, "progress": False} | options
    return fit_module(module, make_batch, loss, config, folder, **options)


def same(first, second):
    other = second.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in first.state_dict().items())


def test_it_fits_and_reports():
    net, before = Net(), Net()
    report = fit(net, replace(QUICK, steps=200))
    assert report.validation["error"] < 0.01
    assert report.loss == pytest.approx(sum(report.validation.values()))
    assert report.loss == min(sum(row["validation"].values()) for row in report.history)
    assert (report.stopped, report.steps) == ("steps", 200)
    json.dumps(report.to_dict(), allow_nan=False)
    assert torch.equal(net.unreached.weight, before.unreached.weight)
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("at", [5, 9])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_resumed_fit_equals_an_unbroken_one(tmp_path, at, ema):
    config = replace(QUICK, ema_decay=ema)
    unbroken, broken, resumed = Net(), Net(), Net()
    expected = fit(unbroken, config)
    drawn = 0

    def interrupting(rng):
        nonlocal drawn
        drawn += 1
        if drawn == 2 + at:  # two for validation
            os.kill(os.getpid(), signal.SIGINT)
        return make_batch(rng)

    with pytest.raises(KeyboardInterrupt):
        fit_module(
            broken, interrupting, loss, config, tmp_path,
            settings={"data": {"sha256": "a"}}, progress=False,
        )  # fmt: skip
    report = fit(resumed, config, tmp_path)
    assert same(unbroken, resumed)
    assert report.validation == expected.validation
    finished = Net()
    assert fit(finished, config, tmp_path) == report
    assert same(unbroken, finished)


def test_validation_takes_the_loss_of_the_last_step():
    steps = []

    def watched(module, batch, step):
        if not module.training:
            steps.append(step)
        return loss(module, batch, step)

    fit_module(Net(), make_batch, watched, QUICK, settings={}, progress=False)
    assert set(steps) == {QUICK.steps}


def test_held_out_batches_are_what_it_is_judged_by():
    def other(rng):
        return {"x": torch.zeros(4, 2), "y": torch.full((4, 1), 100.0)}

    report = fit(Net(), make_held_out=other)
    assert report.validation["error"] > 1000


def test_other_settings_and_data_are_refused(tmp_path):
    fit(Net(), folder=tmp_path)
    with pytest.raises(CheckpointError, match=r"training\.learning_rate was 0\.05, is 0\.1"):
        fit(Net(), replace(QUICK, learning_rate=0.1), tmp_path)
    with pytest.raises(CheckpointError, match=r"data\.sha256 was 'a', is 'b'"):
        fit(Net(), folder=tmp_path, settings={"data": {"sha256": "b"}})
    fit(Net(), replace(QUICK, loaders=2, checkpoint_every=3), tmp_path)  # no change of the result


def test_divergence_is_told():
    def infinite(module, batch, step):
        return {"error": loss(module, batch, step)["error"] * float("inf")}

    with pytest.raises(DataError, match="diverged before step 3"):
        fit_module(Net(), make_batch, infinite, QUICK, settings={}, progress=False)


def test_time_limit_and_bfloat16():
    config = replace(QUICK, steps=10**6, max_seconds=0.2, precision="bfloat16")
    net = Net()
    report = fit(net, config)
    assert report.stopped == "time"
    assert report.steps < 10**6
    assert net.line.weight.dtype == torch.float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu(tmp_path):
    net = Net()
    report = fit(net, replace(QUICK, steps=200, device="cuda"), tmp_path)
    assert report.validation["error"] < 0.01
    assert net.line.weight.device.type == "cuda"


def test_the_weight_of_the_kl_grows_to_its_value():
    config = recipe("trajrl", "paper")
    weights = [config.annealed(1e-3, step=step) for step in (0, 25_000, 100_000, 500_000)]
    assert weights[0] < 1e-7
    assert weights[1] == pytest.approx(5e-4)  # half at 25K of 500K steps
    assert weights[2:] == pytest.approx([1e-3, 1e-3])


def test_recipes():
    assert recipe("bc", "paper").steps == 2_000_000
    assert recipe("bc", steps=5).steps == 5
    with pytest.raises(UnknownNameError, match="Did you mean 'hirl'"):
        recipe("hirll")
    with pytest.raises(UnknownNameError, match="preset 'laptp'. Did you mean 'laptop'"):
        recipe("hirl", "laptp")
    with pytest.raises(InvalidArgumentError, match="anneal must be in"):
        recipe("hirl", anneal=0.0)
    with pytest.raises(InvalidArgumentError, match=r"entropy must be in \[0, 1\)"):
        recipe("bc", entropy=1.0)
