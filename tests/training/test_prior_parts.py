"""Parts of prior training by themselves: settings, schedule, batches, the interrupt."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from parrot_wrapper.errors import InvalidArgumentError, UnknownNameError
from parrot_wrapper.io.interruption import deferred_interrupt
from parrot_wrapper.training.prior_batches import prefetched, spread_edges
from parrot_wrapper.training.prior_config import PriorTrainingConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch_size": 5}, "batch_size must be even"),
        ({"learning_rate": float("inf")}, "learning_rate must be positive and finite"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \[0, 1\)"),
        ({"validation_fraction": 0.0}, r"validation_fraction must be in \(0, 1\)"),
        ({"patience": -1}, "patience must be 0 or more"),
    ],
)
def test_values_out_of_range(changes, message):
    with pytest.raises(InvalidArgumentError, match=message):
        replace(PriorTrainingConfig(), **changes)


def test_unknown_precision():
    with pytest.raises(UnknownNameError, match=r"'bfloat'. Did you mean 'bfloat16'"):
        replace(PriorTrainingConfig(), precision="bfloat")


def test_learning_rate_schedule():
    settings = PriorTrainingConfig(learning_rate=1.0, final_learning_rate=0.1, warmup_steps=10)
    assert settings.learning_rate_at(5, fraction=0.0) == pytest.approx(0.5)
    assert settings.learning_rate_at(100, fraction=0.5) == pytest.approx(0.55)
    assert settings.learning_rate_at(100, fraction=2.0) == pytest.approx(0.1)
    constant = replace(settings, final_learning_rate=1.0, warmup_steps=0)
    assert constant.learning_rate_at(0, fraction=0.7) == 1.0


def test_edges_are_spread_outwards():
    action = np.array([[-1.0, 0.5], [1.0, 2.0], [0.99, -2.0]], np.float32)
    low, high = np.array([-1, -2], np.float32), np.array([1, 2], np.float32)
    options = {"low": low, "high": high, "scale": 0.1}
    spread = spread_edges(action, **options, rng=np.random.default_rng(0))
    inside = np.array([[False, True], [False, False], [True, False]])
    np.testing.assert_array_equal(spread[inside], action[inside])
    np.testing.assert_array_equal(np.clip(spread, low, high), action)
    assert (spread != action).sum() == 4
    assert spread.dtype == np.float32
    still = spread_edges(action, low=low, high=high, scale=0.0, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(still, action)


def test_prefetching_keeps_the_order_and_passes_errors_on():
    def make(step):
        if step == 7:
            raise ValueError("no batch 7")
        return {"step": torch.tensor(step)}

    with prefetched(make, start=2, stop=7, threads=3, pin=False) as stream:
        assert [int(batch["step"]) for batch in stream] == [2, 3, 4, 5, 6]
    with (
        pytest.raises(ValueError, match="no batch 7"),
        prefetched(make, start=5, stop=9, threads=2, pin=False) as stream,
    ):
        list(stream)


def test_the_first_interrupt_waits_and_the_second_does_not():
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupt() as interruption:
        assert not interruption.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
