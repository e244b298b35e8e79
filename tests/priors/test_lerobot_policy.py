"""LeRobot's policies as priors, by stand-ins; `make test-lerobot` has real ones."""

from collections import deque
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import FrameStackObservation

from parrot_wrapper import BehavioralPriorWrapper
from parrot_wrapper.errors import (
    CheckpointError,
    InvalidArgumentError,
    LatentError,
    NotOfferedError,
    SpaceMismatchError,
)
from parrot_wrapper.priors.lerobot_policy import LeRobotPrior, load_lerobot_policy
from parrot_wrapper.types import ActionPrior

TOP, WRIST, STATE = "observation.images.top", "observation.images.wrist", "observation.state"
SHAPES = {TOP: ("VISUAL", (3, 5, 4)), STATE: ("STATE", (2,))}


class Policy:
    """Action k of a chunk is 0.1 noise k + the oldest state + a top image's first pixel."""

    def __init__(self, shapes: Any = None, frames: int = 1, steps: int = 3, **config: Any) -> None:
        features = {
            key: SimpleNamespace(type=SimpleNamespace(value=kind), shape=shape)
            for key, (kind, shape) in (shapes or SHAPES).items()
        }
        self.config = SimpleNamespace(
            n_obs_steps=frames, n_action_steps=steps, chunk_size=4, device="cpu",
            input_features=features, output_features={"action": SimpleNamespace(shape=(2,))},
        )  # fmt: skip
        vars(self.config).update(config)
        self.reset()

    def eval(self) -> Any:
        return self

    def reset(self) -> None:
        frames = self.config.n_obs_steps
        keys = [key for key in self.config.input_features if key != TOP]
        queues = {key: deque(maxlen=frames) for key in (*keys, "observation.images")}
        self._queues = {**queues, "action": deque(maxlen=self.config.n_action_steps)}

    def select_action(self, batch: Any, noise: Any = None) -> Any:
        if not self._queues["action"]:
            for key, part in (*batch.items(), ("observation.images", batch.get(TOP))):
                if key in self._queues and part is not None:
                    part = part[:, None] if key == "observation.images" else part
                    queue = self._queues[key]
                    queue.extend([part] * (1 if queue else queue.maxlen))
            self.history = {key: list(queue) for key, queue in self._queues.items()}
            pixel = self.history["observation.images"][-1][:, 0, 0, 0, :1]
            chunk = 0.1 * self.used(noise) + (self.history[STATE][0] + pixel)[:, None]
            self._queues["action"].extend(chunk.transpose(0, 1)[: self.config.n_action_steps])
        return self._queues["action"].popleft()

    def used(self, noise: Any) -> Any:
        return noise


class Random(Policy):
    def used(self, noise: Any) -> Any:
        return noise + torch.randn(noise.shape)


class Deaf(Policy):
    def used(self, noise: Any) -> Any:
        return 0 * noise


class Silent(Policy):
    def select_action(self, batch: Any) -> Any:
        return batch


class Forgetful(Policy):
    def reset(self) -> None:
        """It has no queues."""


def doubled(batch: Any) -> Any:
    """A processor that normalises the state, and adds what LeRobot's add."""
    return {**batch, STATE: 2 * batch[STATE], "action": None}


def prior_of(policy: Any, **options: Any) -> LeRobotPrior:
    return LeRobotPrior(policy, doubled, lambda action: action + 0.5, **options)


class Env(gym.Env):
    """A camera called "top" with a first pixel of 51, a fifth, and a state that counts steps."""

    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, camera: str = "top", actions: int = 2) -> None:
        image = gym.spaces.Box(0, 255, (5, 4, 3), np.uint8)
        vector = gym.spaces.Box(-9.0, 9.0, (2,), np.float32)
        self.observation_space = gym.spaces.Dict({camera: image, "state": vector})
        self.action_space = gym.spaces.Box(-1.0, 1.0, (actions,), np.float32)
        self.camera = camera

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.taken = 0
        return self.look(), {}

    def step(self, action: Any) -> Any:
        self.taken += 1
        return self.look(), 0.0, False, self.taken >= 6, {}

    def look(self) -> Any:
        state = np.full(2, -0.01 * self.taken, np.float32)
        return {self.camera: np.full((5, 4, 3), 51, np.uint8), "state": state}


