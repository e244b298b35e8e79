"""What an env offers against what a prior needs: pure functions, all disagreements in one error."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from parrot_wrapper.checks import number_array
from parrot_wrapper.errors import (
    InvalidArgumentError,
    LatentError,
    SpaceMismatchError,
    unknown_name,
)
from parrot_wrapper.types import PIXELS_FACT, ActionPrior, AnyArray, Observations
from parrot_wrapper.wrappers.chunk import closed_loop
from parrot_wrapper.wrappers.reader import (
    KeyOptions,
    ObservationReader,
    described,
    flat,
    flat_space,
    match_observation,
    observation_keys,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

AgentObservation: TypeAlias = Literal["image", "features", "both"]
"""What the agent sees: the env's own observation, the prior's features, or both."""

FEATURES_KEY = "features"
_RANDOMIZED = "randomize"
_ROUNDING = 1e-6
"""How far beyond 1 |u| may be: float32 arithmetic, not a mistake."""


def check_spaces(
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    prior: ActionPrior,
    *,
    cameras: Sequence[Mapping[str, Any]] = (),
    chunk_horizons: Sequence[int] | None = None,
    looks: bool = True,
    **keys: Unpack[KeyOptions],
) -> ObservationReader:
    """Compare an env with a prior.

    Args:
        observation_space: The env's: a Box, or a Dict of Boxes.
        action_space: The env's, a Box (A,).
        prior: The prior.
        cameras: The env's camera descriptions, of each env that has one; compared with the one in
            the prior's metadata, if that has one too. An env that randomizes what the prior's data
            did not is warned about only.
        chunk_horizons: Of envs that have to take a prior's chunks, those of the `ActionChunking`
            around each, empty where they do not say; None for one that takes single actions.
        looks: Whether observations are read at all; if not, they may be anything.
        **keys: See `KeyOptions`.

    Returns:
        How to read the env's observations; where they are not read, of no parts.
    """
    if prior.horizon < 1:
        raise InvalidArgumentError(
            f"Expected a prior whose latents drive at least one env step, got horizon "
            f"{prior.horizon}."
        )
    parts = prior.observation_spec.parts
    known = observation_keys(prior.metadata, parts, observation_space, **keys)
    reader, problems = ObservationReader({}), list[str]()
    if looks:
        reader, problems = match_observation(observation_space, prior.observation_spec, known)
        problems += _camera_problems(cameras, prior.metadata.get("camera"))
        problems += _pixel_problems(reader, prior.metadata.get(PIXELS_FACT))
    problems += _action_problems(action_space, prior, chunk_horizons)
    if problems:
        raise SpaceMismatchError(
            "The env does not fit the prior:\n"
            + "\n".join(f"  - {problem}" for problem in problems)
            + "\nChange the env's arguments, adapt it with a gymnasium wrapper, or use a prior "
            "that was trained on this env."
        )
    return reader


def check_agent_observation(observation: str) -> AgentObservation:
    """The argument if it is one of the known ones."""
    for known in get_args(AgentObservation):
        if observation == known:
            return known  # type: ignore[no-any-return]  # get_args forgets the literals
    raise unknown_name("observation", str(observation), get_args(AgentObservation))


def latent_space(prior: ActionPrior) -> spaces.Box:
    """The box of u, exactly (-1, 1) in each of the Z latent dimensions, float32."""
    return spaces.Box(-1.0, 1.0, (prior.latent_dim,), np.float32)


def check_latents(u: ArrayLike, shape: tuple[int, ...]) -> AnyArray:
    """A batch u of this shape, (envs, Z), as an array."""
    array = number_array("latents (dtype float32)", u, LatentError)
    if array.dtype == np.bool_:
        raise LatentError(f"Expected latents in float32, got dtype {array.dtype}.")
    if array.shape != shape:
        raise LatentError(
            f"Expected latents of shape {shape}, (envs, latent dim), got shape {array.shape}."
        )
    if not np.isfinite(array).all():
        raise LatentError(f"Expected finite latents, got {array.tolist()}.")
    if np.abs(array).max() > 1.0 + _ROUNDING:
        raise LatentError(
            f"Expected latents u within [-1, 1], got {array.tolist()}. Clip them, or if this is "
            "base noise z, map it with chart.to_unit(z) first."
        )
    return array


def agent_space(
    env_space: spaces.Space[Any],
    prior: ActionPrior,
    reader: ObservationReader,
    observation: AgentObservation,
) -> spaces.Space[Any]:
    """The observation space that the agent gets."""
    if observation == "image":
        return env_space
    features = spaces.Box(-np.inf, np.inf, (prior.feature_dim,), np.float32)
    if observation == "features":
        return features
    space = flat_space(env_space)
    own = space.spaces if isinstance(space, spaces.Dict) else _named(space, reader)
    if FEATURES_KEY in own:
        raise SpaceMismatchError(
            f"Expected observations without a key {FEATURES_KEY!r}, which observation='both' adds, "
            f"got the keys {', '.join(own)}; rename it or use observation='features'."
        )
    return spaces.Dict({**own, FEATURES_KEY: features})


def agent_view(
    observations: Observations,
    features: AnyArray,
    reader: ObservationReader,
    observation: AgentObservation,
) -> Any:
    """What the agent gets to see, one or a batch; features are copied, observations are not."""
    if observation == "image":
        return observations
    if observation == "features":
        return features.copy()
    own = flat(observations)
    own = own if isinstance(own, Mapping) else _named(own, reader)
    return {**own, FEATURES_KEY: features.copy()}


def _named(whole: Any, reader: ObservationReader) -> dict[str, Any]:
    """An observation (or its space) that is one part alone, under that part's name."""
    return {next(iter(reader.keys)): whole}


