"""Shared types: array aliases, what a prior looks like, what an env may offer. No logic."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]
ImageArray: TypeAlias = npt.NDArray[np.uint8]
AnyArray: TypeAlias = npt.NDArray[Any]
Observations: TypeAlias = AnyArray | Mapping[str, AnyArray]
"""A batch: images (B, H, W, C) uint8, states (B, S) float32, or a mapping of them."""

KEYS_FACT = "observation_keys"
"""Where metadata of data and priors say which of the env's keys became which part."""

IMPORTED_KEYS_FACT = "imported_keys"
"""The same of data that were imported, by the source's names, which an env may have or not."""
PIXELS_FACT = "pixels"
"""Where metadata of data and priors have least and greatest pixels of images that were no uint8."""
SEES_FACT = "sees"
"""Where metadata of priors, and of data as they see them, name the parts of the data that they look
at; not there for all."""
REWARDS_FACT = "rewards_known"
"""False in metadata of data without rewards, which are stored as zeros."""


PARTS = ("image", "proprio", "state")
"""Names of the parts, as data and observations of several have them; further images have others."""

VECTORS = PARTS[1:]
"""Parts that may stand beside images, in the order in which they are joined."""

ImageShape: TypeAlias = tuple[int, int, int]
"""Height, width and channels."""


@dataclass(frozen=True)
class ObservationSpec:
    """What a prior looks at, as shapes only (priors know no gymnasium spaces).

    Attributes:
        image: Shape (H, W, C) of the uint8 image called "image", or None.
        proprio: Length of the proprioception vector, 0 for none.
        state: Length of the state vector, 0 for none.
        cameras: Shapes of further images by their names, such as {"image_wrist": (32, 32, 3)}.
    """

    image: ImageShape | None = None
    proprio: int = 0
    state: int = 0
    cameras: Mapping[str, ImageShape] = field(default_factory=dict, hash=False)

    @property
    def images(self) -> dict[str, ImageShape]:
        """Shapes of all images by name: "image", where there is one, then others by the alphabet.

        Example:
            >>> list(ObservationSpec((48, 48, 3), cameras={"wrist": (32, 32, 3)}).images)
            ['image', 'wrist']
        """
        first = {} if self.image is None else {"image": self.image}
        return {**first, **{name: self.cameras[name] for name in sorted(self.cameras)}}

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all that there is of one observation, by name; images first."""
        vectors = {"proprio": self.proprio, "state": self.state}
        return {**self.images, **{name: (length,) for name, length in vectors.items() if length}}

    def only(self, names: Collection[str]) -> ObservationSpec:
        """The same with the parts of these names alone."""
        return ObservationSpec(
            self.image if "image" in names else None,
            self.proprio if "proprio" in names else 0,
            self.state if "state" in names else 0,
            {name: shape for name, shape in self.cameras.items() if name in names},
        )

    def __str__(self) -> str:
        """What there is of them.

        Example:
            >>> print(ObservationSpec((48, 48, 3), proprio=10))
            image (48, 48, 3), proprio (10,)
        """
        return ", ".join(f"{name} {shape}" for name, shape in self.parts.items())


def flat_parts(parts: Mapping[str, Any] | tuple[Any, ...]) -> dict[str, Any]:
    """What is in nested mappings and tuples, named outer/inner; tuples have numbers for names.

    Example:
        >>> flat_parts({"robot": {"joints": 1, "cameras": (2, 3)}, "goal": 4})
        {'robot/joints': 1, 'robot/cameras/0': 2, 'robot/cameras/1': 3, 'goal': 4}
    """
    named = parts.items() if isinstance(parts, Mapping) else enumerate(parts)
    flat: dict[str, Any] = {}
    for name, part in named:
        if isinstance(part, Mapping | tuple):
            flat |= {f"{name}/{inner}": value for inner, value in flat_parts(part).items()}
        else:
            flat[str(name)] = part
    return flat


class Demonstrations(Protocol):
    """Demonstrations as arrays: T steps of action and T + 1 of observation an episode."""

    observations: dict[str, AnyArray]
    actions: FloatArray
    lengths: npt.NDArray[Any]
    obs_offsets: npt.NDArray[np.int64]
    step_offsets: npt.NDArray[np.int64]


class HasMetadata(Protocol):
    """Whatever tells facts of itself, as priors do."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """JSON-able facts."""


@runtime_checkable
class ActionPrior(Protocol):
    """A map from base noise and observation to behaviour. NumPy in, NumPy out, batches always.

    Letters: B batch, Z latent dim, A action dim, F feature dim, H horizon. Where H > 1, "actions"
    (B, A) are chunks (B, H, A): what one latent does in H env steps.

    A prior may also say `bijective`, a bool: whether each action has one latent, so that accounts
    of the KL to the prior are exact. Of one that says nothing they count as upper bounds.
    """

    @property
    def latent_dim(self) -> int:
        """Z: the number of base-noise dimensions."""

    @property
    def action_dim(self) -> int:
        """A: the number of action dimensions."""

    @property
    def horizon(self) -> int:
        """H: env steps that one latent drives; 1 for a flow over single actions."""

    @property
    def feature_dim(self) -> int:
        """F: the length of the frozen observation embedding."""

    @property
    def observation_spec(self) -> ObservationSpec:
        """What the prior looks at."""

    @property
    def action_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Low and high (A,) of the action box that the prior was trained in."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """JSON-able facts stored beside the weights: camera, data hash, metrics; may be empty."""

    def features(self, obs: Observations) -> FloatArray:
        """Embed observations: (B, F)."""

    def decode(self, z: FloatArray, obs: Observations) -> FloatArray:
        """Map base noise (B, Z) to actions (B, A), chunks (B, H, A), before any clipping."""

    def decode_features(self, z: FloatArray, features: FloatArray) -> FloatArray:
        """`decode` for observations that are embedded already: features (B, F)."""

    def encode(self, action: FloatArray, obs: Observations) -> FloatArray:
        """Invert `decode`: actions (B, A), chunks (B, H, A), to base noise (B, Z)."""

    def encode_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        """`encode` for observations that are embedded already."""

    def log_prob(self, action: FloatArray, obs: Observations) -> FloatArray:
        """Log density of actions (B, A), chunks (B, H, A), under the prior, in nats: (B,)."""


@runtime_checkable
class OffersMemory(Protocol):
    """A prior whose behaviour depends on what the episode held before, too.

    The prior itself keeps nothing of an episode. Whoever acts carries a state for each env, sets it
    back where an episode begins, and hands it to `recall`. `features(obs)` are those at the
    beginning of an episode; `recall` makes them those of a later moment, of the same shape, so that
    all that reads features, an agent included, knows what the prior remembers.
    """

    def initial_state(self, envs: int) -> AnyArray:
        """The state (B, ...) of so many envs where an episode begins."""

    def recall(self, features: FloatArray, state: AnyArray) -> FloatArray:
        """Features (B, F) of observations, with what is remembered."""

    def advance(self, state: AnyArray, features: FloatArray, action: AnyArray) -> AnyArray:
        """The state (B, ...) after a decision.

        Args:
            state: (B, ...) before it.
            features: (B, F) that it was made for, with what was remembered.
            action: (B, A) as executed, chunks (B, H, A).
        """


@runtime_checkable
class DecodesClosedLoop(Protocol):
    """A prior of chunks that decodes each action for the newest observation (SPiRL).

    `decode_features` is what it would do if nothing new were seen, or what it planned at first.
    One that also has `closed_loop`, a bool, does so only where that is True.
    """

    def decode_step(
        self, z: FloatArray, first: FloatArray, newest: FloatArray, step: int
    ) -> FloatArray:
        """One action (B, A) of a chunk, before any clipping.

        Args:
            z: (B, Z) base noise that drives the chunk.
            first: (B, F) features of the observation that z was chosen for.
            newest: (B, F) features of the newest observation.
            step: Env steps of the chunk that are done, 0 to H - 1.
        """


class Expert(Protocol):
    """A scripted policy that reads the simulator's state."""

    def act(self) -> FloatArray:
        """The next action (A,), clipped to the action box."""


