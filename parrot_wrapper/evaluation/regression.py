"""What is in features: small regressions, where things are, and the way to the next keyframe."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from parrot_wrapper.errors import DataError
from parrot_wrapper.evaluation.policies import Predictor
from parrot_wrapper.evaluation.recordings import HAND, LANDMARKS, Recording, embed
from parrot_wrapper.priors.encoders.cues import find_cues, hindsight_labels
from parrot_wrapper.surroundings import own_surroundings
from parrot_wrapper.types import ActionPrior, FloatArray

if TYPE_CHECKING:
    from parrot_wrapper.data.dataset import EpisodeDataset

_HELD_OUT = 0.2
"""Of the episodes."""


@dataclass(frozen=True)
class Regression:
    """A fitted regression and how well it does on episodes that it was not fitted on.

    Attributes:
        predict: From inputs (B, I) to outputs (B, O), float32.
        rmse: (O,) root mean squared error on held-out episodes, in the outputs' units.
        spread: (O,) standard deviation of the outputs there: what guessing the mean gets.
    """

    predict: Predictor
    rmse: FloatArray
    spread: FloatArray

    @property
    def unexplained(self) -> float:
        """Held-out share of the variance that is not explained, averaged over the outputs."""
        return float(np.mean(np.square(self.rmse / np.maximum(self.spread, 1e-8))))


@dataclass(frozen=True)
class FitSettings:
    """How the MLP is fitted.

    Attributes:
        hidden: Width of its two hidden layers.
        epochs: At most so many passes over the data.
        patience: Passes without progress on held-out episodes before it stops.
        batch_size: Rows in an update.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        seed: Of the weights and the order of rows.
    """

    hidden: int = 256
    epochs: int = 150
    patience: int = 12
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    seed: int = 0


def held_out_rows(episodes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Mask (N,) of the rows whose episodes are held out: whole episodes, never single steps."""
    names = np.unique(episodes)
    if len(names) < 2:
        raise DataError(f"A held-out split needs at least two episodes, got {len(names)}.")
    count = min(max(1, round(_HELD_OUT * len(names))), len(names) - 1)
    chosen = np.random.default_rng(0).permutation(names)[:count]
    return np.isin(episodes, chosen)


@own_surroundings()
def fit_ridge(
    inputs: FloatArray,
    outputs: FloatArray,
    held_out: npt.NDArray[np.bool_],
    *,
    penalty: float = 1e-3,
) -> Regression:
    """Linear regression with an L2 penalty (per row, on standardised inputs)."""
    scale_in, scale_out = _Scale.of(inputs[~held_out]), _Scale.of(outputs[~held_out])
    x = np.float64(scale_in.apply(inputs[~held_out]))
    y = np.float64(scale_out.apply(outputs[~held_out]))
    weights = np.linalg.solve(x.T @ x + penalty * len(x) * np.eye(x.shape[1]), x.T @ y)

    @own_surroundings()
    def predict(batch: FloatArray) -> FloatArray:
        return scale_out.undo(np.asarray(scale_in.apply(batch) @ weights, dtype=np.float32))

    return _judged(predict, inputs, outputs, held_out)


@own_surroundings()
def fit_mlp(
    inputs: FloatArray,
    outputs: FloatArray,
    held_out: npt.NDArray[np.bool_],
    settings: FitSettings | None = None,
) -> Regression:
    """A two-layer MLP on standardised inputs and outputs, its best state on held-out episodes.

    Args:
        inputs: (N, I) float32.
        outputs: (N, O) float32.
        held_out: (N,) rows to stop early on and to judge by.
        settings: None for the defaults.
    """
    chosen = settings or FitSettings()
    scale_in, scale_out = _Scale.of(inputs[~held_out]), _Scale.of(outputs[~held_out])
    x, y = (
        torch.from_numpy(scale.apply(rows))
        for scale, rows in ((scale_in, inputs), (scale_out, outputs))
    )
    split = torch.from_numpy(~held_out)
    net = _fit(x[split], y[split], x[~split], y[~split], chosen)

    @own_surroundings()
    def predict(batch: FloatArray) -> FloatArray:
        with torch.inference_mode():
            standard = net(torch.from_numpy(scale_in.apply(batch)))
        return scale_out.undo(standard.numpy())

    return _judged(predict, inputs, outputs, held_out)


