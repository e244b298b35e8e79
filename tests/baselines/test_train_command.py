"""`parrot train-baseline` from a data set's folder to what RL opens."""

import json

import numpy as np
import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.data import save_dataset
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, load_prior
from parrot_wrapper.training.cloned_actor import load_cloned_actor
from tests.baselines.toy_data import image_data

SMALL = ["--steps", "3", "--batch-size", "8", "--device", "cpu", "--no-progress"]


@pytest.fixture
def data(tmp_path):
    dataset = image_data(episodes=6, side=48)
    save_dataset(dataset, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def shared(tmp_path):
    options = {"channels": 4, "hidden": 8, "embedding": 6}
    spec = image_data(side=48).observation_spec
    prior = FlowPrior(FlowPriorConfig(spec, 3, "convolutional", options), seed=7)
    prior.save(tmp_path / "shared")
    return tmp_path / "shared"


def command(method, data, shared, out, *more):
    cache = str(out.parent / "cache")
    return [
        "train-baseline", method, "--data", str(data), "--out", str(out),
        "--encoder", str(shared), "--cache", cache, *SMALL, *more,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "kind", "shape"),
    [("hirl", "cvae", (2, 3)), ("trajrl", "trajectory-vae", (2, 4, 3))],
)
def test_priors_share_the_encoder(data, shared, tmp_path, capsys, method, kind, shape):
    out = tmp_path / "run"
    arguments = command(method, data, shared, out)
    assert main(arguments) == 0
    assert f"{method} after 3 steps" in capsys.readouterr().out
    prior = load_prior(out)
    assert prior.type_tag == kind
    image = image_data(side=48).observations["image"][:2]
    np.testing.assert_array_equal(prior.features(image), load_prior(shared).features(image))
    z = np.zeros((2, prior.latent_dim), np.float32)
    assert prior.decode(z, image).shape == shape
    facts = prior.metadata
    assert facts["camera"] == {"fov": 45}
    assert facts["encoder"] == {"from": str(shared), "sha256": load_prior(shared).encoder_digest}
    assert facts["data"]["episodes"] == 6
    assert json.loads((out / "report.json").read_text())["steps"] == 3
    assert json.loads((out / "train-baseline-config.json").read_text())["method"] == method

    weights = (out / "prior" / "weights.safetensors").read_bytes()
    assert main(arguments) == 0  # a finished run is not made again
    assert (out / "prior" / "weights.safetensors").read_bytes() == weights
    assert main([*arguments, "--seed", "1"]) == 2
    assert "training.seed was 0, is 1" in capsys.readouterr().err


def test_bc_and_hirl_share_cached_features(data, shared, tmp_path, monkeypatch):
    assert main(command("bc", data, shared, tmp_path / "bc")) == 0
    actor = load_cloned_actor(tmp_path / "bc")
    assert actor.config.features_dim == 6
    assert actor.config.encoder_sha256 == load_prior(shared).encoder_digest
    assert actor.config.net_arch == (256, 256)
    monkeypatch.setattr(FlowPrior, "features", None)  # would fail if they were computed again
    assert main(command("hirl", data, shared, tmp_path / "hirl")) == 0
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


def test_a_flow_on_a_shared_encoder(data, shared, tmp_path, capsys):
    assert main(command("flow", data, shared, tmp_path / "flow")) == 0
    flow = load_prior(tmp_path / "flow")
    image = image_data(side=48).observations["image"][:2]
    np.testing.assert_array_equal(flow.features(image), load_prior(shared).features(image))
    assert flow.action_std.max() < 0.5  # of the data, not 1
    assert main(command("flow", data, "none", tmp_path / "other")) == 2
    assert "is what train-prior fits" in capsys.readouterr().err


def test_from_pixels(data, tmp_path):
    for method in ("hirl", "trajrl"):
        assert main(command(method, data, "none", tmp_path / method)) == 0
        prior = load_prior(tmp_path / method)
        assert prior.config.encoder == "convolutional"
        assert prior.metadata["encoder"] is None
    assert main(command("bc", data, "none", tmp_path / "bc", "--preset", "paper")) == 0
    config = load_cloned_actor(tmp_path / "bc").config
    assert config.image == (48, 48, 3)
    assert (config.net_arch, config.layer_norm) == ((1024, 512, 256), False)


def test_vae_features(data, tmp_path):
    out = tmp_path / "run"
    assert main(command("vae-features", data, "parrot-v0", out, "--beta", "0.5")) == 0
    prior = load_prior(out)
    assert prior.config.beta == 0.5
    assert prior.config.encoder_options["channels"] == 16  # of the laptop, not of the paper
    assert prior.feature_dim == 64
    assert np.isfinite(prior.features(np.zeros((1, 48, 48, 3), np.uint8))).all()


@pytest.mark.parametrize(
    ("method", "more", "message"),
    [
        ("hirll", (), "Unknown baseline 'hirll'. Did you mean 'hirl'"),
        ("hirl", ("--preset", "papre"), "Did you mean 'paper'"),
        ("bc", ("--beta", "0.1"), "bc has no KL divergence"),
        ("hirl", ("--jacobian", "0.1"), "hirl has no penalty on its Jacobian"),
        ("hirl", ("--beta", "0"), "beta must be positive"),
        ("hirl", ("--encoder", "parrot-v1"), "Did you mean 'parrot-v0'"),
        ("hirl", ("--steps", "0"), "steps must be at least 1"),
        ("trajrl", ("--data", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_are_one_line(data, shared, tmp_path, capsys, method, more, message):
    assert main(command(method, data, shared, tmp_path / "run", *more)) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1
