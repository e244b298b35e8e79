"""Two cameras, one on the wrist: data of them, a prior, wrapped three ways, judged, commands."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv

from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
)
from parrot_wrapper.cli import main
from parrot_wrapper.data import EpisodeDataset, contact_sheet, load_dataset, save_dataset
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError, UnknownNameError
from parrot_wrapper.evaluation.judge import JudgeSettings, judge_prior
from parrot_wrapper.evaluation.pictures import frame_of
from parrot_wrapper.priors import FlowPrior, load_prior
from parrot_wrapper.record.policy_episodes import record_policy
from parrot_wrapper.rl.replay.demonstrations import fill_replay_buffer
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.types import KEYS_FACT
from tests.two_cameras_env import ENV_ID, FIXED, WRIST, OverEnv

TINY: dict[str, Any] = {
    "encoder": "convolutional",
    "encoder_options": {"channels": 4, "hidden": 8, "embedding": 8},
    "hidden": 8,
}
ROBOMIMIC = ("agentview_image", "robot0_eye_in_hand_image")
STEPS = PriorTrainingConfig(steps=3, batch_size=8, validation_batches=1, device="cpu")


def make(**options: Any) -> gym.Env[Any, Any]:
    return gym.wrappers.TimeLimit(OverEnv(**options), 5)


def recorded(episodes: int = 4, image_key: Any = None, **options: Any) -> EpisodeDataset:
    policy = np.random.default_rng(0)
    return record_policy(
        make(**options),
        lambda _: policy.uniform(-0.5, 0.5, 2),
        episodes=episodes,
        only_successes=False,
        image_key=image_key,
    )


@pytest.fixture(scope="module")
def data() -> EpisodeDataset:
    return recorded()


@pytest.fixture(scope="module")
def prior(data: EpisodeDataset) -> FlowPrior:
    fitted = FlowPrior.for_data(data, **TINY)
    fit_prior(fitted, data, STEPS, progress=False)
    return fitted


def test_images_are_found_and_keep_their_names(data: EpisodeDataset) -> None:
    images = {"image": FIXED, "image_wrist": WRIST}
    assert data.observation_spec.images == images
    assert data.metadata[KEYS_FACT] == {k: [k] for k in (*images, "proprio")}
    assert str(data.observation_spec) == f"image {FIXED}, image_wrist {WRIST}, proprio (2,)"
    assert recorded(2, names=ROBOMIMIC).observation_spec.images == dict(
        zip(ROBOMIMIC, (FIXED, WRIST), strict=True)
    )
    alone = recorded(2, names=ROBOMIMIC, image_key=ROBOMIMIC[1])
    assert alone.observation_spec.parts == {"image": WRIST}
    named = recorded(2, image_key={"front": "image", "hand": "image_wrist"}, channels_first=True)
    assert named.observation_spec.images == {"front": FIXED, "hand": WRIST}
    wrist = data.observations["image_wrist"].astype(int)
    assert (np.abs(wrist[1:] - wrist[:-1]).sum(axis=(1, 2, 3)) > 0).mean() > 0.7  # it moves


def test_data_on_disk_and_features_of_them(
    data: EpisodeDataset, prior: FlowPrior, tmp_path: Path
) -> None:
    save_dataset(data, tmp_path / "data")
    loaded = load_dataset(tmp_path / "data")
    assert loaded.content_hash == data.content_hash
    assert loaded.observation_spec == data.observation_spec
    cache = FeatureCache(tmp_path / "cache", prior)
    made = cache.make(loaded, progress=False)
    expected = prior.features({**loaded.observations})
    np.testing.assert_allclose(made.observations["features"], expected, atol=1e-2)
    assert cache.find(load_dataset(tmp_path / "data", actions_only=True)) is not None
    shape = contact_sheet(loaded, episodes=1, frames=1, image_key="image_wrist").shape
    assert shape == (WRIST[0] + 4, WRIST[1] + 4, 3)
    with pytest.raises(UnknownNameError, match="Did you mean 'image_wrist'"):
        contact_sheet(loaded, image_key="image_wirst")


def test_a_prior_may_look_at_some_only(data: EpisodeDataset) -> None:
    assert list(FlowPrior.for_data(data, **TINY).observation_spec.parts) == list(data.observations)
    some = FlowPrior.for_data(data, image_keys=("image_wrist",), proprio=False, **TINY)
    assert some.observation_spec.parts == {"image_wrist": WRIST}
    BehavioralPriorWrapper(make(), some).reset(seed=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'image_wrist'"):
        FlowPrior.for_data(data, image_keys=("image_wirst",), **TINY)


@pytest.mark.parametrize("mode", ["image", "features", "both"])
def test_three_ways_of_wrapping_do_the_same(prior: FlowPrior, mode: str) -> None:
    u = np.random.default_rng(1).uniform(-1, 1, (4, 2, 2)).astype(np.float32)
    executed = []
    single = BehavioralPriorWrapper(make(), prior, observation=mode)
    seen, _ = single.reset(seed=0)
    assert single.observation_space.contains(seen)
    rows = [single.step(row[0]) for row in u]
    executed.append([row[-1]["parrot/action"] for row in rows])
    vector = BehavioralPriorVectorWrapper(SyncVectorEnv([make] * 2), prior, observation=mode)
    vector.reset(seed=[0, 1])
    executed.append([vector.step(row)[-1]["parrot/action"][0] for row in u])
    sb3 = BehavioralPriorVecWrapper(DummyVecEnv([make] * 2), prior, observation=mode)
    sb3.seed(0)
    sb3.reset()
    executed.append([sb3.step(row)[-1][0]["parrot/action"] for row in u])
    np.testing.assert_allclose(executed[1], executed[0], atol=1e-5)
    np.testing.assert_allclose(executed[2], executed[0], atol=1e-5)
    bare = make()
    bare.reset(seed=0)
    for action in executed[0]:
        raw = bare.step(action)[0]
    features = prior.features({name: part[None] for name, part in raw.items()})[0]
    last = rows[-1][0]
    if mode != "image":
        found = last["features"] if mode == "both" else last
        np.testing.assert_allclose(found, features, atol=1e-5)


@pytest.mark.parametrize("channels_first", [False, True])
def test_an_env_with_other_keys(prior: FlowPrior, channels_first: bool) -> None:
    env = make(names=ROBOMIMIC, channels_first=channels_first)
    usual = BehavioralPriorWrapper(make(), prior, observation="features").reset(seed=0)[0]
    keys = {"image": ROBOMIMIC[0], "image_wrist": ROBOMIMIC[1]}
    wrapped = BehavioralPriorWrapper(env, prior, observation="features", image_key=keys)
    np.testing.assert_allclose(wrapped.reset(seed=0)[0], usual, atol=1e-5)
    with pytest.raises(SpaceMismatchError, match=r"image_key.*\n.*image_key=\{'image_wrist'"):
        BehavioralPriorWrapper(env, prior)
    for wrong in ({"wirst": "x"}, {"image_wrist": ("a", "b")}, {"image_wrist": 3}):
        with pytest.raises(InvalidArgumentError, match="image_key"):
            BehavioralPriorWrapper(env, prior, image_key=wrong)


class Odd(gym.ObservationWrapper[Any, Any, Any]):
    """What a camera shows is something else than the space says."""

    def __init__(self, env: gym.Env[Any, Any], change: Any) -> None:
        super().__init__(env)
        self._change = change

    def observation(self, observation: Any) -> Any:
        changed = {**observation, "image_wrist": self._change(observation["image_wrist"])}
        return {name: part for name, part in changed.items() if part is not None}


@pytest.mark.parametrize("channels_first", [False, True])
def test_a_camera_that_shows_too_few_axes(prior: FlowPrior, channels_first: bool) -> None:
    env = Odd(make(channels_first=channels_first), lambda image: image[0, 0])
    with pytest.raises(SpaceMismatchError, match="image_wrist: .*40, 36, 3"):
        BehavioralPriorWrapper(env, prior, observation="features").reset(seed=0)


def test_an_image_that_is_none_is_not_left_aside() -> None:
    env = make()
    parts = {**env.observation_space.spaces, "image": gym.spaces.Box(0.0, 1.0, FIXED[:1])}
    env.observation_space = gym.spaces.Dict(parts)
    with pytest.raises(SpaceMismatchError, match=r"\['image'\]: expected an image"):
        record_policy(env, lambda _: np.zeros(2), episodes=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: None, "image_wrist in the observation, got image, proprio"),
        (lambda image: image[:-2], r"image_wrist: .*40, 36, 3.* got shape \(1, 38, 36, 3\)"),
        (lambda image: (image / 255).astype(np.float32), "image_wrist: .*uint8, got .*float32"),
    ],
    ids=["missing", "another size", "floats"],
)
def test_a_camera_that_is_not_as_it_was_at_acting_time(prior: FlowPrior, change, words) -> None:
    for mode in ("image", "features"):
        env = BehavioralPriorWrapper(Odd(make(), change), prior, observation=mode)
        with pytest.raises(SpaceMismatchError, match=words):
            env.reset(seed=0)
            env.step(np.zeros(2, np.float32))


def test_spaces_that_do_not_fit(prior: FlowPrior) -> None:
    env = make()
    space = dict(env.observation_space.spaces)
    for wrist, words in (
        (gym.spaces.Box(0, 255, (48, 48, 3), np.uint8), r"image_wrist.*\(40, 36, 3\).*48, 48, 3"),
        (gym.spaces.Box(0.0, np.inf, WRIST, np.float32), "image_wrist.*least and .* float32"),
        (gym.spaces.Discrete(3), "image_wrist.*Discrete"),
    ):
        env.observation_space = gym.spaces.Dict({**space, "image_wrist": wrist})
        with pytest.raises(SpaceMismatchError, match=words):
            BehavioralPriorWrapper(env, prior)


def test_demonstrations_in_the_buffer_of_an_agent(data: EpisodeDataset, prior: FlowPrior) -> None:
    env = BehavioralPriorWrapper(make(), prior, observation="both")
    model = SAC("MultiInputPolicy", env, buffer_size=100, learning_starts=4, device="cpu")
    filled = fill_replay_buffer(model, data, prior, observation="both", final_reward=1.0)
    assert filled.transitions == data.n_steps
    wrist = np.moveaxis(data.observations["image_wrist"], -1, 1)  # as SB3 turns it
    np.testing.assert_array_equal(model.replay_buffer.observations["image_wrist"][0, 0], wrist[0])
    model.learn(8)


def test_judged_and_filmed(data: EpisodeDataset, prior: FlowPrior) -> None:
    env = make()
    few = JudgeSettings(episodes=1, expert_episodes=3)
    judged = judge_prior(prior, env, dataset=data, settings=few)
    assert judged.skipped.keys() == {"probe", "next keyframe"} and judged.on_data is not None
    frame = frame_of(env, env.reset(seed=0)[0])
    assert frame is not None and frame.shape[1] % FIXED[1] == 0
    wrists = frame_of(env, {"image_wrist": np.zeros(WRIST, np.uint8), "other": np.zeros(3)})
    assert wrists is not None


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("names", [("image", "image_wrist"), ROBOMIMIC])
def test_the_commands(names: tuple[str, str], tmp_path: Path, capsys) -> None:
    own = ["--gym-packages", "tests.two_cameras_env", "--env-id", ENV_ID]
    kwargs = ["--env-kwargs", f"names={json.dumps(names)}"]
    folders = {name: str(tmp_path / name) for name in ("data", "prior", "judged", "run")}
    collect = ["--episodes", "6", "--workers", "1", "--shard-attempts", "8", "--no-progress"]
    assert main(["collect", *own, *kwargs, *collect, "--out", folders["data"]]) == 0
    small = ["--encoder", "convolutional", "--encoder-options", "channels=4", "hidden=8"]
    few = ["--steps", "3", "--batch-size", "8", "--hidden", "8", "--device", "cpu", "--no-progress"]
    train_prior = ["--data", folders["data"], "--out", folders["prior"], *small, *few]
    assert main(["train-prior", *train_prior]) == 0
    assert f"{names[0]} {FIXED}, {names[1]} {WRIST}, proprio 2" in capsys.readouterr().out
    assert load_prior(folders["prior"]).observation_spec.images == dict(
        zip(names, (FIXED, WRIST), strict=True)
    )
    judge = ["--episodes", "1", "--expert-episodes", "3", "--gif-episodes", "1", "--no-progress"]
    with_prior = [*own, *kwargs, "--prior", folders["prior"]]
    data = ["--data", folders["data"]]
    assert main(["eval-prior", *with_prior, *data, *judge, "--out", folders["judged"]]) == 0
    assert main(["info", folders["prior"]]) == 0
    rl = ["--total-steps", "20", "--episodes", "1", "--device", "cpu", "--no-progress"]
    assert main(["train", *with_prior, *rl, "--out", folders["run"]]) == 0
    assert main(["data", "show", folders["data"], "--sheet", f"{folders['data']}.png"]) == 0