def _fit(
    x: torch.Tensor,
    y: torch.Tensor,
    x_held: torch.Tensor,
    y_held: torch.Tensor,
    settings: FitSettings,
) -> nn.Module:
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator
        torch.default_generator.manual_seed(settings.seed)
        net = nn.Sequential(
            nn.Linear(x.shape[1], settings.hidden),
            nn.ReLU(),
            nn.Linear(settings.hidden, settings.hidden),
            nn.ReLU(),
            nn.Linear(settings.hidden, y.shape[1]),
        )
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    best, best_state, waited = float("inf"), net.state_dict(), 0
    for _ in range(settings.epochs):
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(x), settings.batch_size):
            rows = order[start : start + settings.batch_size]
            loss = (net(x[rows]) - y[rows]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            error = float((net(x_held) - y_held).square().mean())
        waited += 1
        if error < best:
            best, waited = error, 0
            best_state = {name: value.clone() for name, value in net.state_dict().items()}
        if waited >= settings.patience:
            break
    net.load_state_dict(best_state)
    return net.eval()


@dataclass(frozen=True)
class _Scale:
    mean: FloatArray
    std: FloatArray

    @classmethod
    def of(cls, rows: FloatArray) -> _Scale:
        return cls(rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6).astype(np.float32))

    def apply(self, rows: FloatArray) -> FloatArray:
        return np.asarray((rows - self.mean) / self.std, dtype=np.float32)

    def undo(self, rows: FloatArray) -> FloatArray:
        return np.asarray(rows * self.std + self.mean, dtype=np.float32)


def _judged(
    predict: Predictor, inputs: FloatArray, outputs: FloatArray, held_out: npt.NDArray[np.bool_]
) -> Regression:
    errors = predict(inputs[held_out]) - outputs[held_out]
    rmse = np.sqrt(np.square(errors).mean(axis=0))
    return Regression(predict, rmse, outputs[held_out].std(axis=0))


_CENTIMETRES = 100.0


@dataclass(frozen=True)
class ProbeRow:
    """Errors on one thing's x, y and z, in centimetres, on held-out episodes.

    Attributes:
        name: "landmark 0" and so on in the env's order, or that of the label `HAND`.
        spread: Standard deviations: the error of guessing the mean.
        ridge: Root mean squared errors of a linear regression.
        mlp: The same of a small MLP.
    """

    name: str
    spread: tuple[float, ...]
    ridge: tuple[float, ...]
    mlp: tuple[float, ...]