def test_noise_becomes_a_chunk_in_the_units_of_the_env() -> None:
    prior = prior_of(Policy())
    assert isinstance(prior, ActionPrior) and not prior.bijective
    assert (prior.latent_dim, prior.horizon, prior.action_dim) == (8, 3, 2)
    assert str(prior.observation_spec) == "image (5, 4, 3), proprio (2,)"
    env = BehavioralPriorWrapper(Env(), prior)
    assert env.action_space.shape == (8,)
    env.reset(seed=0)
    u = env.action_space.sample()
    *_, info = env.step(u)
    noise = info["parrot/latent"].reshape(4, 2)[:3]
    np.testing.assert_allclose(info["parrot/action"], np.clip(0.1 * noise + 0.7, -1, 1), atol=1e-6)
    with pytest.raises(NotOfferedError, match="no inverse"):
        env.encode(np.zeros((3, 2)))
    with pytest.raises(LatentError, match="latent"):
        prior.decode_features(np.zeros((1, 7), np.float32), np.zeros((1, 62), np.float32))


def test_frames_come_from_the_env_one_step_apart() -> None:
    """Also after a chunk: the env stacks them, whatever the wrapper does."""
    policy = Policy(frames=2)
    env = BehavioralPriorWrapper(FrameStackObservation(Env(), 2), prior_of(policy))
    env.reset()
    env.step(np.zeros(8, np.float32))  # three env steps
    env.step(np.zeros(8, np.float32))
    older, newer = (frame[0].tolist() for frame in policy.history[STATE])
    assert older == pytest.approx([-0.04] * 2) and newer == pytest.approx([-0.06] * 2)
    images = policy.history["observation.images"]
    assert [tuple(image.shape) for image in images] == [(1, 1, 3, 5, 4)] * 2
    assert images[0].flatten()[0].item() == pytest.approx(0.2)


def test_several_cameras_keep_their_names_and_vectors_of_a_kind_are_joined() -> None:
    more = {WRIST: ("VISUAL", (3, 2, 2)), "observation.force": ("STATE", (1,))}
    shapes = {**SHAPES, **more, "observation.environment_state": ("ENV", (3,))}
    prior = prior_of(Policy(shapes))
    assert list(prior.observation_spec.parts) == [TOP, WRIST, "proprio", "state"]
    spec = prior.observation_spec
    assert (spec.proprio, spec.state, spec.cameras[WRIST]) == (3, 3, (2, 2, 3))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: prior_of(Silent()), "takes noise="),
        (lambda: prior_of(SimpleNamespace(config=Policy().config)), "takes noise="),
        (lambda: prior_of(Deaf()), "depend on its noise"),
        (lambda: prior_of(Random()), "draws more on the way"),
        (lambda: prior_of(Forgetful(frames=2)), "queues of 2"),
        (lambda: prior_of(Policy(), noise_shape=(4, 3)), "noise_shape"),
        (lambda: prior_of(Policy(), noise_shape=(4, 0)), "noise_shape"),
        (lambda: prior_of(Policy({**SHAPES, "o.t": ("LANGUAGE", (1,))})), "images and vectors"),
        (lambda: prior_of(Policy(), action_low=1.0), "action_low < action_high"),
        (lambda: prior_of(Policy(), action_high=np.ones(3)), r"\(2,\)"),
        (lambda: prior_of(Policy(), action_high=np.inf), "finite"),
        (lambda: load_lerobot_policy(".", ddim_steps=0), "found none"),
    ],
)
def test_policies_that_cannot_serve(make: Any, told: str) -> None:
    with pytest.raises((InvalidArgumentError, CheckpointError), match=told):
        make()


@pytest.mark.parametrize(
    ("env", "frames", "told"),
    [
        (Env(camera="wrist"), 1, "image: expected|expected the image.*say where"),
        (Env(actions=3), 1, r"expected shape \(2,\), got shape \(3,\)"),
        (Env(), 2, r"\(5, 4, 6\)"),
    ],
)
def test_envs_that_lack_something(env: Any, frames: int, told: str) -> None:
    with pytest.raises(SpaceMismatchError, match=told):
        BehavioralPriorWrapper(env, prior_of(Policy(frames=frames)))
