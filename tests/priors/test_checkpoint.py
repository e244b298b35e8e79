"""Priors on disk: exact round trips, old folders, bad folders, and the packaged prior's card."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

import parrot_envs
from parrot_table.layout import LENGTH
from parrot_wrapper.errors import CheckpointError, InvalidArgumentError, UnknownNameError
from parrot_wrapper.evaluation.policies import PriorSamples
from parrot_wrapper.evaluation.rollouts import evaluate
from parrot_wrapper.io.strict_json import seal_of
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, load_prior, loading
from parrot_wrapper.priors.checkpoint import read_prior, save_prior
from parrot_wrapper.types import ObservationSpec

GOLDEN = Path(__file__).parents[1] / "golden" / "prior-v1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = FlowPriorConfig(ObservationSpec(state=4), 3, "state", hidden=8)
    prior = FlowPrior(config, metadata={"camera": {"fov": 60.0}})
    prior.set_action_scale(torch.full((3,), 0.1), torch.full((3,), 0.7))
    prior.save(tmp_path / "prior")
    return tmp_path / "prior"


def rewrite(folder: Path, header, *, seal: bool = True, **changes) -> None:
    """Change the header as an attacker or a later version would, with a seal that fits."""
    header = {key: value for key, value in {**header, **changes}.items() if value is not None}
    if seal:
        header["sha256"] = seal_of(header, key="sha256")
    (folder / "prior.json").write_text(json.dumps(header))


def test_round_trip(folder):
    loaded = load_prior(folder)
    assert loaded.config == FlowPriorConfig(ObservationSpec(state=4), 3, "state", hidden=8)
    assert loaded.metadata["camera"] == {"fov": 60.0}
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    loaded.save(folder)  # over itself
    again = load_prior(str(folder))
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert sorted(p.name for p in folder.iterdir()) == ["prior.json", "weights.safetensors"]
    assert [p.name for p in folder.parent.iterdir()] == ["prior"]  # nothing half-written is left


def test_golden_folder_keeps_its_outputs():
    """A folder of format 1 written once; every later version must read it the same."""
    expected = json.loads((GOLDEN.parent / "prior-v1-outputs.json").read_text())
    prior = load_prior(GOLDEN)
    obs = {
        "image": np.array(expected["image"], np.uint8),
        "proprio": np.array(expected["proprio"], np.float32),
    }
    z = np.array(expected["z"], np.float32)
    action = prior.decode(z, obs)
    np.testing.assert_allclose(prior.features(obs), expected["features"], atol=1e-5)
    np.testing.assert_allclose(action, expected["action"], atol=1e-5)
    np.testing.assert_allclose(prior.encode(action, obs), z, atol=1e-4)
    np.testing.assert_allclose(prior.log_prob(action, obs), expected["log_prob"], atol=1e-4)
    assert prior.metadata == {"note": "golden"}


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        load_prior(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="no such folder"):
        load_prior("runs/nothing/prior")
    with pytest.raises(CheckpointError, match=r"prior\.json: expected a prior's header"):
        load_prior(tmp_path)


def test_packaged_names(folder, monkeypatch):
    monkeypatch.setattr(loading, "PACKAGED_PRIORS", folder.parent)
    assert loading.packaged_names() == ["prior"]
    assert load_prior("prior").action_dim == 3
    with pytest.raises(UnknownNameError, match=r"Unknown prior 'pior'. Did you mean 'prior'"):
        load_prior("pior")


def test_truncated(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: expected \d+ bytes, found"):
        load_prior(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: .* no such file"):
        load_prior(folder)


def test_altered_weights(folder):
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="altered: expected SHA-256"):
        load_prior(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2 is newer than 1.*upgrade"),
        ({"format_version": 0}, "format_version of 1 or more, found 0"),
        ({"format_version": "1"}, "format_version of 1 or more, found '1'"),
        ({"type": "vae"}, "expected a prior of type flow, .*, found 'vae'"),
        ({"surprise": 1}, r"unknown key\(s\) surprise"),
        ({"metadata": None}, r"missing key\(s\) metadata"),
        ({"config": 3}, "expected 'config' to be an object"),
        ({"config": {"action_dim": 3}}, r"lacks the key\(s\) observation"),
        ({"weights": {"file": "../other"}}, "no such file"),
        ({"config+": {"hidden_width": 8}}, "prior config key 'hidden_width'"),
        ({"config+": {"encoder": "transformer"}}, "Unknown encoder 'transformer'"),
        ({"config+": {"hidden": 9}}, r"tensor flow.* expected \(9,.* found \(8,"),
        ({"config+": {"coupling_layers": 5}}, r"missing: .*couplings.4"),
        (
            {"config+": {"log_scale_bound": 2.0}, "seal": False},
            r"prior\.json: the file was altered",
        ),
        ({"text": "{"}, "damaged"),
    ],
)
def test_foreign_and_altered_headers(folder, changes, message):
    header = json.loads((folder / "prior.json").read_text())
    assert header["type"] == "flow"
    assert {"python", "torch", "numpy"} <= set(header["versions"])
    assert header["config"]["observation"] == {"image": None, "proprio": 0, "state": 4}
    if "config+" in changes:
        changes = {**changes, "config": {**header["config"], **changes["config+"]}}
    rewrite(folder, header, **{k: v for k, v in changes.items() if k not in ("config+", "text")})
    if "text" in changes:
        (folder / "prior.json").write_text(changes["text"])
    with pytest.raises(CheckpointError, match=message):
        load_prior(folder)


def test_saving_never_overwrites_other_things(tmp_path):
    config = FlowPriorConfig(ObservationSpec(state=4), 3, "state", hidden=8)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InvalidArgumentError, match="holds files but no prior"):
        FlowPrior(config).save(tmp_path)
    with pytest.raises(InvalidArgumentError, match="metadata must be JSON-able"):
        save_prior(FlowPrior(config), tmp_path / "new", {"bad": object()})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_save_that_dies_leaves_the_old_prior(folder, monkeypatch):
    before = read_prior(folder)
    monkeypatch.setattr(
        "parrot_wrapper.priors.checkpoint.write_json", lambda *_: (_ for _ in ()).throw(OSError)
    )
    with pytest.raises(OSError):
        load_prior(folder).save(folder)
    after = read_prior(folder)
    assert after.config == before.config
    shutil.rmtree(folder)


FOLDER = files("parrot_wrapper") / "assets" / "priors" / "parrot-v0"


@pytest.fixture(scope="module")
def prior() -> FlowPrior:
    loaded = load_prior("parrot-v0")
    assert isinstance(loaded, FlowPrior)
    return loaded


def test_is_small_and_has_its_card() -> None:
    sizes = {entry.name: len(entry.read_bytes()) for entry in FOLDER.iterdir()}
    assert sum(sizes.values()) < 8 * 2**20
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "parrot collect" in card
    assert "parrot eval-prior" in card


def test_card_and_header_agree(prior: FlowPrior) -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert prior.metadata["data"]["sha256"] in card
    assert f"{prior.metadata['data']['episodes']:,}" in card
    assert f"{prior.metadata['metrics']['validation_nll']:.2f} nats" in card


def test_was_trained_on_training_objects_through_this_camera(prior: FlowPrior) -> None:
    assert prior.metadata["env_id"] == "ParrotMultiTask-v0"
    env = gym.make("ParrotGraspCup-v0")
    assert prior.metadata["camera"] == json.loads(json.dumps(env.unwrapped.camera_spec()))
    env.close()


def test_samples_lift_novel_objects(prior: FlowPrior) -> None:
    env = gym.make("ParrotGraspCup-v0")
    samples = PriorSamples(env, prior)
    result = evaluate(samples, env, episodes=40, on_reset=samples.begin).to_dict()
    assert result["any_lifted"]["value"] > 0.6  # 0.85 on 100 episodes
    env.close()


@pytest.mark.parametrize("env_id", ["ParrotGraspCup-v0", "ParrotPlaceCanInPan-v0"])
def test_features_know_where_a_novel_container_is(prior: FlowPrior, env_id: str) -> None:
    assert env_id in parrot_envs.ENV_IDS
    env = gym.make(env_id)
    images, places = [], []
    for seed in range(40):
        images.append(env.reset(seed=seed)[0])
        labels = env.unwrapped.privileged_labels()
        places.append(labels["landmarks"][-1] - labels["gripper"][:3])
    slot = prior.features(np.stack(images))[:, 5:9]
    error = slot[:, 1:] / slot[:, :1] * LENGTH - np.array(places)
    assert np.abs(error).mean() < 0.012  # metres; the table is 0.24 wide
    env.close()
