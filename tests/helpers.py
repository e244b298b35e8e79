"""Toy envs that echo their action in `info`, and a toy prior whose inverse is known."""

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from parrot_wrapper.types import AnyArray, FloatArray, Observations, ObservationSpec

IMAGE_SHAPE = (40, 44, 3)
CAMERA = {"renderer": "none", "eye": (0.0, 0.0, 1.0), "size": 40}


class EchoEnv(gym.Env[Any, AnyArray]):
    """Random images; `info["echo"]` is the executed action, the reward its first component.

    The observation is an image (H, W, C), the same channels first, a state vector, or a Dict of
    image and proprioception.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(
        self,
        obs: str = "hwc",
        action_dim: int = 2,
        action_bound: float = 1.0,
        steps: int = 5,
        terminate_on_success: bool = False,
    ) -> None:
        height, width, channels = IMAGE_SHAPE
        image = gym.spaces.Box(0, 255, IMAGE_SHAPE, np.uint8)
        proprio = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.observation_space = {
            "hwc": image,
            "chw": gym.spaces.Box(0, 255, (channels, height, width), np.uint8),
            "state": proprio,
            "dict": gym.spaces.Dict({"image": image, "proprio": proprio}),
        }[obs]
        self.action_space = gym.spaces.Box(-action_bound, action_bound, (action_dim,), np.float32)
        self.terminate_on_success = terminate_on_success
        self.steps = steps
        self.taken = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.taken = 0
        return self._observe(), {"is_success": False}

    def step(self, action: AnyArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken += 1
        info = {"echo": action.copy(), "is_success": False}
        reward = float(action[0])
        action[...] = 0.0  # some envs work in place; nobody's record may suffer from it
        return self._observe(), reward, False, self.taken >= self.steps, info

    def _observe(self) -> Any:
        def draw(space: Any) -> AnyArray:
            if space.dtype == np.uint8:
                return self.np_random.integers(0, 256, space.shape, dtype=np.uint8)
            return self.np_random.uniform(-1, 1, space.shape).astype(np.float32)

        if isinstance(self.observation_space, gym.spaces.Dict):
            return {key: draw(space) for key, space in self.observation_space.items()}
        return draw(self.observation_space)


class CameraEnv(EchoEnv):
    """An `EchoEnv` that describes its camera."""

    def camera_spec(self) -> dict[str, Any]:
        return dict(CAMERA)


class AffinePrior:
    """a = scale z + shift, where shift is 2 f - 1 of the mean feature f, in 0 to 1.

    Features: for images the mean brightness of each channel, 0 to 1; for states (s + 1) / 2; both
    where there are both. `feature_calls` counts the batches embedded. With a horizon above 1,
    action k of a chunk is 0.1 k more.
    """

    def __init__(
        self,
        spec: ObservationSpec | None = None,
        *,
        action_dim: int = 2,
        scale: float = 0.2,
        bound: float = 1.0,
        metadata: Mapping[str, Any] | None = None,
        horizon: int = 1,
    ) -> None:
        self.observation_spec = ObservationSpec(image=IMAGE_SHAPE) if spec is None else spec
        self.latent_dim = self.action_dim = action_dim
        self.horizon = horizon
        self.scale = scale
        self.metadata = dict(metadata or {})
        edge = np.full(action_dim, bound, np.float32)
        self.action_bounds = (-edge, edge)
        image = self.observation_spec.image
        self.feature_dim = (
            (image[-1] if image else 0)
            + self.observation_spec.proprio
            + self.observation_spec.state
        )
        self.feature_calls = 0

    def features(self, obs: Observations) -> FloatArray:
        self.feature_calls += 1
        parts = obs.values() if isinstance(obs, Mapping) else [obs]
        columns = []
        for part in parts:
            if part.dtype == np.uint8:
                assert part.shape[1:] == self.observation_spec.image
                columns.append(part.mean(axis=(1, 2)) / 255.0)
            else:
                assert part.dtype == np.float32
                columns.append((part + 1.0) / 2.0)
        return np.concatenate(columns, axis=1).astype(np.float32)

    def shift(self, features: FloatArray) -> FloatArray:
        return 2.0 * features.mean(axis=1, keepdims=True) - 1.0

    def decode(self, z: FloatArray, obs: Observations) -> FloatArray:
        return self.decode_features(z, self.features(obs))

    def decode_features(self, z: FloatArray, features: FloatArray) -> FloatArray:
        assert z.dtype == np.float32 and z.shape == (len(features), self.latent_dim)
        action = self.scale * z + self.shift(features)
        if self.horizon == 1:
            return action
        return (
            action[:, None] + np.float32(0.1) * np.arange(self.horizon, dtype=np.float32)[:, None]
        )

    def encode(self, action: FloatArray, obs: Observations) -> FloatArray:
        return self.encode_features(action, self.features(obs))

    def encode_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        first = action if self.horizon == 1 else action[:, 0]
        return (first - self.shift(features)) / np.float32(self.scale)

    def log_prob(self, action: FloatArray, obs: Observations) -> FloatArray:
        z = self.encode(action, obs)
        log_normal = -0.5 * z**2 - 0.5 * np.log(2.0 * np.pi) - np.log(self.scale)
        return log_normal.sum(axis=1)


SPECS = {
    "hwc": ObservationSpec(image=IMAGE_SHAPE),
    "chw": ObservationSpec(image=IMAGE_SHAPE),
    "state": ObservationSpec(state=4),
    "dict": ObservationSpec(image=IMAGE_SHAPE, proprio=4),
}
"""What a prior looks at in an `EchoEnv` of each kind."""


class RememberingPrior(AffinePrior):
    """a = scale z + 0.05 n, where n, its last feature, is how many env steps the episode had."""

    def __init__(self, spec: ObservationSpec | None = None, **options: Any) -> None:
        super().__init__(spec, **options)
        self.feature_dim += 1

    def features(self, obs: Observations) -> FloatArray:
        return np.pad(super().features(obs), ((0, 0), (0, 1)))

    def shift(self, features: FloatArray) -> FloatArray:
        return np.float32(0.05) * features[:, -1:]

    def initial_state(self, envs: int) -> AnyArray:
        return np.zeros((envs, 1), np.float32)

    def recall(self, features: FloatArray, state: AnyArray) -> FloatArray:
        return np.concatenate([features[:, :-1], state], axis=1)

    def advance(self, state: AnyArray, features: FloatArray, action: AnyArray) -> AnyArray:
        np.testing.assert_array_equal(features[:, -1:], state)
        chunk = (self.horizon,) if self.horizon > 1 else ()
        assert action.shape == (len(state), *chunk, self.action_dim)
        return state + self.horizon


class ClosedLoopPrior(AffinePrior):
    """Action k of a chunk is scale z + 0.1 k + the newest observation's shift + 0.1 the first's."""

    def decode_step(
        self, z: FloatArray, first: FloatArray, newest: FloatArray, step: int
    ) -> FloatArray:
        known = self.shift(newest) + np.float32(0.1) * self.shift(first)
        return self.scale * z + known + np.float32(0.1 * step)

    def decode_features(self, z: FloatArray, features: FloatArray) -> FloatArray:
        steps = [self.decode_step(z, features, features, step) for step in range(self.horizon)]
        return np.stack(steps, axis=1)

    def encode_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        return (action[:, 0] - np.float32(1.1) * self.shift(features)) / np.float32(self.scale)


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Until it is so, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
