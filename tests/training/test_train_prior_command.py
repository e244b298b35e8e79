"""`parrot train-prior` from a data set's folder to a prior's folder."""

import json

import numpy as np
import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.data import EpisodeDataset, save_dataset
from parrot_wrapper.priors import load_prior

SMALL = [
    *("--steps", "4", "--batch-size", "8", "--validate-every", "2", "--validation-batches", "1"),
    *("--threads", "1", "--device", "cpu", "--no-progress", "--hidden", "8"),
]
CONVOLUTIONAL = [
    *("--encoder", "convolutional"),
    *("--encoder-options", "channels=2", "hidden=4", "embedding=4"),
]


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    dataset = EpisodeDataset.from_arrays(
        {
            "image": rng.integers(0, 256, (6 * 5, 48, 48, 3), dtype=np.uint8),
            "proprio": rng.standard_normal((6 * 5, 2)).astype(np.float32),
        },
        rng.uniform(-2, 2, (6 * 4, 3)),
        [4] * 6,
        action_low=-2.0,
        action_high=2.0,
        metadata={"settings": {"env_id": "Made-up-v0", "camera": {"fov": 45}}},
    )
    save_dataset(dataset, tmp_path / "data")
    return tmp_path / "data"


def test_from_data_to_prior(data, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["train-prior", "--data", str(data), "--out", str(out), *SMALL, *CONVOLUTIONAL]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "nats" in told
    assert "Few data: only 1 of 6 episodes" in told
    assert "was trained before" not in told
    prior = load_prior(out / "prior")
    assert prior.observation_spec.proprio == 2
    np.testing.assert_array_equal(prior.action_bounds[0], [-2, -2, -2])
    facts = prior.metadata
    assert facts["env_id"] == "Made-up-v0"
    assert facts["camera"] == {"fov": 45}
    assert facts["data"]["episodes"] == 6
    assert facts["metrics"]["steps"] == 4
    report = json.loads((out / "report.json").read_text())
    assert report["validation_nll"] == facts["metrics"]["validation_nll"]
    assert json.loads((out / "train-prior-config.json").read_text())["training"]["steps"] == 4

    # the stored command asks for the same thing, and a finished run is not made again
    weights = (out / "prior" / "weights.safetensors").read_bytes()
    words = facts["command"].split()
    assert words[:2] == ["parrot", "train-prior"]
    assert main([*words[1:], "--no-progress"]) == 0
    assert "was trained before" in capsys.readouterr().out
    assert (out / "prior" / "weights.safetensors").read_bytes() == weights


def test_few_data_for_many_steps(data, tmp_path, capsys):
    many = ["--steps", "400", "--max-seconds", "0.01"]
    command = ["train-prior", "--data", str(data), "--out", str(tmp_path / "run")]
    assert main([*command, *SMALL, *CONVOLUTIONAL, *many]) == 0
    assert "see each of the 24 actions 133 times" in capsys.readouterr().out


def test_without_proprioception(data, tmp_path):
    out = tmp_path / "run"
    arguments = ["--data", str(data), "--out", str(out), "--no-proprio", *SMALL, *CONVOLUTIONAL]
    assert main(["train-prior", *arguments]) == 0
    assert load_prior(out / "prior").observation_spec.proprio == 0


def test_starting_from_another_prior(data, tmp_path, capsys):
    first, out = tmp_path / "first", tmp_path / "run"
    train = ["train-prior", "--data", str(data)]
    assert main([*train, "--out", str(first), *SMALL, *CONVOLUTIONAL]) == 0
    settings = SMALL[:-2]  # without --hidden
    start = ["--out", str(out), "--initial", str(first / "prior")]
    assert main([*train, *start, *settings]) == 0
    facts = load_prior(out / "prior").metadata
    assert facts["initial"] == load_prior(first / "prior").metadata
    assert f"--initial {first / 'prior'}" in facts["command"]
    capsys.readouterr()
    assert main([*train, *start, *settings, "--hidden", "16"]) == 2
    assert "no hidden beside initial=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--encoder", "convolution"], "Did you mean 'convolutional'"),
        ([*CONVOLUTIONAL, "chanels=3"], "option of the convolutional encoder 'chanels'"),
        (["--steps", "0"], "steps must be at least 1"),
    ],
)
def test_mistakes_are_one_line(data, tmp_path, capsys, arguments, message):
    options = ["--data", str(data), "--out", str(tmp_path / "run"), *arguments]
    assert main(["train-prior", *options]) == 2
    shown = capsys.readouterr().err
    assert message in shown


def test_no_data(tmp_path, capsys):
    assert main(["train-prior", "--data", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err
