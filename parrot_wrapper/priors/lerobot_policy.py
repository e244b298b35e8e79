"""LeRobot's policies that take `noise=` as priors: diffusion, flow matching and the like."""

from __future__ import annotations

import contextlib
import inspect
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from parrot_wrapper.checks import as_path, float_array, require_count
from parrot_wrapper.errors import (
    CheckpointError,
    InvalidArgumentError,
    NotOfferedError,
    absence,
    needed_extra,
)
from parrot_wrapper.priors.arrays import as_float_array, observation_arrays, vectors
from parrot_wrapper.surroundings import own_surroundings
from parrot_wrapper.types import (
    IMPORTED_KEYS_FACT,
    AnyArray,
    FloatArray,
    Observations,
    ObservationSpec,
)

_ACTION, _IMAGES, _CONFIG = "action", "observation.images", "config.json"
_PARTS = {"STATE": "proprio", "ENV": "state"}
"""Kinds of features that are vectors, to the parts that they are here."""
_NO_INVERSE = (
    "A LeRobot policy has no inverse and no density. Where one is needed, as for demonstrations in "
    "replay, train a prior of type 'flow' or 'chunk'."
)
_BRIGHTEST = 255.0

Processor = Callable[[Any], Any]
"""What brings a batch to a policy's units, or its actions back to the env's."""


@dataclass(frozen=True)
class _Input:
    """One input of the policy: its key, the part that it is of, and the shape of one frame."""

    key: str
    part: str
    shape: tuple[int, ...]

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3


