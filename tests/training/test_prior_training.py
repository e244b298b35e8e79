"""Prior training: it fits, stops, resumes bit for bit, and refuses what it must."""

import json
import math
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import (
    CheckpointError,
    DataError,
    InvalidArgumentError,
)
from parrot_wrapper.io.interruption import deferred_interrupt
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, flow_config
from parrot_wrapper.priors.encoders import StateEncoder
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_batches import spread_edges
from parrot_wrapper.training.prior_checkpoint import (
    read_training_checkpoint,
    write_training_checkpoint,
)
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.training.prior_trainer import use_bfloat16
from parrot_wrapper.types import ObservationSpec

QUICK = PriorTrainingConfig(
    steps=12, batch_size=16, warmup_steps=2, validate_every=4, validation_batches=2,
    checkpoint_every=5, log_every=3, precision="float32", threads=1, device="cpu",
)  # fmt: skip


def state_data(episodes: int = 20, length: int = 6, seed: int = 0) -> EpisodeDataset:
    """Two actions: a sine of the state and its sign, with noise, clipped to the box."""
    rng = np.random.default_rng(seed)
    state = rng.standard_normal((episodes * (length + 1), 3)).astype(np.float32)
    rows = np.concatenate([np.arange(length) + i * (length + 1) for i in range(episodes)])
    seen = state[rows]
    clean = np.stack([np.sin(seen[:, 0]), 0.9 * np.sign(seen[:, 1])], axis=1)
    action = np.clip(clean + 0.1 * rng.standard_normal(clean.shape), -1, 1)
    return EpisodeDataset.from_arrays(
        {"state": state}, action, [length] * episodes, labels={"goal": state}
    )


def state_prior(**options) -> FlowPrior:
    config = FlowPriorConfig(ObservationSpec(state=3), 2, "state", hidden=32, **options)
    return FlowPrior(config)


def image_data() -> EpisodeDataset:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6 * 5, 8, 8, 3), dtype=np.uint8)
    action = rng.uniform(-0.5, 0.5, (6 * 4, 3))
    return EpisodeDataset.from_arrays({"image": image}, action, [4] * 6)


def image_prior() -> FlowPrior:
    spec = ObservationSpec(image=(8, 8, 3))
    options = {"channels": 4, "hidden": 8, "embedding": 8}
    return FlowPrior(FlowPriorConfig(spec, 3, "convolutional", options, hidden=8))


def same_weights(first: FlowPrior, second: FlowPrior) -> bool:
    other = second.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in first.state_dict().items())