@runtime_checkable
class OffersExpert(Protocol):
    """An unwrapped env that can make a scripted expert for its current episode."""

    def make_expert(self, rng: np.random.Generator, noise: float = 0.1) -> Expert:
        """A fresh expert; call it after each reset. `noise` is the standard deviation added."""


@runtime_checkable
class OffersStray(Protocol):
    """An unwrapped env that can lead its current episode to where an expert never comes."""

    def make_stray(self, rng: np.random.Generator) -> Expert:
        """A policy for a few steps before an expert takes over; call it after each reset."""


@runtime_checkable
class OffersLabels(Protocol):
    """An unwrapped env that can tell the simulator's state, for probes and auxiliary losses."""

    def privileged_labels(self) -> dict[str, FloatArray]:
        """Named float32 arrays that describe the current state."""


@runtime_checkable
class OffersCamera(Protocol):
    """An unwrapped env that can describe its camera and renderer."""

    def camera_spec(self) -> dict[str, Any]:
        """A JSON-able description, equal only for equal cameras.

        A list under the key `randomize` names what differs between episodes.
        """


SUCCESS_KEYS = ("is_success", "success")
"""Names that envs use in `info`: most the first, Meta-World the second."""


UNSAFE_KEY = "unsafe"
"""Where envs list in `info` the names of what happened in a step that should not."""


def told_success(info: Mapping[str, Any]) -> bool | None:
    """Whether the task's condition holds; None where the env does not tell.

    Example:
        >>> told_success({"success": 1.0}), told_success({"is_success": False}), told_success({})
        (True, False, None)
    """
    for key in SUCCESS_KEYS:
        if key in info:
            return bool(info[key])
    return None
