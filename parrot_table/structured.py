"""The encoder of `parrot-v0`: a few keypoints that say what is where on our table.

A small convolutional net predicts, for each cell of a grid, whether the centre of a movable object
or of a container is there, where that is in metres, and an appearance code. The features are a
fixed number of *slots*: slot k is the mean position of whatever looks like anchor k, relative to
the gripper. In a scene with given things every thing stays in its own slots, the others are
exactly quiet, and all of it is smooth in the pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from parrot_table.folded_structured import FoldedStructured
from parrot_table.layout import (
    CELL_MASS,
    CONTAINER_CODE,
    FAINT,
    FOLD,
    GRIPPER,
    LENGTH,
    SHARED,
    SLOT,
)
from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError
from parrot_wrapper.priors.encoders.base import ActingEncoder, ObservationTensors
from parrot_wrapper.priors.encoders.image_encoder import (
    ImageEncoder,
    padded,
    quarter,
    require_image,
    vector_dim,
)
from parrot_wrapper.priors.encoders.keypoints import (
    convolutions,
    coordinate_grid,
    pool_slots,
    sphere_anchors,
)
from parrot_wrapper.types import ObservationSpec

_SURELY = 0.1
"""Where the container is less present than this, its position means nothing."""
_SEEN_IN = 3
"""Slots that an object usually shows in, as its parts look different."""
_HEADS = {"heat": 2, "position": 3, "container": CONTAINER_CODE}
_CODE = 3


class StructuredEncoder(ImageEncoder):
    """Images to gripper, container and object slots: F = 11 + 4 `slots` features, and vectors.

    The layout is: gripper (5), container slot (4), container code (2), object slots (4 each), then
    the vectors beside the image, where there are any, in standard deviations. Lengths are in units
    of 0.1 m. `parrot-v0` learned them from the simulator's labels; a new one learns from a prior's
    loss alone. For a new prior see `KeypointEncoder`.

    Args:
        observation: Must have an image of at least 4 pixels a side.
        slots: Object slots (appearance anchors), 2 or more.
        channels: Width of the convolutional net.
        sharpness: How exclusively an appearance belongs to its nearest anchor.
        feature_noise: Standard deviation of the noise on features that the flow is trained with,
            in units of 0.1 m, for vectors of their own. It makes the flow smooth in what it sees.
        context: Length of what the flow is conditioned on.

    Raises:
        InvalidArgumentError: No image, a smaller one, or an option out of range.
    """

    name = "structured"
    _anchors: Tensor
    _grid: Tensor
    _base: Tensor
    _centre: Tensor

    def __init__(
        self,
        observation: ObservationSpec,
        *,
        slots: int = 12,
        channels: int = 64,
        sharpness: float = 10.0,
        feature_noise: float = 0.03,
        context: int = 128,
    ) -> None:
        height, width, colours = require_image("structured", observation)
        if slots < 2 or channels < 8 or not sharpness > 0 or not feature_noise >= 0:
            raise InvalidArgumentError(
                "The structured encoder needs slots >= 2, channels >= 8, sharpness > 0 and "
                f"feature_noise >= 0, got {slots}, {channels}, {sharpness} and {feature_noise}."
            )
        super().__init__(
            observation,
            feature_dim=SHARED + SLOT * slots + vector_dim(observation),
            context_dim=context,
        )
        rows, columns = quarter(height), quarter(width)
        self.slots, self.sharpness, self.feature_noise = slots, sharpness, feature_noise
        self.trunk = convolutions(FOLD**2 * colours + 2, channels, dilations=(1, 1, 2, 1))
        self.heads = nn.Conv2d(channels, sum(_HEADS.values()), 1)
        nn.init.constant_(self.heads.bias[:2], -4.0)  # type: ignore[index]  # few cells are centres
        # Things mostly stay where they are, so a code that could know the place would take it for
        # identity: this branch sees no coordinates, and only a few cells.
        self.appearance = nn.Sequential(
            nn.Conv2d(FOLD**2 * colours, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, _CODE, 1),
        )
        squeezed = 8 * rows * columns
        self.squeeze = nn.Conv2d(channels, 8, 1)
        self.gripper = nn.Sequential(nn.Linear(squeezed, 128), nn.SiLU(), nn.Linear(128, GRIPPER))
        self.token = nn.Sequential(nn.Linear(SLOT + SHARED, 96), nn.SiLU(), nn.Linear(96, 96))
        self.score = nn.Linear(96, 1)
        self.pooled = nn.Sequential(
            nn.Linear(2 * 96 + SHARED + vector_dim(observation), context), nn.SiLU(),
            nn.Linear(context, context),
        )  # fmt: skip
        self.register_buffer("_anchors", torch.from_numpy(sphere_anchors(slots)))
        grid = coordinate_grid(rows, columns)
        flat = torch.cat((grid, torch.zeros_like(grid[:1]))).flatten(1).T
        self.register_buffer("_grid", grid)
        self.register_buffer("_base", flat.contiguous())
        self.register_buffer("_centre", torch.zeros(3))
        self.add_scales()

    def forward(self, obs: ObservationTensors) -> Tensor:
        """Images (B, H, W, C) uint8, and vectors beside them, to features (B, F)."""
        maps, gripper = self._maps(obs["image"])
        with torch.autocast(gripper.device.type, enabled=False):  # positions need float32
            maps = {name: values.to(self.dtype) for name, values in maps.items()}
            rows, columns = maps["heat"].shape[1:3]
            maps["position"] = maps["position"] + self._base.view(rows, columns, 3)
            gripper = gripper.to(self.dtype)
            return self.join(self._slots(maps, gripper), obs)

    def for_acting(self) -> ActingEncoder:
        """`FoldedStructured`; an encoder that is derived from this one stays as it is."""
        return FoldedStructured(self) if type(self) is StructuredEncoder else self

    def context(self, features: Tensor) -> Tensor:
        """Pool the unordered set of object slots by attention: (B, F) to (B, context)."""
        return pool_slots(self.token, self.score, self.pooled, features, (SHARED, self.slots))

    def perturb(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Add noise to positions; absent slots stay exactly quiet."""
        noise = torch.randn(
            features.shape, generator=generator, device=features.device, dtype=features.dtype
        )
        scale = torch.ones_like(features)
        start = GRIPPER
        scale[:, start : start + SLOT] = features[:, start : start + 1]
        objects = features.new_tensor([0.0, 1.0, 1.0, 1.0]) * self._objects(features)[:, :, :1]
        scale[:, SHARED : SHARED + SLOT * self.slots] = objects.flatten(1)
        return features + self.feature_noise * scale.detach() * noise

    def redirected(self, features: Tensor, above: float) -> tuple[Tensor, Tensor]:
        """Features (B, F) of an empty hand that is to reach `above` metres over the container.

        And how surely the hand holds something now, (B,) in [0, 1]. The hand is open and empty, the
        container the only object, and another stands below. The flow never saw an object where the
        container is, and would keep away from it. Vectors beside the image are not offered: they
        may say what the hand holds, and nobody knows where.

        Raises:
            NotOfferedError: There are vectors beside the image.
        """
        if vector_dim(self.observation):
            raise NotOfferedError(
                f"Expected features of images alone, got those of {self.observation}."
            )
        start, end = GRIPPER, GRIPPER + SLOT
        container, held = features[:, start:end], features[:, GRIPPER - 1].clamp(0.0, 1.0)
        goal = container / container[:, :1].clamp_min(_SURELY)
        goal[:, -1] += above / LENGTH
        other = torch.zeros_like(features)
        other[:, : GRIPPER - 2] = features[:, : GRIPPER - 2]
        other[:, GRIPPER - 2] = 1.0
        other[:, start:end] = container * container.new_tensor([1.0, 0.0, 0.0, 1.0])
        other[:, end : end + CONTAINER_CODE] = features[:, end : end + CONTAINER_CODE]
        self._objects(other)[:, :_SEEN_IN] = goal[:, None]
        return other, held

    def _objects(self, features: Tensor) -> Tensor:
        return features[:, SHARED : SHARED + SLOT * self.slots].reshape(-1, self.slots, SLOT)

    def _maps(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Per-cell predictions, (B, H/4, W/4, .) each, and the gripper (B, 5)."""
        batch = image.shape[0]
        pixels = padded(image, FOLD).permute(0, 3, 1, 2).to(self.dtype) / 255.0 - 0.5
        folded = functional.pixel_unshuffle(pixels, FOLD)
        folded = folded.contiguous(memory_format=torch.channels_last)
        stacked = torch.cat((folded, self._grid.expand(batch, -1, -1, -1)), dim=1)
        trunk = self.trunk(stacked.contiguous(memory_format=torch.channels_last))
        gripper = self.gripper(self.squeeze(trunk).flatten(1))
        out = self.heads(trunk).permute(0, 2, 3, 1)
        maps = dict(zip(_HEADS, out.split(list(_HEADS.values()), dim=3), strict=True))
        maps["code"] = self.appearance(folded).permute(0, 2, 3, 1)
        return maps, gripper

    def _slots(self, maps: Mapping[str, Tensor], gripper: Tensor) -> Tensor:
        heat = maps["heat"].sigmoid().flatten(1, 2)
        position = maps["position"].flatten(1, 2)
        code = functional.normalize(maps["code"].flatten(1, 2), dim=2)
        near = (code @ (self.sharpness * self._anchors.T)).exp()
        # One product for all slots: PyTorch's CPU kernels are very slow for a single column.
        weight = torch.cat(
            (heat[:, :, 1:], near * (heat[:, :, :1] / near.sum(2, keepdim=True))), dim=2
        )
        values = torch.cat((position, maps["container"].flatten(1, 2)), dim=2)
        total = weight.sum(1)[:, :, None]
        means = weight.transpose(1, 2) @ values / (total + 1e-4)
        mass = total / CELL_MASS
        presence = mass.square() / (mass.square() + FAINT)
        relative = means[:, :, :3] - (gripper[:, :3] + self._centre)[:, None]
        slots = torch.cat((presence, presence * relative), dim=2)
        container_code = means[:, 0, 3:].tanh()
        return torch.cat((gripper, slots[:, 0], container_code, slots[:, 1:].flatten(1)), dim=1)
