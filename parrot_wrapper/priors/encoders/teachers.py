"""Losses that teach a grid of cells where things are, from what the demonstrator did next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from parrot_wrapper.checks import is_number
from parrot_wrapper.errors import InvalidArgumentError, require_known
from parrot_wrapper.priors.encoders.base import channels_first
from parrot_wrapper.priors.encoders.cues import Cues

PLACE = 3
"""Dimensions of a place: things are in space."""
DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "odometry": 1.0,
        "motion": 0.2,
        "toggle": 1.0,
        "soon": 1.0,
        "speed": 5.0,
        "keyframe": 0.3,
        "mass": 0.0003,
        "contrast": 0.5,
        "horizon": 0.0,
        "dynamics": 0.0,
        "reconstruction": 0.0,
    }
)
HORIZONS = (1, 4, 16)
"""In steps."""
_PICTURE = 8
"""Pixels a side of the image that is reconstructed."""
_NEAR = 0.5
"""In typical ways. Who is nearer to a keyframe may look at the hand alone, so that the heat of what
is seen there says nothing; but where things are can be told most exactly from there."""
_CENTRE = 0.1
_ASTRAY = 0.3
"""Mass of the chance that nothing in sight is where the demonstrator goes."""
_AWAY = 0.3
"""In places: the further than this a cell points, the less is its vote trusted. A cell that could
point anywhere would tell where things are without being on one."""
_HALF = 0.1
_TEMPERATURE = 0.1


def certain(heat: Tensor) -> Tensor:
    """How surely a cell is of a thing, in [0, 1): half at a heat of 0.1, and next to 0 below."""
    squared = heat.square()
    return squared / (squared + _HALF**2)


def each(of_kind: Tensor, near: Tensor) -> Tensor:
    """Products (B, N, K A) of each of (B, N, K) with each of (B, N, A), kind by kind."""
    return (of_kind[:, :, :, None] * near[:, :, None]).flatten(2)


class Teachers(nn.Module):
    """Losses of a `KeypointEncoder`, from labels that `hindsight_labels` makes of actions.

    - *odometry*: how the hand's place changes between two steps of an episode is what the tracks
      say, through learned gains, which may be zero.
    - *motion*: the hand is where images of an episode differ, if the camera is fixed.
    - *toggle*: the last switch of each toggle, as features of the hand.
    - *soon*: the same in 1, 4 and 16 steps, on average. A hand that holds nothing opens again.
    - *speed*: how fast it moves where actions are forces, which change it, as features of the hand.
    - *keyframe*: each cell votes for the way from the hand to the next keyframe of each kind, with
      its heat, as far as it is meant, as its weight; a mixture over which thing that is. Close to
      it, heat learns nothing, and the rest most exactly.
    - *mass*: a small price on heat.
    - *contrast*: a thing looks the same at two times, and unlike others.
    - *horizon*: the way in 1, 4 and 16 steps is told by the features.
    - *dynamics*: the way between two steps is told by the features of both (inverse dynamics).
    - *reconstruction*: the image, coarse, is told by the features.

    The last three are for comparison and have a weight of 0, and no layers then.

    Args:
        cues: What the data tell of themselves.
        cells: Rows and columns of the grid.
        features: F.
        image: Colours of the image.
        weights: Of the losses, by name, where they are not `DEFAULT_WEIGHTS`; 0 leaves one out.
    """

    _cell: Tensor

    def __init__(
        self,
        cues: Cues,
        cells: tuple[int, int],
        *,
        features: int,
        image: int,
        weights: Mapping[str, float],
    ) -> None:
        super().__init__()
        require_known("teacher", weights, DEFAULT_WEIGHTS)
        self.weights = {**DEFAULT_WEIGHTS, **weights}
        if not all(
            is_number(weight) and 0 <= weight < math.inf for weight in self.weights.values()
        ):
            raise InvalidArgumentError(f"Expected weights of teachers >= 0, got {dict(weights)}.")
        self._cues, self._cells = cues, cells
        tracks = len(cues.tracks)
        self.gains = nn.Parameter(torch.eye(tracks, PLACE))
        self.spread = nn.Parameter(torch.full((2, cues.kinds, tracks), -0.5))  # far, near
        self.above = nn.Parameter(torch.zeros(cues.kinds, tracks))
        self.readers = nn.ModuleDict()
        for name, inputs, outputs in (
            ("horizon", features, len(HORIZONS) * tracks),
            ("dynamics", 2 * features, tracks),
            ("reconstruction", features, _PICTURE**2 * image),
        ):
            if self.weights[name] and outputs:
                self.readers[name] = nn.Sequential(
                    nn.Linear(inputs, 64), nn.SiLU(), nn.Linear(64, outputs)
                )
        rows, columns = torch.meshgrid(*map(torch.arange, cells), indexing="ij")
        self.register_buffer("_cell", torch.stack((rows, columns), dim=2).flatten(0, 1))

    def forward(
        self,
        seen: Mapping[str, Tensor],
        batch: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Weighted scalar losses by name.

        Args:
            seen: What `KeypointEncoder.training_features` returns.
            batch: Labels of `hindsight_labels`, and "image"; rows 2i and 2i + 1 are of one episode.
            generator: Chooses the cells that are compared.
        """
        losses = {}
        toggles = len(self._cues.toggles)
        now, soon, speed = seen["hand"][:, PLACE:].tensor_split(
            (toggles, (1 + len(HORIZONS)) * toggles), dim=1
        )
        if toggles:
            losses["toggle"] = (now - batch["hindsight_toggle"]).abs().mean()
            losses["soon"] = functional.mse_loss(soon, batch["hindsight_soon"].flatten(1))
        if self._cues.forces:
            losses["speed"] = functional.mse_loss(speed, batch["hindsight_speed"])
        if self._cues.tracks:
            losses["odometry"], centre = self._odometry(seen["hand"][:, :PLACE], batch)
            losses["centre"] = centre + 3.0 * seen["bent"].mean() + 0.3 * seen["apart"].mean()
            if self._cues.fixed_camera:
                losses["motion"] = self._motion(seen["attention"], batch["image"])
            losses["keyframe"] = self._keyframe(seen, batch)
            losses["mass"] = seen["heat"].sum((1, 2)).mean()
        things = seen["heat"].detach()[:, :, : self._cues.thing_kinds].unbind(2)
        contrasts = [self._contrast(seen["code"], heat, generator) for heat in things]
        losses["contrast"] = torch.stack(contrasts).mean()
        for name, reader in self.readers.items():
            losses[name] = self._read(name, reader, seen["features"], batch)
        weights = {**self.weights, "centre": _CENTRE * bool(self.weights["odometry"])}
        return {name: weights[name] * loss for name, loss in losses.items() if weights[name]}

    def _read(
        self, name: str, reader: nn.Module, features: Tensor, batch: Mapping[str, Tensor]
    ) -> Tensor:
        """Mean squared error of what is told by features (B, F)."""
        if name == "horizon":
            wanted = batch["hindsight_ahead"].flatten(1)
        elif name == "dynamics":
            track = batch["hindsight_track"]
            wanted = track[1::2] - track[0::2]
            features = torch.cat((features[0::2], features[1::2]), dim=1)
        else:
            pixels = channels_first(batch["image"], features.dtype)
            wanted = functional.adaptive_avg_pool2d(pixels, _PICTURE).flatten(1)
        return functional.mse_loss(reader(features), wanted)

    def _odometry(self, hand: Tensor, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """How far the hand's way is from what the tracks say; and where it is on average."""
        track = batch["hindsight_track"]
        moved = (hand[1::2] - hand[0::2]) @ self.gains.T
        loss = functional.smooth_l1_loss(moved, track[1::2] - track[0::2], beta=0.1)
        return loss * track.shape[1], hand.mean(0).square().sum()

    def _motion(self, attention: Tensor, image: Tensor) -> Tensor:
        """Cross-entropy of attention (2B, N) with where two images of an episode differ.

        Odometry compares the hand with itself. A place that is off by as much in all of an episode
        satisfies it, such as the mean of all cells, the hand's a little heavier than the others.
        """
        pixels = channels_first(image, attention.dtype)
        change = functional.adaptive_avg_pool2d((pixels[1::2] - pixels[0::2]).abs(), self._cells)
        change = change.sum(1).flatten(1).square() + 1e-8
        share = change / change.sum(1, keepdim=True)
        return -(share.repeat_interleave(2, dim=0) * (attention + 1e-8).log()).sum(1).mean()

    def _keyframe(self, seen: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Tensor:
        """Negative log-likelihood of ways to keyframes under the mixture of all cells' votes."""
        # The hand, and where cells are, are for odometry to teach: votes are vague at first.
        hand, gains = seen["hand"][:, None, :PLACE].detach(), self.gains.detach()
        from_hand = (seen["place"] - hand) @ gains.T
        tracks = len(self._cues.tracks)
        far = 2.0 * (seen["away"] / _AWAY**2).log1p()
        total = seen["hand"].new_zeros(())
        for kind in range(self._cues.kinds):
            way = batch["hindsight_way"][:, kind]
            near = way.norm(dim=1, keepdim=True) < _NEAR
            spread = torch.where(near, self.spread[1, kind], self.spread[0, kind]).clamp(-3.0, 1.5)
            away = (way - self.above[kind])[:, None] - from_hand
            log_vote = -0.5 * (away / spread.exp()[:, None]).square().sum(2) - far
            log_vote = log_vote - spread.sum(1, keepdim=True) - 0.919 * tracks
            heat = seen["heat"][:, :, kind]
            heat = torch.where(near, heat.detach(), heat) * seen["meant"][:, :, kind]
            voted = torch.logsumexp((heat + 1e-6).log() + log_vote, dim=1)
            astray = torch.full_like(voted, math.log(_ASTRAY) - 2.0 * tracks)
            log_p = torch.logaddexp(voted, astray) - (heat.sum(1) + _ASTRAY).log()
            there = batch["hindsight_there"][:, kind]
            total = total - (log_p * there).sum() / there.sum().clamp_min(1.0)
        return total

    def _contrast(self, code: Tensor, heat: Tensor, generator: torch.Generator) -> Tensor:
        """InfoNCE (van den Oord et al. 2018) over a batch of what is at hot cells at two times.

        One kind of thing at a time: kinds have slots of their own, and each may take all codes.
        """
        size, _, length = code.shape
        both = torch.minimum(heat[0::2], heat[1::2])  # what stayed where it was
        both = certain(both) + 1e-6

        def around(values: Tensor) -> Tensor:
            grid = values.transpose(1, 2).reshape(size, -1, *self._cells)
            return 9 * functional.avg_pool2d(grid, 3, 1, 1).flatten(2).transpose(1, 2)

        looks = around(code * heat[:, :, None]) / (around(heat[:, :, None]) + 1e-4)
        first = torch.multinomial(both, 1, generator=generator)
        far = (self._cell - self._cell[first]).abs().amax(2) > 2
        second = torch.multinomial(both * far + 1e-9, 1, generator=generator)
        chosen = torch.cat((first, second), dim=1)
        sure = both.gather(1, chosen).flatten()
        index = chosen[:, :, None].expand(-1, -1, length)
        one, other = (looks[part::2].gather(1, index).flatten(0, 1) for part in (0, 1))
        similar = one @ other.T / _TEMPERATURE
        same = torch.arange(len(one), device=code.device)
        loss = functional.cross_entropy(similar, same, reduction="none")
        loss = loss + functional.cross_entropy(similar.T, same, reduction="none")
        return (loss * sure).sum() / sure.sum().clamp_min(1e-3)
