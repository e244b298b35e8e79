"""The default encoder of images: a few keypoints that say what is where, taught by hindsight.

A small convolutional net says of each cell of a grid how likely demonstrators go there, where that
is, and what it looks like. The features are a fixed number of *slots*: slot k is the mean place of
whatever looks like anchor k, relative to the hand. In a scene with given things every thing stays
in its own slots, the others are quiet, and all of it is smooth in the pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors.encoders.base import ActingEncoder, ObservationTensors, channels_first
from parrot_wrapper.priors.encoders.cues import Cues, find_cues, hindsight_labels
from parrot_wrapper.priors.encoders.folded_keypoints import FoldedKeypoints
from parrot_wrapper.priors.encoders.image_encoder import (
    ImageEncoder,
    padded,
    patterned,
    require_image,
    vector_dim,
)
from parrot_wrapper.priors.encoders.lessons import gaps, lessons
from parrot_wrapper.priors.encoders.teachers import HORIZONS, PLACE, Teachers, certain, each
from parrot_wrapper.types import Demonstrations, FloatArray, ObservationSpec

SLOT = 1 + PLACE
"""Numbers of a slot: presence, then place relative to the hand, gated by presence."""
_CELLS = 14
"""Cells a side, at most."""
_CODE = 3
_SQUEEZED = 4
"""Numbers of every cell that tell of the hand."""


class KeypointEncoder(ImageEncoder):
    """Images, and vectors beside them, to features of the hand and of slots.

    The layout is: place of the hand (3), state of each toggle now and in 1, 4 and 16 steps, speed
    under each force, a slot (4) of each kind of keyframe for the thing that is likely meant, one of
    each for all things of that kind, `slots` slots (4 each) by appearance of each kind that says
    where things are, then the vectors, in standard deviations. Places are in units of a typical way
    to the next keyframe. `Teachers` has the losses, which need nothing but what `find_cues` reads
    out of images and actions.

    Args:
        observation: Must have an image of at least 4 pixels a side.
        cues: What the data tell of themselves, `Cues.to_dict`; without, it learns from the prior's
            own loss, and that things look the same at two times.
        slots: Slots by appearance of things of one kind, 2 or more. What is gone to and where it
            is put never share one, however alike they look.
        channels: Width of the convolutional net.
        sharpness: How exclusively an appearance belongs to its nearest anchor.
        feature_noise: Standard deviation of the noise on features that the prior is trained with.
        patterns: Strength of the random patterns on images that it learns from (`patterned`).
        context: Length of what a flow is conditioned on.
        teachers: Weights of `Teachers`, by name, where they are not the defaults.

    Raises:
        InvalidArgumentError: No image, a smaller one, or an option out of range.
        UnknownNameError: No such teacher.

    Example:
        >>> encoder = KeypointEncoder(ObservationSpec(image=(48, 48, 3)))
        >>> encoder({"image": torch.zeros(2, 48, 48, 3, dtype=torch.uint8)}).shape
        torch.Size([2, 43])
    """

    name = "keypoints"
    quick: ClassVar[float] = 8.0
    """Where cells and the hand are is learned this many times faster than what builds on it."""
    half_present: ClassVar[float] = 0.15
    """Mass in cells of a slot that is half present."""
    _anchors: Tensor
    _grid: Tensor

    def __init__(
        self,
        observation: ObservationSpec,
        *,
        cues: Mapping[str, Any] | None = None,
        slots: int = 8,
        channels: int = 48,
        sharpness: float = 5.0,
        feature_noise: float = 0.05,
        patterns: float = 0.06,
        context: int = 128,
        teachers: Mapping[str, float] | None = None,
    ) -> None:
        height, width, colours = require_image(self.name, observation)
        noisy = feature_noise >= 0 and patterns >= 0
        if slots < 2 or channels < 8 or not (sharpness > 0 and noisy):
            raise InvalidArgumentError(
                "The keypoints encoder needs slots >= 2, channels >= 8, sharpness > 0, "
                f"feature_noise >= 0 and patterns >= 0, got {slots}, {channels}, {sharpness}, "
                f"{feature_noise} and {patterns}."
            )
        self.cues = Cues.from_dict(cues or {})
        self.fold = max(4, -(-max(height, width) // _CELLS))
        rows, columns = -(-height // self.fold), -(-width // self.fold)
        self._hand = PLACE + (1 + len(HORIZONS)) * len(self.cues.toggles) + len(self.cues.forces)
        self.shared = self._hand + 2 * SLOT * self.cues.kinds
        super().__init__(
            observation,
            feature_dim=self.shared
            + SLOT * slots * self.cues.thing_kinds
            + vector_dim(observation),
            context_dim=context,
        )
        self.slots = slots * self.cues.thing_kinds
        self.sharpness, self.feature_noise, self.patterns = sharpness, feature_noise, patterns
        folded = self.fold**2 * colours
        # What a thing is is seen in a few cells. A branch that knew more would point at places from
        # where they can be told, in place of things, and take where a thing is for what it is.
        self.stem = nn.Conv2d(folded, channels, 3)
        self.appearance = nn.Sequential(
            nn.Conv2d(channels, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, self.cues.kinds + _CODE, 1),
        )
        nn.init.constant_(self.appearance[2].bias[: self.cues.kinds], -1.0)  # type: ignore[index]
        self.trunk = convolutions(channels + 2, channels, dilations=(1, 2, 1))
        # how far a thing in the cell is from where the cell is; attention, and the same of the hand
        self.heads = nn.Conv2d(channels, PLACE + 1 + PLACE + _SQUEEZED, 1)
        self.hand = nn.Sequential(
            nn.Linear(channels + _SQUEEZED * rows * columns, 64), nn.SiLU(),
            nn.Linear(64, max(1, self._hand - PLACE)),  # a layer of no width would warn
        )  # fmt: skip
        # Which of several things is meant: heat that had to say so would fade far from the hand.
        self.meant = nn.Sequential(
            nn.Linear(self._hand, 24), nn.SiLU(), nn.Linear(24, self.cues.kinds)
        )
        nn.init.constant_(self.meant[2].bias, 2.0)  # type: ignore[arg-type]
        self.token = nn.Sequential(nn.Linear(SLOT + self.shared, 96), nn.SiLU(), nn.Linear(96, 96))
        self.kind = nn.Parameter(
            torch.zeros(self.cues.thing_kinds, 96)
        )  # what a slot's kind adds to it
        self.score = nn.Linear(96, 1)
        self.pooled = nn.Sequential(
            nn.Linear(2 * 96 + self.shared + vector_dim(observation), context), nn.SiLU(),
            nn.Linear(context, context),
        )  # fmt: skip
        # where each cell is, seen as a curved plane; where things are over where the hand would be
        self.plane = nn.Parameter(torch.zeros(6, PLACE))
        self.shift = nn.Parameter(torch.zeros(6, PLACE))
        self.register_buffer("_anchors", torch.from_numpy(sphere_anchors(slots)))
        self.register_buffer("_grid", coordinate_grid(rows, columns))
        self.teachers = Teachers(
            self.cues, (rows, columns), features=self.feature_dim, image=colours,
            weights=teachers or {},
        )  # fmt: skip
        self.add_scales()

    def forward(self, obs: ObservationTensors) -> Tensor:
        """Images (B, H, W, C) uint8, and vectors beside them, to features (B, F)."""
        return self.training_features(obs)[0]

    def augment(self, obs: ObservationTensors, generator: torch.Generator) -> ObservationTensors:
        """Lay random patterns over the images."""
        if not self.patterns:
            return obs
        return {**obs, "image": patterned(obs["image"], self.fold, self.patterns, generator)}

    def training_features(self, obs: ObservationTensors) -> tuple[Tensor, dict[str, Tensor]]:
        """Features (B, F), and what the teachers look at; N cells.

        "heat" (B, N, K) in [0, 1] for each kind of keyframe, "meant" (B, N, K) in [0, 1], "place"
        (B, N, 3), "code" (B, N, 3) of length 1, "hand" (B, 3 + 4 G + forces) and "features" (B, F).
        """
        image = obs["image"]
        pixels = channels_first(padded(image, self.fold), self.dtype) - 0.5
        folded = functional.pixel_unshuffle(pixels, self.fold)
        folded = folded.contiguous(memory_format=torch.channels_last)
        stem = functional.relu(self.stem(_edged(folded)))
        stacked = torch.cat((stem, self._grid.expand(len(image), -1, -1, -1)), dim=1)
        trunk = self.trunk(stacked.contiguous(memory_format=torch.channels_last))
        maps = (self.appearance(_edged(stem)), self.heads(trunk), trunk)
        with torch.autocast(trunk.device.type, enabled=False):  # places need float32
            local, heads, cells = (m.flatten(2).transpose(1, 2).to(self.dtype) for m in maps)
            heat, code = local.split((self.cues.kinds, _CODE), dim=2)
            thing, here, tip, squeezed = heads.split((PLACE, 1, PLACE, _SQUEEZED), dim=2)
            plane, over = self.places_of_cells().chunk(2, dim=1)
            bent = tip.square().sum(2, keepdim=True)
            attention = (self.quick * here).softmax(1).transpose(1, 2)
            votes = plane + tip
            at_hand = attention @ torch.cat((votes, bent, cells), dim=2)
            others = self.hand(torch.cat((at_hand[:, 0, PLACE + 1 :], squeezed.flatten(1)), dim=1))
            hand = torch.cat((at_hand[:, 0, :PLACE], others[:, : self._hand - PLACE]), dim=1)
            apart = (votes - at_hand[:, :, :PLACE]) @ self.teachers.gains.T
            place = over + thing
            seen = {
                "heat": heat.sigmoid(),
                "meant": self._meant(place.detach(), hand.detach()),
                "attention": attention[:, 0],
                "place": place,
                "away": thing.square().sum(2),
                "bent": at_hand[:, 0, PLACE],
                "apart": (attention[:, 0] * apart.square().sum(2)).sum(1),
                "code": functional.normalize(code, dim=2),
                "hand": hand,
            }
            features = self.join(self._slots(seen), obs)
        return features, {**seen, "features": features}

    def places_of_cells(self) -> Tensor:
        """Where the hand is at each cell, and where things are (N, 3 + 3): curved planes."""
        cell = quadratic(self._grid.flatten(1).T)
        plane = self.quick * cell @ self.plane
        return torch.cat((plane, plane.detach() + cell @ self.shift), dim=1)

    def for_acting(self) -> ActingEncoder:
        """`FoldedKeypoints`; an encoder that is derived from this one stays as it is."""
        return FoldedKeypoints(self) if type(self) is KeypointEncoder else self

    def auxiliary_losses(
        self,
        intermediates: Mapping[str, Tensor],
        batch: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The teachers' losses, where the batch has what hindsight says."""
        if "hindsight_way" not in batch:
            return {}
        losses: dict[str, Tensor] = self.teachers(intermediates, batch, generator)
        return losses

    @classmethod
    def options_for(
        cls, data: Demonstrations, observation: ObservationSpec, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The options, and the cues of these data where there are none."""
        if observation.image is None or "cues" in options:
            return dict(options)
        return {"cues": find_cues(data).to_dict(), **options}

    def labels(self, data: Demonstrations) -> dict[str, FloatArray]:
        """What hindsight says: see `hindsight_labels`."""
        return hindsight_labels(data, self.cues, HORIZONS)

    def lessons(self, data: Demonstrations) -> list[str]:
        """What of the actions is a toggle, what images tell of, and of what they do not."""
        return [lessons(self.cues, data)]

    def gaps(self, data: Demonstrations) -> list[str]:
        """Where nothing tells of places, or of the next keyframe, or the camera differs."""
        return list(gaps(self.cues, data))

    def context(self, features: Tensor) -> Tensor:
        """Pool the unordered set of slots by attention: (B, F) to (B, context)."""
        layout = self.shared, self.slots
        return pool_slots(self.token, self.score, self.pooled, features, layout, self.kind)

    @torch.no_grad()
    def initialise(self, obs: ObservationTensors) -> None:
        """Take the scales of vectors from the data, and from what moves where each cell is."""
        super().initialise(obs)
        if "hindsight_track" in obs and self.cues.tracks:
            plane = _seen_moving(obs["image"], obs["hindsight_track"][:, :PLACE], self._grid)
            self.plane[:3, : plane.shape[1]] = plane.to(self.plane) / self.quick

    def perturb(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Add noise to places; absent slots stay exactly quiet."""
        noise = torch.randn(
            features.shape, generator=generator, device=features.device, dtype=features.dtype
        )
        scale = torch.ones_like(features)
        start, end = self._hand, self.shared + SLOT * self.slots
        presence = features[:, start:end].reshape(len(features), -1, SLOT)[:, :, :1]
        scale[:, start:end] = (features.new_tensor([0.0, *(1.0,) * PLACE]) * presence).flatten(1)
        return features + self.feature_noise * scale.detach() * noise

    def _meant(self, place: Tensor, hand: Tensor) -> Tensor:
        """How likely a thing at each place (B, N, 3) is meant (B, N, K), from where the hand is."""
        toggles = hand[:, None, PLACE:].expand(-1, place.shape[1], -1)
        relative = torch.cat((place - hand[:, None, :PLACE], toggles), dim=2)
        meant: Tensor = self.meant(relative).sigmoid()
        return meant

    def _slots(self, seen: Mapping[str, Tensor]) -> Tensor:
        near = (seen["code"] @ (self.sharpness * self._anchors.T)).exp()
        near = near / near.sum(2, keepdim=True)
        of_kind = torch.cat((seen["heat"] * seen["meant"], seen["heat"]), dim=2)
        told = seen["heat"][:, :, : self.cues.thing_kinds]
        # One product for all slots: PyTorch's CPU kernels are very slow for a single column. Where
        # a thing is, a hot cell says, and not several faint ones; that there is one, all together.
        weight = torch.cat((of_kind.square(), each(told.square(), near)), dim=2)
        mean = weight.transpose(1, 2) @ seen["place"] / (weight.sum(1)[:, :, None] + 1e-4)
        sure = torch.cat((certain(of_kind), each(certain(told), near)), dim=2)
        mass = sure.sum(1)[:, :, None].square()
        presence = mass / (mass + self.half_present**2)
        relative = mean - seen["hand"][:, None, :PLACE]
        slots = torch.cat((presence, presence * relative), dim=2)
        return torch.cat((seen["hand"], slots.flatten(1)), dim=1)


def convolutions(inside: int, channels: int, *, dilations: Sequence[int]) -> nn.Sequential:
    """3x3 convolutions of one width that keep the grid's size, a rectifier after each."""
    layers: list[nn.Module] = []
    for dilation in dilations:
        layers += [
            nn.Conv2d(inside, channels, 3, padding=dilation, dilation=dilation),
            nn.ReLU(),
        ]
        inside = channels
    return nn.Sequential(*layers)


def pool_slots(
    token: nn.Sequential,
    score: nn.Module,
    pooled: nn.Module,
    features: Tensor,
    layout: tuple[int, int],
    kind: Tensor | None = None,
) -> Tensor:
    """Features (B, F) to (B, C), whatever the order of slots; absent ones count for nothing.

    Args:
        token: From a slot and what all share to a token.
        score: From a token to its attention.
        pooled: From the attended and the summed tokens, what is shared and vectors, to the result.
        features: What is shared, the slots, presence first in each, and vectors.
        layout: Length of what is shared, and the number of slots.
        kind: What is added to the first layer of tokens (K, width) for slots of each kind, which
            follow one another; None where they have none.
    """
    start, count = layout
    shared, slots, vectors = features.tensor_split((start, start + SLOT * count), dim=1)
    slots = slots.reshape(-1, count, SLOT)
    beside = shared[:, None].expand(-1, count, -1)
    hidden = token[0](torch.cat((slots, beside), dim=2))
    if kind is not None:
        hidden = hidden + kind.repeat_interleave(count // len(kind), dim=0)
    tokens = token[1:](hidden)
    presence = slots[:, :, :1]
    attention = presence * score(tokens).clamp(-8, 8).exp()
    attended = (attention * tokens).sum(1) / (attention.sum(1) + 1e-3)
    summed = (presence * tokens).sum(1)
    context: Tensor = pooled(torch.cat((attended, summed, shared, vectors), dim=1))
    return context


def _edged(maps: Tensor) -> Tensor:
    """Maps (B, C, H, W), edges repeated once: zeros would tell a cell that it is there."""
    wider = functional.pad(maps, (1, 1, 1, 1), mode="replicate")
    return wider.contiguous(memory_format=torch.channels_last)


def _seen_moving(image: Tensor, track: Tensor, grid: Tensor) -> Tensor:
    """Where each cell is, (3, D) for 1, x and y of its grid, if one thing moves as tracks say.

    Tracks are (B, D). Rows 2i and 2i + 1 of images and tracks are of one episode. The way between
    them is regressed on how the moments of colours over the image change: colours tell what moves,
    moments where.
    """
    cells = functional.adaptive_avg_pool2d(
        image.permute(0, 3, 1, 2).float(), (grid.shape[1], grid.shape[2])
    )
    colour = cells.flatten(2).transpose(1, 2).double() / 255.0 - 0.5
    colour = torch.cat((colour, colour.square()), dim=2)
    colour = (colour - colour.mean((0, 1))) / (colour.std((0, 1)) + 1e-6)
    place, way = quadratic(grid.flatten(1).T.double())[:, :3], (track[1::2] - track[0::2]).double()
    change = colour[1::2] - colour[0::2]
    moments = torch.einsum("nk,bnc->bkc", place, change).flatten(1)
    gram = moments.T @ moments
    gram += (1e-2 * gram.diagonal().mean() + 1e-9) * torch.eye(len(gram)).to(gram)
    found = torch.linalg.solve(gram, moments.T @ way).view(3, -1, way.shape[1])
    where, size, what = torch.linalg.svd(found.transpose(1, 2).flatten(0, 1), full_matrices=False)
    moved = (change @ what[0]).abs()
    # what moves is seldom at a given cell, and stands out from what is mostly there
    out = (colour[1::2] + colour[0::2] - 2.0 * colour.mean(0)) @ what[0]
    mass = 0.5 * moved.sum(1).quantile(0.9) * (moved * out).mean().sign()
    plane: Tensor = (where[:, 0] * size[0] * mass).view(3, way.shape[1])
    return plane


def quadratic(points: Tensor) -> Tensor:
    """Monomials up to degree two of points (N, 2): what a tilted camera makes of a plane."""
    x, y = points[:, 0], points[:, 1]
    return torch.stack((torch.ones_like(x), x, y, x * x, x * y, y * y), dim=1)


def coordinate_grid(rows: int, columns: int) -> Tensor:
    """Centres of the cells as (2, rows, columns), x and y from -1 to 1 over the image."""
    y, x = torch.meshgrid(
        (torch.arange(rows) + 0.5) / rows * 2.0 - 1.0,
        (torch.arange(columns) + 0.5) / columns * 2.0 - 1.0,
        indexing="ij",
    )
    return torch.stack((x, y))


def sphere_anchors(count: int) -> FloatArray:
    """Unit vectors (count, 3) float32 on a Fibonacci spiral, nearly evenly spread.

    Example:
        >>> anchors = sphere_anchors(12)
        >>> bool(np.allclose(np.linalg.norm(anchors, axis=1), 1.0))
        True
    """
    index = np.arange(count) + 0.5
    height = 1.0 - 2.0 * index / count
    angle = np.pi * (1.0 + np.sqrt(5.0)) * index
    radius = np.sqrt(1.0 - height**2)
    points = np.stack((radius * np.cos(angle), radius * np.sin(angle), height), axis=1)
    return points.astype(np.float32)