@dataclass(frozen=True)
class Probe:
    """Regression from features to positions.

    Attributes:
        rows: One for each landmark, and the hand.
        steps: Images that it was fitted and judged on.
    """

    rows: tuple[ProbeRow, ...]
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy, errors by name."""
        return {"steps": self.steps, "rows": [asdict(row) for row in self.rows]}


def probe_features(
    prior: ActionPrior, recording: Recording, *, settings: FitSettings | None = None
) -> Probe | None:
    """Fit both regressions on four fifths of the episodes and judge them on the rest.

    Args:
        prior: The prior whose features are probed.
        recording: With the labels `LANDMARKS` (N, L, 3) and `HAND` (N, 3 or more) in metres.
        settings: How the MLP is fitted.

    Returns:
        The errors, or None where the recording has no such labels.
    """
    targets = _targets(recording)
    if not targets:
        return None
    names, columns = list(targets), np.concatenate(list(targets.values()), axis=1)
    features, held_out = embed(prior, recording), held_out_rows(recording.episodes)
    ridge = fit_ridge(features, columns, held_out)
    mlp = fit_mlp(features, columns, held_out, settings)
    rows = [_row(name, index, ridge, mlp) for index, name in enumerate(names)]
    return Probe(tuple(rows), len(recording))


def _targets(recording: Recording) -> dict[str, FloatArray]:
    targets: dict[str, FloatArray] = {}
    landmarks = recording.labels.get(LANDMARKS)
    if landmarks is not None:
        for index in range(landmarks.shape[1]):
            targets[f"landmark {index}"] = landmarks[:, index, :3]
    if HAND in recording.labels:
        targets[HAND] = recording.labels[HAND][:, :3]
    return targets


def _row(name: str, index: int, ridge: Regression, mlp: Regression) -> ProbeRow:
    columns = slice(3 * index, 3 * index + 3)

    def centimetres(values: FloatArray) -> tuple[float, ...]:
        return tuple(round(float(value) * _CENTIMETRES, 3) for value in values[columns])

    return ProbeRow(name, centimetres(ridge.spread), centimetres(ridge.rmse), centimetres(mlp.rmse))


_FEW = 100
_NEAR = 1.0
"""In typical ways. From further off it is open which of several things is meant."""


@dataclass(frozen=True)
class KeyframeError:
    """How well an MLP tells the way to a near keyframe from the features, in held-out episodes.

    Attributes:
        unexplained: Share of the ways' variance, over kinds of keyframes and dimensions, that it
            does not explain.
        rmse: Root mean squared length of its errors, in multiples of a typical way.
        kinds: Kinds of keyframes that were seen often enough.
        steps: Steps that it was fitted and measured on.
    """

    unexplained: float
    rmse: float
    kinds: int
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy."""
        return asdict(self)


def measure_keyframes(
    prior: ActionPrior,
    dataset: EpisodeDataset,
    *,
    steps: int,
    rng: np.random.Generator,
    settings: FitSettings | None = None,
) -> KeyframeError:
    """Regress the ways to the next keyframes on the features of random episodes.

    Args:
        prior: The prior whose features are judged.
        dataset: Demonstrations with what it looks at, an image among it.
        steps: Of the data that are used, at most, of whole episodes.
        rng: Chooses the episodes.
        settings: How the MLP is fitted.
    """
    images = list(prior.observation_spec.images)
    if not images:
        raise DataError("Keyframes are looked for in images, and the prior sees none.")
    data = dataset.seen_by(prior)
    order = rng.permutation(data.n_episodes)
    data = data.subset(order[: max(2, int((np.cumsum(data.lengths[order]) <= steps).sum()))])
    cues = find_cues(data, images[0])
    if not cues.tracks:
        raise DataError("No action's effect is seen in the images, so no way to a keyframe is.")
    rows = data.observation_rows()
    labels = {name: values[rows] for name, values in hindsight_labels(data, cues).items()}
    owners = np.repeat(np.arange(data.n_episodes), data.lengths)
    features = prior.features(data.observed(list(prior.observation_spec.parts), rows))
    fits = []
    for kind in range(cues.kinds):
        near = np.linalg.norm(labels["hindsight_way"][:, kind], axis=1) < _NEAR
        there = near & (labels["hindsight_there"][:, kind] > 0)
        if there.sum() >= _FEW:
            ways, held_out = labels["hindsight_way"][there, kind], held_out_rows(owners[there])
            fits.append(fit_mlp(features[there], ways, held_out, settings))
    if not fits:
        raise DataError(f"Expected a kind of keyframe ahead in {_FEW} steps or more, got none.")
    missed = np.square([fit.rmse for fit in fits]).sum()
    return KeyframeError(
        unexplained=float(missed / np.square([fit.spread for fit in fits]).sum()),
        rmse=float(np.sqrt(missed / len(fits))),
        kinds=len(fits),
        steps=len(rows),
    )
