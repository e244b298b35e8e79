"""`parrot train-prior --kind KIND` from a data set's folder to what RL opens."""

import json

import numpy as np
import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.data import EpisodeDataset, save_dataset
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, load_prior
from parrot_wrapper.rl.cloned_actor import load_cloned_actor
from tests.training.toy_data import image_data

FEW = ["--steps", "3", "--batch-size", "8", "--device", "cpu", "--threads", "1", "--no-progress"]


@pytest.fixture
def data(tmp_path):
    save_dataset(image_data(episodes=6, side=48), tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def shared(tmp_path):
    options = {"channels": 4, "hidden": 8, "embedding": 6}
    spec = image_data(side=48).observation_spec
    prior = FlowPrior(FlowPriorConfig(spec, 3, "convolutional", options), seed=7)
    prior.save(tmp_path / "shared")
    return tmp_path / "shared"


def command(kind, data, shared, out, *more):
    sharing = ["--encoder-of", str(shared), "--cache", str(out.parent / "cache")] if shared else []
    folders = ["--data", str(data), "--out", str(out)]
    return ["train-prior", "--kind", kind, *folders, *sharing, *FEW, *more]


@pytest.mark.parametrize(
    ("named", "kind", "shape", "more"),
    [
        ("flow", "flow", (2, 3), ("--coupling", "spline", "--mixing")),
        ("cvae", "cvae", (2, 3), ()),
        ("hirl", "cvae", (2, 3), ()),  # its former name
        ("trajectory", "trajectory", (2, 4, 3), ()),
        ("chunk", "chunk", (2, 2, 3), ("--horizon", "2", "--replan")),
        ("flow-matching", "flow-matching", (2, 3), ("--solver", "heun")),
        ("mean-flow", "mean-flow", (2, 2, 3), ("--horizon", "2")),
        ("skill", "skill", (2, 3, 3), ("--horizon", "3")),
    ],
)
def test_priors_share_an_encoder(data, shared, tmp_path, capsys, named, kind, shape, more):
    out = tmp_path / "run"
    arguments = command(named, data, shared, out, *more)
    assert main(arguments) == 0
    assert "3 steps" in capsys.readouterr().out
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
    assert json.loads((out / "train-prior-config.json").read_text())["kind"] == named

    # the stored command asks for the same thing, and a finished run is not made again
    weights = (out / "prior" / "weights.safetensors").read_bytes()
    assert main([*facts["command"].split()[1:], "--no-progress"]) == 0
    assert (out / "prior" / "weights.safetensors").read_bytes() == weights
    assert main([*arguments, "--seed", "1"]) == 2
    assert "training.seed: 0 there, 1 given" in capsys.readouterr().err


def test_kinds_share_cached_features(data, shared, tmp_path, monkeypatch):
    assert main(command("bc", data, shared, tmp_path / "bc")) == 0
    actor = load_cloned_actor(tmp_path / "bc")
    assert actor.config.features_dim == 6
    assert actor.config.encoder_sha256 == load_prior(shared).encoder_digest
    assert actor.config.net_arch == (256, 256)
    monkeypatch.setattr(FlowPrior, "features", None)  # would fail if they were computed again
    assert main(command("cvae", data, shared, tmp_path / "cvae")) == 0
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


def test_from_pixels(data, tmp_path):
    for kind in ("cvae", "trajectory"):
        assert main(command(kind, data, None, tmp_path / kind)) == 0
        prior = load_prior(tmp_path / kind)
        assert prior.config.encoder == "convolutional"
        assert "encoder" not in prior.metadata
    assert main(command("bc", data, None, tmp_path / "bc", "--preset", "paper")) == 0
    config = load_cloned_actor(tmp_path / "bc").config
    assert config.image == (48, 48, 3)
    assert (config.net_arch, config.layer_norm) == ((1024, 512, 256), False)


def test_options_are_those_of_the_kind(data, tmp_path):
    out = tmp_path / "run"
    assert main(command("features", data, None, out, "--beta", "0.5")) == 0
    prior = load_prior(out)
    assert prior.config.beta == 0.5
    assert prior.config.encoder_options["channels"] == 16  # of the laptop, not of the paper
    assert prior.feature_dim == 64
    assert main(command("trajectory", data, None, tmp_path / "short", "--horizon", "3")) == 0
    assert load_prior(tmp_path / "short").horizon == 3


@pytest.mark.parametrize("kind", ["flow", "cvae", "trajectory", "features", "bc", "chunk", "skill"])
def test_help_shows_options_and_defaults_of_the_kind(kind, capsys):
    assert main(["train-prior", "--kind", kind, "--preset", "paper", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--learning-rate" in shown
    assert ("--beta" in shown) == (kind in ("cvae", "trajectory", "features", "skill"))
    assert ("--jacobian" in shown) == (kind in ("flow", "chunk"))
    assert ("--replan" in shown) == (kind == "chunk")
    assert ("--entropy" in shown) == (kind == "bc")
    assert {"bc": "(default: 2000000)", "features": "(default: 1500000)"}.get(
        kind, "(default: 500000)"
    ) in shown


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("cvea", (), "Unknown kind of prior 'cvea'. Did you mean 'cvae'"),
        ("cvae", ("--preset", "papre"), "Did you mean 'paper'"),
        ("cvae", ("--beta", "0"), "beta must be positive"),
        ("flow", ("--jacobian", "-1"), "jacobian must be 0 or more"),
        ("chunk", ("--horizon", "17"), "horizon must be at most 16"),
        ("chunk", ("--horizon", "5"), "episodes of at least 5 steps"),
        ("mean-flow", ("--solver", "heun"), "solver must be 'euler'"),
        ("bc", ("--entropy", "1"), "entropy must be in [0, 1)"),
        ("cvae", ("--encoder-of", "parrotv0"), "Did you mean 'parrot-v0'"),
        ("features", (), "'features' is an encoder"),
        ("flow", ("--encoder", "convolutional"), "beside a shared encoder"),
        ("flow", ("--initial", "parrot-v0"), "no encoder_of beside initial"),
        ("cvae", ("--steps", "0"), "steps must be at least 1"),
        ("trajectory", ("--data", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_are_one_line(data, shared, tmp_path, capsys, kind, more, message):
    assert main(command(kind, data, shared, tmp_path / "run", *more)) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


def test_an_option_of_another_kind(data, tmp_path, capsys):
    assert main(command("bc", data, None, tmp_path / "run", "--beta", "0.1")) == 2
    assert "--beta" in capsys.readouterr().err


def test_the_former_command_says_what_it_is_called_now(capsys):
    assert main(["train-baseline", "hirl", "--data", "x", "--out", "y"]) == 2
    shown = capsys.readouterr().err
    assert "train-prior --kind" in shown
    assert shown.count("\n") == 1


@pytest.fixture
def seen(tmp_path):
    """Data with images and proprioception, in a box of their own."""
    images = image_data(episodes=6, side=48)
    parts = {"image": images.observations["image"], "proprio": np.eye(30)[:, :2]}
    box = {"action_low": -2.0, "action_high": 2.0}
    dataset = EpisodeDataset.from_arrays(parts, images.actions, images.lengths, **box)
    save_dataset(dataset, tmp_path / "seen")
    return tmp_path / "seen"


CONVOLUTIONAL = [
    *["--encoder", "convolutional", "--encoder-options", "channels=2", "hidden=4", "embedding=4"]
]


def test_from_data_to_a_flow(seen, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = command("flow", seen, None, out, *CONVOLUTIONAL)
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "nats" in told and "Few data: only 1 of 6 episodes" in told
    assert "was trained before" not in told
    prior = load_prior(out / "prior")
    assert prior.observation_spec.proprio == 2
    np.testing.assert_array_equal(prior.action_bounds[0], [-2, -2, -2])
    assert prior.metadata["metrics"]["steps"] == 3
    report = json.loads((out / "report.json").read_text())
    assert report["validation_nll"] == prior.metadata["metrics"]["validation_nll"]
    assert main(arguments) == 0
    assert "was trained before" in capsys.readouterr().out
    other = command("flow", seen, None, tmp_path / "other", *CONVOLUTIONAL, "--no-proprio")
    assert main([*other, "--steps", "400", "--max-seconds", "0.01"]) == 0
    assert "see each of the 24 actions 133 times" in capsys.readouterr().out
    assert load_prior(tmp_path / "other").observation_spec.proprio == 0


def test_starting_from_another_prior(data, shared, tmp_path, capsys):
    start = command("flow", data, None, tmp_path / "run", "--initial", str(shared))
    assert main(start) == 0
    facts = load_prior(tmp_path / "run").metadata
    assert facts["initial"] == load_prior(shared).metadata
    assert f"--initial {shared}" in facts["command"]
    capsys.readouterr()
    assert main([*start, "--hidden", "16"]) == 2
    assert "no hidden beside initial=" in capsys.readouterr().err