class LeRobotPrior:
    """A LeRobot policy whose actions are a function of `noise=` and what it sees (DSRL's setting).

    One latent is the noise of a whole chunk, of which the policy's `n_action_steps` are executed
    open loop; a KL to it is an upper bound. Images and vectors are those of the policy's config,
    and its own processors normalise them. What the policy calls `observation.state` is the part
    "proprio", and `observation.environment_state` the part "state"; a single image is "image",
    several have the policy's names. In an env of Dict observations each is found under that name,
    the policy's, or its last word ("top").

    A policy that sees `n_obs_steps` frames needs them stacked in the env, below the wrapper:
    `gymnasium.wrappers.FrameStackObservation(env, n_obs_steps)`. Each of its images then has
    n_obs_steps times as many channels here, the oldest frame first.

    Features are what the policy is given, flat: images channels first in [0, 1], then vectors. An
    agent mostly does better with the env's own observation (`observation="image"`).

    Args:
        policy: The policy, a `PreTrainedPolicy`; it is set to eval mode and its queues are used.
        preprocessor: Its own, from LeRobot's `make_pre_post_processors`.
        postprocessor: The same.
        action_low: Lower edge of the env's action box, a number or (A,); LeRobot does not tell it.
        action_high: Upper edge of the same.
        task: Instruction for policies that read one.
        noise_shape: Shape of the noise of one chunk; None for (horizon or chunk_size, A or
            max_action_dim), as the config has them.
        metadata: JSON-able facts, such as where the policy is from.

    Raises:
        InvalidArgumentError: The policy takes no noise; its actions do not depend on it, or on more
            than it; it takes noise of another shape; it sees what is neither an image nor a vector;
            or a value is outside its range.
    """

    bijective = False

    def __init__(
        self,
        policy: Any,
        preprocessor: Processor,
        postprocessor: Processor,
        *,
        action_low: ArrayLike = -1.0,
        action_high: ArrayLike = 1.0,
        task: str = "",
        noise_shape: Sequence[int] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        _require_noise(policy)
        config = policy.config
        self._policy, self._before, self._after = policy.eval(), preprocessor, postprocessor
        self._task = task
        self._frames = int(config.n_obs_steps)
        self._inputs = tuple(_inputs(config.input_features))
        self.action_dim = int(config.output_features[_ACTION].shape[0])
        self.horizon = int(config.n_action_steps)
        self._noise_shape = _noise_shape(config, self.action_dim, noise_shape)
        self.latent_dim = math.prod(self._noise_shape)
        self.observation_spec = _spec(self._inputs, self._frames)
        self.feature_dim = self._frames * sum(math.prod(one.shape) for one in self._inputs)
        self.action_bounds = _box(action_low, action_high, self.action_dim)
        keys = {part: [o.key for o in self._inputs if o.part == part] for part in self._parts}
        self.metadata: dict[str, Any] = {**(metadata or {}), IMPORTED_KEYS_FACT: keys}
        self._check_that_noise_decides()

    @property
    def _parts(self) -> list[str]:
        return list(self.observation_spec.parts)

    def __repr__(self) -> str:
        """What it is, in two lines."""
        return (
            f"{type(self).__name__}: {type(self._policy).__name__}, noise {self._noise_shape}, "
            f"actions {(self.horizon, self.action_dim)}\n  sees: {self.observation_spec}"
        )

    def features(self, obs: Observations) -> FloatArray:
        """What the policy is given (B, F), flat; images as numbers from 0 to 1.

        Raises:
            SpaceMismatchError: The observations are not what the policy sees.
        """
        parts = observation_arrays(obs, self.observation_spec)
        rows = [self._flat(part) for part in (parts[name] for name in self._parts)]
        return np.concatenate(rows, axis=1)

    def _flat(self, part: AnyArray) -> FloatArray:
        if part.dtype != np.uint8:
            return part.astype(np.float32, copy=False)
        rows, height, width, channels = part.shape
        frames = part.reshape(rows, height, width, self._frames, channels // self._frames)
        first = np.moveaxis(frames, (3, 4), (1, 2)).reshape(rows, -1)
        return np.divide(first, _BRIGHTEST, dtype=np.float32)

    def decode(self, z: FloatArray, obs: Observations) -> FloatArray:
        """Map noise (B, Z) to actions (B, A), chunks (B, H, A) where H is above 1, unclipped.

        Raises:
            LatentError: z has the wrong shape or is not finite.
            SpaceMismatchError: The observations are not what the policy sees.
        """
        return self.decode_features(z, self.features(obs))

    def decode_features(self, z: FloatArray, features: FloatArray) -> FloatArray:
        """`decode` for features (B, F) of observations."""
        like = torch.zeros(())
        latent = vectors("latent", z, (self.latent_dim,), like=like)
        seen = vectors("features", features, (self.feature_dim,), like=like)
        with own_surroundings(), torch.inference_mode():
            chunk = self._chunk(latent.view(-1, *self._noise_shape), self._batches(seen))
        return as_float_array(chunk[:, 0] if self.horizon == 1 else chunk)

    def encode(self, action: FloatArray, obs: Observations) -> FloatArray:
        """Not offered: `NotOfferedError`."""
        raise NotOfferedError(_NO_INVERSE)

    encode_features = log_prob = encode

    def _batches(self, features: Tensor) -> list[dict[str, Any]]:
        """What the policy is given, frame by frame, the oldest first."""
        batches: list[dict[str, Any]] = [{} for _ in range(self._frames)]
        start = 0
        for one in self._inputs:
            size = self._frames * math.prod(one.shape)
            flat, start = features[:, start : start + size], start + size
            frames = flat.reshape(len(flat), self._frames, *one.shape)
            for index, batch in enumerate(batches):
                batch[one.key] = frames[:, index]
        if self._task:
            for batch in batches:
                batch["task"] = [self._task] * len(features)
        return batches

    def _chunk(self, noise: Tensor, batches: Sequence[dict[str, Any]]) -> Tensor:
        """Actions (B, H, A) in the env's units."""
        self._policy.reset()
        *earlier, newest = (self._before(batch) for batch in batches)
        for batch in earlier:
            self._remember(batch)
        given = noise.to(self._policy.config.device)
        actions = [self._policy.select_action(newest, noise=given) for _ in range(self.horizon)]
        units: Tensor = self._after(torch.stack(actions, dim=1))
        self._policy.reset()
        return units

    def _remember(self, batch: dict[str, Any]) -> None:
        """Put an earlier frame into the policy's queues, which its `select_action` fills up."""
        queues = self._policy._queues
        images = [batch[one.key] for one in self._inputs if one.is_image]
        if images and _IMAGES in queues:
            batch = {**batch, _IMAGES: torch.stack(images, dim=-4)}
        for key, queue in queues.items():
            if key in batch and key != _ACTION:
                queue.extend([batch[key]] * (1 if queue else queue.maxlen))

    def _check_that_noise_decides(self) -> None:
        """Refuse a policy that is random beside its noise, or does not use it."""
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(2, self.latent_dim, generator=generator).numpy()
        seen = np.zeros((2, self.feature_dim), np.float32)
        with torch.random.fork_rng(devices=[]):
            try:
                once, again, swapped = (
                    self.decode_features(z, seen) for z in (noise, noise, noise[::-1])
                )
            except (RuntimeError, ValueError) as error:
                raise InvalidArgumentError(
                    f"Expected a policy that takes noise of shape (B, {self._noise_shape}), got: "
                    f"{error} Say which shape it takes with noise_shape."
                ) from error
        name = type(self._policy).__name__
        if not np.allclose(once, again):
            raise InvalidArgumentError(
                f"Expected a policy whose actions follow from its noise, got {name}, which draws "
                "more on the way. A diffusion policy needs the sampler 'DDIM' "
                "(noise_scheduler_type in its config); load_lerobot_policy(folder, ddim_steps=10) "
                "takes it with the same weights."
            )
        if np.allclose(once, swapped):
            raise InvalidArgumentError(
                f"Expected a policy whose actions depend on its noise, got {name}, which makes the "
                "same of any."
            )


def load_lerobot_policy(
    folder: str | Path,
    *,
    ddim_steps: int | None = None,
    device: str = "cpu",
    **options: Any,
) -> LeRobotPrior:
    """Load a policy that LeRobot saved, with its processors; nothing is downloaded.

    Args:
        folder: The folder, with `config.json` and `model.safetensors` in it; of a training run its
            `checkpoints/last/pretrained_model`.
        ddim_steps: Denoise a diffusion policy by DDIM in so many steps; None as its config says.
            DDPM, LeRobot's default, draws noise in every step, so that no latent decides.
        device: Torch device.
        **options: Those of `LeRobotPrior`: `action_low`, `action_high`, `task`, `noise_shape`.

    Raises:
        CheckpointError: It is no folder of a policy, or a broken one.
        InvalidArgumentError: See `LeRobotPrior`; or `ddim_steps` is given for a policy without
            sampler, or outside its range.
        MissingExtraError: LeRobot is not installed.
    """
    place = as_path("folder", folder)
    if not (place / _CONFIG).is_file():
        raise CheckpointError(
            f"{place}: expected the folder of a LeRobot policy with config.json, found none."
            f"{absence(place)} One of the Hub has to be downloaded first."
        )
    if ddim_steps is not None:
        require_count("ddim_steps", ddim_steps)
    with needed_extra("lerobot-policies", "LeRobot policies need lerobot"):
        from lerobot.configs.policies import PreTrainedConfig
        from lerobot.policies.factory import get_policy_class, make_pre_post_processors
    with _readable(place), contextlib.redirect_stdout(io.StringIO()):  # it prints
        config = PreTrainedConfig.from_pretrained(place)
        _set_up(config, ddim_steps, device)
        policy = get_policy_class(config.type).from_pretrained(place, config=config, strict=True)
        overrides = {"device_processor": {"device": device}}
        processors = make_pre_post_processors(
            config, pretrained_path=str(place), preprocessor_overrides=overrides
        )
    told = {"policy": config.type, "folder": place.name}
    return LeRobotPrior(policy, *processors, metadata={"lerobot": told}, **options)


def _set_up(config: Any, ddim_steps: int | None, device: str) -> None:
    config.device = device
    if hasattr(config, "pretrained_backbone_weights"):
        config.pretrained_backbone_weights = None  # they come with the policy
    if ddim_steps is None:
        return
    if not hasattr(config, "noise_scheduler_type"):
        raise InvalidArgumentError(
            f"Expected no ddim_steps for a policy of type {config.type!r}, which has no sampler to "
            f"choose, got {ddim_steps}."
        )
    config.noise_scheduler_type, config.num_inference_steps = "DDIM", ddim_steps


@contextlib.contextmanager
def _readable(place: Path) -> Iterator[None]:
    try:
        yield
    except (InvalidArgumentError, MemoryError):
        raise
    except Exception as error:  # whatever LeRobot, draccus and safetensors find wrong
        told = " ".join(str(error).split())
        raise CheckpointError(f"{place}: expected a whole LeRobot policy ({told}).") from error


def _require_noise(policy: Any) -> None:
    act = getattr(policy, "select_action", None)
    known = inspect.signature(act).parameters.values() if callable(act) else ()
    named = any(p.name == "noise" or p.kind is p.VAR_KEYWORD for p in known)
    if not named:
        raise InvalidArgumentError(
            "Expected a LeRobot policy whose select_action takes noise=, such as a diffusion or "
            f"smolvla policy, got {type(policy).__name__}."
        )
    if policy.config.n_obs_steps > 1 and not hasattr(policy, "_queues"):
        raise InvalidArgumentError(
            f"Expected a policy with queues of {policy.config.n_obs_steps} observations, got "
            f"{type(policy).__name__}, which has none."
        )


def _noise_shape(config: Any, action_dim: int, given: Sequence[int] | None) -> tuple[int, ...]:
    steps = getattr(config, "horizon", None) or getattr(config, "chunk_size", None)
    shape = (steps or config.n_action_steps, getattr(config, "max_action_dim", None) or action_dim)
    for side in given or ():
        require_count("noise_shape", side)
    return tuple(int(side) for side in given or shape)


def _inputs(features: Mapping[str, Any]) -> Iterator[_Input]:
    """The policy's inputs in the order of our parts."""
    kinds = {key: str(getattr(f.type, "value", f.type)) for key, f in features.items()}
    images = sorted(key for key, kind in kinds.items() if kind == "VISUAL")
    strange = sorted(key for key, kind in kinds.items() if kind not in ("VISUAL", *_PARTS))
    if strange:
        raise InvalidArgumentError(
            f"Expected a policy that sees images and vectors, got one that sees {strange}."
        )
    for key in images:
        part = "image" if len(images) == 1 else key
        yield _Input(key, part, tuple(features[key].shape))
    for kind, part in _PARTS.items():
        for key in (key for key in features if kinds[key] == kind):
            yield _Input(key, part, tuple(features[key].shape))


def _spec(inputs: Sequence[_Input], frames: int) -> ObservationSpec:
    images = {}
    for one in inputs:
        if one.is_image:
            channels, height, width = one.shape
            images[one.part] = (height, width, channels * frames)
    sizes = {
        part: frames * sum(math.prod(one.shape) for one in inputs if one.part == part)
        for part in _PARTS.values()
    }
    return ObservationSpec(image=images.pop("image", None), **sizes, cameras=images)


def _box(low: ArrayLike, high: ArrayLike, action_dim: int) -> tuple[FloatArray, FloatArray]:
    edges = [float_array("the action box", edge, InvalidArgumentError) for edge in (low, high)]
    fit = all(edge.shape in ((), (action_dim,)) and np.isfinite(edge).all() for edge in edges)
    if not fit or not np.all(edges[0] < edges[1]):
        raise InvalidArgumentError(
            f"Expected action_low < action_high, finite, each a number or ({action_dim},), got "
            f"{low!r} and {high!r}."
        )
    first, second = (np.full(action_dim, edge, np.float32) for edge in edges)
    return first, second