def without_seconds(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


class Interrupting(EpisodeDataset):
    """Presses Ctrl-C while batch `at` is drawn."""

    at: int
    drawn: int

    def sample_pairs(self, batch_size, rng):
        self.drawn += 1
        if self.drawn == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return super().sample_pairs(batch_size, rng)

    def with_labels(self, labels):
        return interrupting(super().with_labels(labels), self.at)

    def split(self, fraction, rng):
        training, held_out = super().split(fraction, rng)
        training.__class__ = Interrupting
        training.at, training.drawn = self.at, 0
        return training, held_out


def interrupting(data: EpisodeDataset, at: int) -> EpisodeDataset:
    data.__class__ = Interrupting
    data.at, data.drawn = at, 0
    return data


@pytest.mark.parametrize("make_data", [state_data, image_data])
def test_a_data_set_is_all_that_is_needed(make_data):
    data, settings = make_data(), replace(QUICK, steps=4, batch_size=4)
    ways = [
        fit_prior(data, config=settings, progress=False),
        fit_prior(None, data, settings, progress=False),
        fit_prior(dataset=data, config=settings, progress=False),
        fit_prior(FlowPrior(flow_config(data)), data, settings, progress=False),
    ]
    assert all(same_weights(ways[0].prior, way.prior) for way in ways)
    facts = ways[0].prior.metadata
    assert facts["data"]["sha256"] == data.content_hash
    assert facts["metrics"]["validation_nll"] == ways[0].validation_nll
    assert "history" not in repr(ways[0]) and len(str(ways[0])) < 120


def test_without_data_it_says_so():
    for call in (lambda: fit_prior(), lambda: fit_prior(state_prior()), lambda: fit_prior(None, 3)):
        with pytest.raises(InvalidArgumentError, match="dataset"):
            call()
    with pytest.raises(InvalidArgumentError, match="prior"):
        fit_prior(state_data(), fine_tune=True)


def test_it_learns_the_conditional_density():
    prior, data = state_prior(), state_data(episodes=200)
    settings = replace(QUICK, steps=1200, batch_size=64, learning_rate=3e-3, validate_every=300)
    report = fit_prior(prior, data, settings, progress=False)
    floor = 0.5 * math.log(2 * math.pi * math.e) + math.log(0.1)  # per dimension, of the noise
    assert report.validation_nll_per_dim < floor + 0.7
    assert report.validation_nll == pytest.approx(2 * report.validation_nll_per_dim)
    assert report.stopped == "steps"
    assert report.steps == 1200
    assert len(report.history) == 4
    json.dumps(report.to_dict(), allow_nan=False)
    assert not prior.training
    assert not any(p.requires_grad for p in prior.parameters())
    state = np.array([[0.0, 2.0, 0.0], [1.5, -2.0, 0.0]], np.float32)
    samples = prior.decode(np.zeros((2, 2), np.float32), state)
    np.testing.assert_allclose(samples, [[0.0, 0.9], [1.0, -0.9]], atol=0.25)


@pytest.mark.parametrize("kind", ["state", "image"])
def test_a_resumed_run_equals_an_unbroken_one(tmp_path, kind):
    make_data, make_prior = {
        "state": (state_data, state_prior),
        "image": (image_data, image_prior),
    }[kind]
    unbroken, resumed = make_prior(), make_prior()
    expected = fit_prior(unbroken, make_data(), QUICK, progress=False)
    # 1 to 7 are the checks, the statistics and some batches; Ctrl-C falls between checkpoints
    with pytest.raises(KeyboardInterrupt):
        fit_prior(resumed, interrupting(make_data(), 7), QUICK, run_folder=tmp_path, progress=False)
    assert (tmp_path / "checkpoint.safetensors").is_file()
    fresh = make_prior()
    report = fit_prior(fresh, make_data(), QUICK, run_folder=tmp_path, progress=False)
    assert same_weights(unbroken, fresh)
    assert without_seconds(report.history) == without_seconds(expected.history)
    assert replace(report, seconds=0, history=()) == replace(expected, seconds=0, history=())


@pytest.mark.parametrize("killed", ["sight", "rest"])
def test_a_run_in_two_parts_resumes_in_either(tmp_path, killed, monkeypatch):
    settings = replace(QUICK, sight_share=0.5)
    unbroken, fresh = image_prior(), image_prior()
    expected = fit_prior(unbroken, image_data(), settings, progress=False)
    data, make = image_data(), FeatureCache.make
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if killed == "rest":
            patch.setattr(
                FeatureCache, "make", lambda *args, **kw: interrupting(make(*args, **kw), 5)
            )
        else:
            data = interrupting(data, 5)
        fit_prior(image_prior(), data, settings, run_folder=tmp_path, progress=False)
    report = fit_prior(fresh, image_data(), settings, run_folder=tmp_path, progress=False)
    assert same_weights(unbroken, fresh)
    assert replace(report, seconds=0, history=()) == replace(expected, seconds=0, history=())
    assert [row["step"] for row in report.history] == [4, 6, 10, 12]


def test_the_encoder_learns_in_the_first_part_alone(tmp_path):
    parts, sight = image_prior(), image_prior()
    fit_prior(parts, image_data(), replace(QUICK, sight_share=0.5), progress=False)
    fit_prior(sight, image_data(), replace(QUICK, steps=6, batch_size=8), progress=False)
    assert parts.encoder_digest != image_prior().encoder_digest
    features = (prior.features(image_data().observations["image"]) for prior in (parts, sight))
    np.testing.assert_array_equal(*features)
    assert not same_weights(parts, sight)
    state, whole = state_prior(), state_prior()  # a state needs no sight
    fit_prior(state, state_data(), replace(QUICK, sight_share=0.5), progress=False)
    fit_prior(whole, state_data(), QUICK, progress=False)
    assert same_weights(state, whole)


def test_a_finished_run_gives_its_result_again(tmp_path):
    first, second = state_prior(), state_prior()
    reports = [
        fit_prior(prior, state_data(), QUICK, run_folder=tmp_path, progress=False)
        for prior in (first, second)
    ]
    assert reports[0] == reports[1]
    assert same_weights(first, second)


def test_resuming_refuses_other_settings_and_data(tmp_path):
    fit_prior(state_prior(), state_data(), QUICK, run_folder=tmp_path, progress=False)

    def resume(prior=None, data=None, **changes):
        settings = replace(QUICK, **changes)
        fit_prior(
            prior or state_prior(), data or state_data(), settings, run_folder=tmp_path,
            progress=False,
        )  # fmt: skip

    with pytest.raises(CheckpointError, match=r"training\.learning_rate: 0\.0003 there, 0\.1"):
        resume(learning_rate=0.1)
    with pytest.raises(CheckpointError, match=r"prior\.coupling_layers: 3 there, 6"):
        resume(prior=state_prior(coupling_layers=6))
    with pytest.raises(CheckpointError, match=r"data\.sha256: .* there"):
        resume(data=state_data(seed=1))
    resume(checkpoint_every=7, loaders=2)  # these do not change the result


def test_a_run_begun_before_flows_had_a_trunk_is_not_taken_for_one_with_it(tmp_path):
    fit_prior(state_prior(), state_data(), QUICK, run_folder=tmp_path, progress=False)
    path = tmp_path / "checkpoint.safetensors"
    tensors, state = read_training_checkpoint(path)
    del state["settings"]["prior"]["trunk_blocks"]
    write_training_checkpoint(path, tensors, state)
    with pytest.raises(CheckpointError, match=r"prior\.trunk_blocks: 0 there, 2"):
        fit_prior(state_prior(), state_data(), QUICK, run_folder=tmp_path, progress=False)


def test_a_run_begun_before_muon_goes_on_with_adam_alone(tmp_path):
    adam = replace(QUICK, optimiser="adam")
    done, again = state_prior(), state_prior()
    fit_prior(done, state_data(), adam, run_folder=tmp_path, progress=False)
    path = tmp_path / "checkpoint.safetensors"
    tensors, state = read_training_checkpoint(path)
    del state["settings"]["training"]["optimiser"]
    write_training_checkpoint(path, tensors, state)
    with pytest.raises(CheckpointError, match=r"training\.optimiser: 'adam' there, 'muon'"):
        fit_prior(state_prior(), state_data(), QUICK, run_folder=tmp_path, progress=False)
    fit_prior(again, state_data(), adam, run_folder=tmp_path, progress=False)
    assert same_weights(done, again)


@pytest.mark.parametrize("former", ["flow", "baseline"])
def test_runs_that_an_earlier_version_began(tmp_path, former):
    """A flow's goes on; one of the loop for baselines says what became of it."""
    done, again = (
        state_prior(coupling="affine", coupling_layers=4, hidden_layers=2, trunk_blocks=0)
        for _ in range(2)
    )
    fit_prior(done, state_data(), QUICK, run_folder=tmp_path, progress=False)
    path = tmp_path / "checkpoint.safetensors"
    tensors, state = read_training_checkpoint(path)
    settings = state["settings"]
    if former == "flow":
        del settings["kind"]
        for since in (
            "coupling", "mixing", "spline_bins", "spline_bound", "trunk_blocks", "trunk_width"
        ):  # fmt: skip
            del settings["prior"][since]
        settings["training"]["jacobian"] = settings["prior"].pop("jacobian")
        del settings["training"]["sight_share"]
    else:
        settings["method"] = "hirl"
    write_training_checkpoint(path, tensors, state)
    if former == "flow":
        fit_prior(again, state_data(), QUICK, run_folder=tmp_path, progress=False)
        assert same_weights(done, again)
    else:
        with pytest.raises(CheckpointError, match="train-baseline hirl.*now.*train-prior"):
            fit_prior(again, state_data(), QUICK, run_folder=tmp_path, progress=False)


@pytest.mark.parametrize("damage", ["truncated", "altered", "foreign"])
def test_damaged_checkpoints_are_refused(tmp_path, damage):
    fit_prior(state_prior(), state_data(), QUICK, run_folder=tmp_path, progress=False)
    path = tmp_path / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[:-9]
    elif damage == "altered":
        content[-1] ^= 1
    else:
        content = content.replace(b"parrot-prior-training", b"parrot-other-training")
    path.write_bytes(content)
    messages = {"truncated": "damaged file", "altered": "was altered", "foreign": "expected type"}
    with pytest.raises(CheckpointError, match=messages[damage]):
        fit_prior(state_prior(), state_data(), QUICK, run_folder=tmp_path, progress=False)


def test_loader_threads_do_not_change_the_result():
    one, many = state_prior(), state_prior()
    fit_prior(one, state_data(), QUICK, progress=False)
    fit_prior(many, state_data(), replace(QUICK, loaders=3), progress=False)
    assert same_weights(one, many)


def test_patience_stops_and_the_best_weights_are_kept():
    settings = replace(
        QUICK, steps=400, learning_rate=0.02, patience=2, ema_decay=0.0, validation_fraction=0.5
    )
    prior = state_prior()
    report = fit_prior(prior, state_data(episodes=4), settings, progress=False)
    assert report.stopped == "patience"
    assert report.steps == report.best_step + 2 * settings.validate_every
    nlls = [row["validation"]["nll"] for row in report.history]
    assert report.validation_nll == min(nlls) < nlls[-1]


def test_time_limit():
    settings = replace(QUICK, steps=10**6, max_seconds=0.3)
    report = fit_prior(state_prior(), state_data(), settings, progress=False)
    assert report.stopped == "time"
    assert report.history[-1]["step"] == report.steps < 10**6


def test_auxiliary_losses_intermediates_and_perturbation_are_used():
    seen = {}

    class Watched(StateEncoder):
        name = "watched"

        def augment(self, obs, generator):
            seen["augmented"] = seen.get("augmented", 0) + 1
            return {**obs, "state": obs["state"] + 0.1 * torch.randn(3, generator=generator)}

        def training_features(self, obs):
            seen["looked"] = seen.get("looked", 0) + 1
            return self(obs), {"half": obs["state"].half()}

        def labels(self, data):
            return {"norm": np.linalg.norm(data.observations["state"], axis=1)}

        def auxiliary_losses(self, intermediates, batch, generator):
            seen.update(intermediates)
            assert "goal" not in batch  # what an env says of its own state is never learned from
            torch.testing.assert_close(batch["norm"], batch["state"].norm(dim=1))
            seen["chosen"] = torch.rand(1, generator=generator)
            return {"norm": 3.0 * batch["norm"].square().mean()}

        def perturb(self, features, generator):
            seen["noise"] = torch.randn(features.shape, generator=generator)
            return features + 0.1 * seen["noise"]

    prior = FlowPrior(FlowPriorConfig(ObservationSpec(state=3), 2, "watched", hidden=8))
    report = fit_prior(prior, state_data(), QUICK, progress=False)
    assert seen["half"].dtype == torch.float32
    assert {"noise", "chosen"} <= set(seen)
    assert report.steps == seen["augmented"] < seen["looked"]  # not in validation
    assert report.history[0]["training"]["norm"] > 0
    assert report.history[0]["validation"]["norm"] > 0


def test_tensorboard_and_progress_bar(tmp_path, capsys):
    pytest.importorskip("tensorboard")
    fit_prior(state_prior(), state_data(), QUICK, run_folder=tmp_path)
    assert list((tmp_path / "tensorboard").glob("events*"))
    shown = capsys.readouterr().err
    assert "nll=" in shown
    assert "val_nll=" in shown


def test_bfloat16_trains_and_keeps_the_flow_in_float32():
    prior = image_prior()
    report = fit_prior(prior, image_data(), replace(QUICK, precision="bfloat16"), progress=False)
    assert math.isfinite(report.validation_nll)
    assert all(tensor.dtype == torch.float32 for tensor in prior.state_dict().values())
    assert not use_bfloat16("float32", torch.device("cpu"))
    assert use_bfloat16("bfloat16", torch.device("cpu"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_on_a_gpu(tmp_path, precision):
    settings = replace(QUICK, device="cuda", precision=precision)
    prior = image_prior()
    fit_prior(prior, image_data(), settings, run_folder=tmp_path, progress=False)
    again = image_prior()
    fit_prior(again, image_data(), settings, run_folder=tmp_path, progress=False)
    assert same_weights(prior, again)
    assert prior.features(np.zeros((2, 8, 8, 3), np.uint8)).shape == (2, 8)


def test_divergence(monkeypatch):
    nan = {"bad": torch.tensor(float("nan"))}
    prior = state_prior()
    monkeypatch.setattr(StateEncoder, "auxiliary_losses", lambda *_: nan)
    with pytest.raises(DataError, match=r"diverged before step 3.*lower learning_rate"):
        fit_prior(prior, state_data(), QUICK, progress=False)


def test_fine_tuning_goes_on_from_what_was_learned(tmp_path):
    first = state_prior()
    long = replace(QUICK, steps=300, learning_rate=3e-3)
    before = fit_prior(first, state_data(), long, progress=False)
    scale = first.action_std.clone()
    start = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    other = state_data(seed=1)
    tuned = fit_prior(first, other, QUICK, run_folder=tmp_path, fine_tune=True, progress=False)
    scratch = fit_prior(state_prior(), other, QUICK, progress=False)
    assert torch.equal(first.action_std, scale)
    assert tuned.validation_nll < scratch.validation_nll - 0.5
    assert tuned.validation_nll < before.validation_nll + 0.5
    again = state_prior()
    again.load_state_dict(start)
    fit_prior(again, other, QUICK, run_folder=tmp_path, fine_tune=True, progress=False)
    assert same_weights(first, again)
    with pytest.raises(CheckpointError, match="initial"):
        fit_prior(state_prior(), other, QUICK, run_folder=tmp_path, progress=False)


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


def test_the_first_interrupt_waits_and_the_second_does_not():
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupt() as interruption:
        assert not interruption.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
