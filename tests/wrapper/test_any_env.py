"""Envs of other projects: images of all layouts and sizes, joined keys, any action box."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from parrot_wrapper import (
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
    FlowPrior,
    FlowPriorConfig,
    ObservationSpec,
)
from parrot_wrapper.data import load_dataset
from parrot_wrapper.data.exchange import ImportOptions, import_data
from parrot_wrapper.errors import SpaceMismatchError
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from tests.any_env import AnyEnv
from tests.helpers import IMAGE_SHAPE, AffinePrior, EchoEnv

SMALL = {"channels": 4, "hidden": 8, "embedding": 8}


def flow_prior(spec, box, **options):
    low, high = box.low.astype(np.float64), box.high.astype(np.float64)
    config = FlowPriorConfig(
        spec,
        len(low),
        encoder="convolutional" if spec.image else "state",
        encoder_options=SMALL if spec.image else {},
        hidden=8,
        action_low=tuple(low),
        action_high=tuple(high),
    )
    return FlowPrior(config, **options)


@st.composite
def action_boxes(draw):
    """1 to 30 dimensions; asymmetric, tiny and huge boxes; both float types."""
    dim = draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    width = 10.0 ** rng.uniform(-3, draw(st.sampled_from([1, 6, 37])), dim)
    low = rng.uniform(-1.0, 0.5, dim) * width
    return gym.spaces.Box(low.astype(dtype), (low + width).astype(dtype), dtype=dtype)


def check_acting(env, spec, seen, keys):
    """Executed is what the prior decodes of what the env showed, and `encode` turns it back."""
    prior = flow_prior(spec, env.action_space, seed=3)
    wrapped = BehavioralPriorWrapper(env, prior, **keys)
    observation, _ = wrapped.reset(seed=0)
    assert wrapped.observation_space.contains(observation)
    for u in np.random.default_rng(0).uniform(-0.9, 0.9, (3, prior.latent_dim)).astype(np.float32):
        raw = prior.decode(wrapped.chart.to_latent(u[None]), seen(env))[0]
        # an untrained prior's actions are of size 1, whatever the box is
        expected = np.clip(raw, env.action_space.low, env.action_space.high)
        inside = np.array_equal(expected, raw)
        if inside:
            np.testing.assert_allclose(wrapped.encode(raw), u, atol=1e-3)
        *_, info = wrapped.step(u)
        np.testing.assert_allclose(env.executed, expected, rtol=1e-5)
        assert env.executed.dtype == env.action_space.dtype
        assert info["parrot/clipped"] is not inside


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    box=action_boxes(),
    size=st.tuples(st.integers(32, 70), st.integers(32, 70), st.sampled_from([1, 3, 4])),
    layout=st.sampled_from(["hwc", "chw", "stacked hwc", "stacked chw"]),
    key=st.sampled_from([None, "image", "pixels"]),
    proprio=st.sampled_from([None, "proprio", ("joints", "grip")]),
)
def test_images_of_any_size_and_layout_in_any_action_box(box, size, layout, key, proprio):
    stack = 3 if layout.startswith("stacked") else 1
    names = (proprio,) if isinstance(proprio, str) else proprio or ()
    vectors = {name: (2, 2) if name == "joints" else (3,) for name in names} if key else {}
    env = AnyEnv(
        frame=size, layout=layout, stack=stack, image_key=key, vectors=vectors, action_space=box
    )
    length = sum(int(np.prod(shape)) for shape in vectors.values())
    spec = ObservationSpec(image=(*size[:2], stack * size[2]), proprio=length)

    def seen(env):
        joined = [env.vectors[name].reshape(1, -1) for name in vectors]
        image = env.image[None]
        if not vectors:
            return image
        return {"image": image, "proprio": np.concatenate(joined, 1).astype(np.float32)}

    check_acting(env, spec, seen, {"image_key": key, "proprio_key": proprio if vectors else None})


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    box=action_boxes(),
    shapes=st.lists(st.sampled_from([(), (1,), (5,), (2, 3)]), min_size=1, max_size=3),
)
def test_states_joined_from_any_keys_in_any_action_box(box, shapes):
    vectors = {f"part{index}": shape for index, shape in enumerate(shapes)}
    names = tuple(reversed(vectors))  # in the order that is asked for, not the env's
    env = AnyEnv(vectors=vectors, action_space=box)
    spec = ObservationSpec(state=sum(int(np.prod(shape)) for shape in shapes))

    def seen(env):
        joined = np.concatenate([env.vectors[name].reshape(-1) for name in names])
        return joined[None].astype(np.float32)

    check_acting(env, spec, seen, {"state_key": names})


@pytest.mark.parametrize("layout", ["stacked hwc", "stacked chw"])
def test_a_prior_of_fewer_frames_sees_the_newest(layout):
    env = AnyEnv(frame=(36, 32, 3), layout=layout, stack=4)
    prior = flow_prior(ObservationSpec(image=(36, 32, 6)), env.action_space)
    wrapped = BehavioralPriorWrapper(env, prior, observation="features")
    features, _ = wrapped.reset(seed=0)
    newest = env.image[None, ..., -6:]
    np.testing.assert_allclose(features, prior.features(newest)[0], rtol=1e-5)


@pytest.mark.parametrize("kind", ["hwc", "chw"])
def test_frame_stacks_of_gymnasium_and_of_sb3_are_read_alike(kind):
    height, width, channels = IMAGE_SHAPE
    prior = AffinePrior(ObservationSpec(image=(height, width, 2 * channels)))
    single = BehavioralPriorWrapper(
        FrameStackObservation(EchoEnv(kind), 2, padding_type="zero"), prior, observation="features"
    )
    venv = BehavioralPriorVecWrapper(
        VecFrameStack(DummyVecEnv([lambda: EchoEnv(kind)]), 2), prior, observation="features"
    )
    venv.seed(5)
    np.testing.assert_allclose(venv.reset()[0], single.reset(seed=5)[0], rtol=1e-6)
    u = np.array([0.2, -0.4], np.float32)
    for _ in range(3):
        seen, *_, info = single.step(u)
        many, *_, infos = venv.step(u[None])
        np.testing.assert_allclose(many[0], seen, rtol=1e-6)
        np.testing.assert_allclose(infos[0]["parrot/action"], info["parrot/action"], rtol=1e-6)


def test_keys_in_the_priors_metadata_need_not_be_given_again():
    box = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    keys = {"image": ["pixels"], "proprio": ["joints", "grip"]}
    spec = ObservationSpec(image=(32, 32, 3), proprio=5)
    prior = flow_prior(spec, box, metadata={"observation_keys": keys})
    env = AnyEnv(frame=(32, 32, 3), image_key="pixels", vectors={"grip": (2,), "joints": (3,)})
    wrapped = BehavioralPriorWrapper(env, prior, observation="features")
    features, _ = wrapped.reset(seed=0)
    proprio = np.concatenate([env.vectors["joints"], env.vectors["grip"]])[None].astype(np.float32)
    expected = prior.features({"image": env.image[None], "proprio": proprio})[0]
    np.testing.assert_allclose(features, expected, rtol=1e-5)
    with pytest.raises(SpaceMismatchError, match=r"observation\['camera'\]: .*with image_key"):
        BehavioralPriorWrapper(env, prior, image_key="camera")


def test_keys_of_imported_data_are_found_again(tmp_path):
    names = {"pixels": (32, 32, 3), "joints": (3,), "grip": (2,)}
    env = AnyEnv(frame=(32, 32, 3), image_key="pixels", vectors={"grip": (2,), "joints": (3,)})
    for index in range(2):
        parts = {
            name: np.ones((5, *shape), np.uint8 if name == "pixels" else np.float32)
            for name, shape in names.items()
        }
        parts["pixels"][index::2] = 90  # images that never change are refused
        np.savez(tmp_path / f"{index}.npz", actions=np.eye(4)[:, :2], **parts)
    options = ImportOptions(action_low=(-1.0,), action_high=(1.0,))
    import_data("arrays", tmp_path, tmp_path / "data", options)
    data = load_dataset(tmp_path / "data")
    prior = flow_prior(data.observation_spec, env.action_space)
    config = PriorTrainingConfig(steps=1, batch_size=2, validation_batches=1)
    fit_prior(prior, data, config, progress=False)
    BehavioralPriorWrapper(env, prior)
    prior.set_metadata({"imported_keys": {"image": "elsewhere", "proprio": ["joints", "grip"]}})
    with pytest.raises(SpaceMismatchError, match=r"observation\['image'\]: expected"):
        BehavioralPriorWrapper(env, prior)


def test_joined_keys_that_do_not_fit_are_told():
    env = AnyEnv(vectors={"a": (2,), "b": (3,)})
    prior = flow_prior(ObservationSpec(state=6), env.action_space)
    message = r"\['a'\] \+ observation\['b'\]: .* of shape \(6,\), got shape \(2,\) \+ \(3,\)"
    with pytest.raises(SpaceMismatchError, match=message):
        BehavioralPriorWrapper(env, prior, state_key=["a", "b"])
    with pytest.raises(SpaceMismatchError, match="got the keys a, b; say where it is with state_k"):
        BehavioralPriorWrapper(env, prior)


def test_spec_keeps_the_keys(tmp_path):
    gym.register("ParrotTestAny-v0", entry_point="tests.any_env:AnyEnv")
    try:
        env = gym.make("ParrotTestAny-v0", vectors={"a": (2,), "b": (3,)})
        prior = flow_prior(ObservationSpec(state=5), env.action_space)
        prior.save(tmp_path / "prior")
        wrapped = BehavioralPriorWrapper(env, tmp_path / "prior", state_key=("b", "a"))
        text = wrapped.spec.to_json()
        again = gym.make(gym.envs.registration.EnvSpec.from_json(text))
    finally:
        gym.registry.pop("ParrotTestAny-v0")
    u = np.array([0.5, -0.5], np.float32)
    wrapped.reset(seed=1)
    again.reset(seed=1)
    np.testing.assert_array_equal(
        wrapped.step(u)[-1]["parrot/action"], again.step(u)[-1]["parrot/action"]
    )