def _action_problems(
    space: spaces.Space[Any], prior: ActionPrior, chunk_horizons: Sequence[int] | None
) -> list[str]:
    shape: tuple[int, ...] = (prior.action_dim,)
    hint = ""
    if chunk_horizons is not None and prior.horizon > 1:
        by_step = closed_loop(prior) is not None
        shape = (1 if by_step else prior.horizon, *shape)
        more = ", one_by_one=True" if by_step else ""
        hint = (
            f"; the prior decodes chunks, which a sub-env has to execute by itself: wrap each with "
            f"ActionChunking(env, {prior.horizon}{more}) before vectorising"
        )
    if not isinstance(space, spaces.Box):
        return [f"action: expected a Box {shape}, got {described(space)}"]
    problems = []
    if hint and space.shape == shape and set(chunk_horizons or ()) - {prior.horizon}:
        problems.append(f"action: expected chunks of {prior.horizon}, got {chunk_horizons}{hint}")
    if not np.issubdtype(space.dtype, np.floating):
        problems.append(f"action: expected dtype float32, got {space.dtype}")
    if space.shape != shape:
        return [*problems, f"action: expected shape {shape}, got shape {space.shape}{hint}"]
    edges = zip(("low", "high"), prior.action_bounds, _edges(space, prior), strict=True)
    for name, expected, got in edges:
        if not np.allclose(expected, got):
            problems.append(
                f"action: expected the {name} bound {np.asarray(expected).tolist()} of the prior's "
                f"training env, got {got.tolist()}"
            )
    return problems


def acting_box(space: spaces.Space[Any], prior: ActionPrior) -> spaces.Box:
    """The env's box of actions, with the bounds of the prior's data where it has none."""
    assert isinstance(space, spaces.Box)  # `check_spaces` saw to it
    low, high = (edge.astype(space.dtype) for edge in _edges(space, prior))
    if not space.is_bounded():
        warnings.warn(
            "The env's action box has no bounds; actions stay within those of the prior's data, "
            f"{low.tolist()} to {high.tolist()}.",
            UserWarning,
            stacklevel=4,
        )
    return spaces.Box(low, high, dtype=space.dtype.type)


def _edges(space: spaces.Box, prior: ActionPrior) -> list[AnyArray]:
    own = zip((space.low, space.high), prior.action_bounds, strict=True)
    return [np.where(np.isfinite(edge), edge, data) for edge, data in own]


def _pixel_problems(reader: ObservationReader, told: object) -> list[str]:
    """Images scaled otherwise than those that the prior learned from, where its data tell."""
    trained, got = told if isinstance(told, Mapping) else {}, reader.pixels
    return [
        f"{part}: expected pixels from {low} to {high} as in the prior's data, got "
        f"{got.get(part, 'uint8')}"
        for part, (low, high) in trained.items()
        if part in reader.layouts and list(got.get(part, ())) != [low, high]
    ]


def _camera_problems(cameras: Sequence[Mapping[str, Any]], trained: object) -> list[str]:
    if not isinstance(trained, Mapping):
        return []
    expected = _as_json(trained)
    known = _pop_randomized(expected)
    problems: dict[str, None] = {}  # a set that keeps the order: many envs, one camera
    for camera in cameras:
        got = _as_json(camera)
        strange = _pop_randomized(got) - known
        if strange:
            warnings.warn(
                f"The env randomizes {', '.join(sorted(strange))}, which the prior's data did not: "
                "expect it to do worse than in an env like theirs.",
                stacklevel=2,
            )
        for key in sorted({*expected, *got}):
            if expected.get(key) != got.get(key):
                problems[
                    f"camera {key}: expected {expected.get(key)!r} as in the prior's data, "
                    f"got {got.get(key)!r}"
                ] = None
    return list(problems)


def _pop_randomized(camera: dict[str, Any]) -> set[str]:
    """Take out what differs between episodes: data that had more of it fit an env with less."""
    if not isinstance(camera.get(_RANDOMIZED), list):
        return set()
    return set(camera.pop(_RANDOMIZED))


def _as_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """As it would come back from a file: tuples are lists."""
    plain: dict[str, Any] = json.loads(json.dumps(content, default=np.ndarray.tolist))
    return plain
