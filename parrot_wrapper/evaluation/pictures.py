"""Pictures and films of policies: rollout GIFs and the paper's Figure 4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from parrot_wrapper.errors import InvalidArgumentError, needed_extra
from parrot_wrapper.evaluation.policies import EpisodePolicy
from parrot_wrapper.evaluation.recordings import HAND, LANDMARKS, POSITION
from parrot_wrapper.evaluation.rollouts import HELD_OUT_SEED, evaluate
from parrot_wrapper.io.atomic_files import atomic_path
from parrot_wrapper.types import AnyArray, FloatArray, ImageArray, OffersLabels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD_FRAMES = 4
"""So often is the last frame of an episode repeated."""
_SMALL = 192
"""Images with shorter sides are enlarged by whole factors to at least this many pixels."""


def frame_of(env: gym.Env[Any, Any], observation: Any) -> ImageArray | None:
    """A picture (H, W, 3) uint8 of the current step: rendered, else the observation, else None."""
    if env.render_mode == "rgb_array":
        return np.asarray(env.render(), dtype=np.uint8)
    named = observation if isinstance(observation, Mapping) else {"image": observation}
    parts = sorted(named.items(), key=lambda part: part[0] != "image")
    array = next((np.asarray(part) for _, part in parts if _is_picture(np.asarray(part))), None)
    if array is None:
        return None
    factor = -(-_SMALL // max(array.shape[:2]))
    enlarged: ImageArray = array.repeat(factor, axis=0).repeat(factor, axis=1)
    return enlarged


def _is_picture(array: AnyArray) -> bool:
    return array.dtype == np.uint8 and array.ndim == 3 and array.shape[-1] == 3


class Film:
    """Collects frames as a watcher of `evaluate`; those in which the task is done get a green rim.

    Attributes:
        frames: (H, W, 3) uint8 each; none where the env shows nothing.
    """

    def __init__(self) -> None:
        self.frames: list[ImageArray] = []

    def __call__(self, env: gym.Env[Any, Any], observation: Any, info: dict[str, Any]) -> None:
        """Take a frame of the current step."""
        frame = frame_of(env, observation)
        if frame is not None:
            done = info.get("is_success")
            self.frames.append(_rimmed(frame, (40, 180, 60)) if done else frame)

    def hold(self) -> None:
        """Let the last frame stand for a moment, at the end of an episode."""
        self.frames.extend(self.frames[-1:] * HELD_FRAMES)


def film(
    env: gym.Env[Any, Any],
    policy: EpisodePolicy,
    *,
    episodes: int = 6,
    seed: int = HELD_OUT_SEED,
) -> list[ImageArray]:
    """Frames of a policy's first held-out episodes; empty where the env shows nothing."""
    shots = Film()
    for index in range(episodes):
        evaluate(policy, env, episodes=1, seed=seed + index, on_reset=policy.begin, watch=shots)
        shots.hold()
    return shots.frames


def save_gif(path: Path, frames: list[ImageArray], *, frames_per_second: float = 10.0) -> None:
    """Write frames as a looping GIF, atomically.

    Raises:
        InvalidArgumentError: No frames.
        MissingExtraError: imageio is not installed.
    """
    if not frames:
        raise InvalidArgumentError("A GIF needs at least one frame, got none.")
    content = _imageio().imwrite(
        "<bytes>",
        np.stack(frames),
        extension=".gif",
        plugin="pillow",
        duration=1000.0 / frames_per_second,
        loop=0,
    )
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def save_png(path: Path, image: ImageArray) -> None:
    """Write an image (H, W, 3) as a PNG, atomically."""
    content = _imageio().imwrite("<bytes>", image, extension=".png", plugin="pillow")
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def _imageio() -> ModuleType:
    with needed_extra("plots", "Pictures need imageio"):
        import imageio.v3 as imageio
    return imageio


@dataclass(frozen=True)
class Paths:
    """Trajectories of one policy in one scene.

    Attributes:
        points: One (T, 2) array an episode: x and y of the hand in cm, or of what the env calls
            its position in the env's own unit.
        landmarks: (L, 2) things on the table in cm, or None.
        unit: Of all of them; empty where it is the env's own.
    """

    points: tuple[FloatArray, ...]
    landmarks: FloatArray | None = field(default=None)
    unit: str = "cm"


def tells_positions(env: gym.Env[Any, Any]) -> bool:
    """Whether a reset env tells positions to draw: labels `HAND` or `POSITION`."""
    return bool({HAND, POSITION} & set(_labels(env)))


def trace(env: gym.Env[Any, Any], policy: EpisodePolicy, *, trajectories: int = 30) -> Paths:
    """Run a policy many times from one and the same reset, with different draws of its own.

    Raises:
        InvalidArgumentError: The env tells no positions.
    """
    paths: list[FloatArray] = []
    landmarks: FloatArray | None = None
    unit = "cm"
    for index in range(trajectories):
        observation, _ = env.reset(seed=HELD_OUT_SEED)
        policy.begin(HELD_OUT_SEED + index)
        points: list[FloatArray] = []
        over = False
        while not over:
            labels = _labels(env)
            unit = "cm" if HAND in labels else ""
            if landmarks is None and HAND in labels and LANDMARKS in labels:
                landmarks = labels[LANDMARKS][:, :2] * np.float32(100.0)
            points.append(_place(env, labels))
            observation, _, terminated, truncated, _ = env.step(policy(observation))
            over = terminated or truncated
        paths.append(np.stack([*points, _place(env, _labels(env))]))
    return Paths(tuple(paths), landmarks, unit)


def _labels(env: gym.Env[Any, Any]) -> dict[str, FloatArray]:
    bare = env.unwrapped
    return bare.privileged_labels() if isinstance(bare, OffersLabels) else {}


def _place(env: gym.Env[Any, Any], labels: Mapping[str, FloatArray]) -> FloatArray:
    if HAND in labels:
        place: FloatArray = np.asarray(labels[HAND][:2], np.float32) * np.float32(100.0)
        return place
    if POSITION not in labels:
        raise InvalidArgumentError(
            f"Expected privileged_labels() with {HAND!r} or {POSITION!r} to draw, got "
            f"{sorted(labels) or 'none'} from {type(env.unwrapped).__name__}."
        )
    return np.asarray(labels[POSITION], np.float32).reshape(-1)[:2]


def save_trajectories(path: Path, panels: Mapping[str, Paths]) -> None:
    """Draw policies beside each other in the same scene, like Figure 4 of the paper.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(4.2 * len(panels), 4.4)
    axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for axis, (name, paths) in zip(axes, panels.items(), strict=True):
        for index, points in enumerate(paths.points):
            label = "one episode" if index == 0 else None
            axis.plot(*points.T, linewidth=0.8, alpha=0.5, color="tab:blue", label=label)
        starts = np.stack([points[0] for points in paths.points])
        axis.scatter(*starts.T, c="tab:orange", s=24, zorder=3, label="start")
        if paths.landmarks is not None:
            axis.scatter(
                *paths.landmarks.T, c="k", marker="x", zorder=3, label="thing on the table"
            )
        unit = f" ({paths.unit})" if paths.unit else " (unit of the env)"
        axis.set(title=name, xlabel=f"x{unit}", ylabel=f"y{unit}")
        axis.set_aspect("equal", adjustable="box")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def save_learning_curves(
    path: Path, curves: Mapping[str, tuple[list[float], list[float]]], *, title: str
) -> None:
    """Draw success rate against env steps, one line a run.

    Args:
        path: The PNG.
        curves: Name to (env steps, success rates of 0 to 1).
        title: Above the picture.
    """
    figure = new_figure(6.4, 4.0)
    axis = figure.subplots()
    for name, (steps, rates) in curves.items():
        axis.plot(steps, rates, label=name)
    axis.set(
        title=title,
        xlabel="env steps",
        ylabel="success (last 100 training episodes)",
        ylim=(-0.02, 1.02),
    )
    axis.grid(alpha=0.3)
    axis.legend()
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def _rimmed(frame: ImageArray, color: tuple[int, int, int]) -> ImageArray:
    rimmed: ImageArray = frame.copy()
    width = max(2, len(frame) // 48)
    rimmed[:width], rimmed[-width:], rimmed[:, :width], rimmed[:, -width:] = (color,) * 4
    return rimmed


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, without pyplot: no display, no global state."""
    with needed_extra("plots", "Pictures need matplotlib"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
