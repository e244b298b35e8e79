"""Latent charts: increasing maps between the agent's u in [-1, 1]^Z and a prior's base noise z.

Arithmetic is float64 inside and float32 at the edges: in float32, `(u + 1) / 2` rounds to 1 for the
largest u below 1, which would be z = infinity.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf, erfinv, gammainc, gammaincinv

from parrot_wrapper.checks import is_number, number_array, require_positive
from parrot_wrapper.errors import InvalidArgumentError, LatentError
from parrot_wrapper.registry import Registry
from parrot_wrapper.surroundings import quiet_floats
from parrot_wrapper.types import FloatArray

EDGE = 1.0 - 2.0**-24
"""Largest |u| that a chart uses: the largest float32 below 1, 5.42 standard deviations."""

_STEP = 1e-3
"""Of differences, as a share of the way to the nearer edge."""

_MIDDLE = 1e-12
"""Least squared length of noise that a ball is told apart by."""

_Float64Array = NDArray[np.float64]


CHARTS = Registry(
    "chart",
    "parrot_wrapper.charts",
    {
        "gaussian": f"{__name__}:GaussianChart",
        "box": f"{__name__}:BoxChart",
        "truncated": f"{__name__}:TruncatedChart",
        "tempered": f"{__name__}:TemperedChart",
        "ball": f"{__name__}:BallChart",
    },
)
"""Charts by name."""


@dataclass(frozen=True)
class Chart(ABC):
    """An increasing map, the same in every dimension, from u in [-1, 1] to noise z.

    A subclass with a `name` of its own is a frozen dataclass of one number at most. `parse_chart`
    then makes it from its text; packages offer theirs as entry points of `parrot_wrapper.charts`.
    """

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        if "name" in cls.__dict__:
            CHARTS.add(cls.name, cls)

    def to_latent(self, u: ArrayLike) -> FloatArray:
        """Map u (any shape, clipped to |u| <= 1 - 2^-24) to base noise z, float32.

        Raises:
            LatentError: u is no array of numbers.
        """
        inside = np.clip(_doubles("u", u), -EDGE, EDGE)
        with quiet_floats():
            return self._stretch(inside).astype(np.float32)

    def to_unit(self, z: ArrayLike) -> FloatArray:
        """Invert `to_latent`: z (any shape) to u, float32, |u| <= 1 - 2^-24.

        Noise beyond `bound`, such as an outlier among encoded actions, lands on the edge.

        Raises:
            LatentError: z is no array of numbers.
        """
        noise = _doubles("z", z)
        with quiet_floats():
            return np.clip(self._shrink(noise), -EDGE, EDGE).astype(np.float32)

    def slope(self, u: ArrayLike) -> FloatArray:
        """dz/du of `to_latent` at u (any shape, clipped as there), float32, for gradients.

        Raises:
            LatentError: u is no array of numbers.

        Example:
            >>> GaussianChart().slope([0.0])  # sqrt(pi / 2)
            array([1.2533141], dtype=float32)
        """
        inside = np.clip(_doubles("u", u), -EDGE, EDGE)
        with quiet_floats():
            return self._steepness(inside).astype(np.float32)

    def gradient(self, u: ArrayLike, by_noise: ArrayLike) -> FloatArray:
        """Gradient by u (..., Z), float32, of what has the gradient `by_noise` (..., Z) by z.

        Raises:
            LatentError: One is no array of numbers.
        """
        inside = np.clip(_doubles("u", u), -EDGE, EDGE)
        with quiet_floats():
            return self._pulled(inside, _doubles("by_noise", by_noise)).astype(np.float32)

    @property
    def bound(self) -> float:
        """Largest |z| that the chart reaches."""
        with quiet_floats():
            return float(self._stretch(np.array(EDGE)))

    @property
    def spec(self) -> str:
        """The text from which `parse_chart` makes an equal chart: its name and its number."""
        numbers = (float(getattr(self, entry.name)) for entry in fields(self))
        return ":".join((self.name, *map(repr, numbers)))

    @abstractmethod
    def prior_mass(self, dim: int) -> float:
        """Share of N(0, I) in `dim` dimensions that the chart covers, 0 to 1."""

    @property
    @abstractmethod
    def kl_uniform_to_prior(self) -> float:
        """KL(z of uniform u || N(0, 1)) in nats per dimension: what a random agent starts with."""

    @abstractmethod
    def _stretch(self, u: _Float64Array) -> _Float64Array:
        """Map u within the edges to z, float64."""

    @abstractmethod
    def _shrink(self, z: _Float64Array) -> _Float64Array:
        """Invert `_stretch`, float64."""

    def _steepness(self, u: _Float64Array) -> _Float64Array:
        """Derivative of `_stretch`, float64; by differences where a chart does not say."""
        step = _STEP * (1.0 - np.abs(u))
        return (self._stretch(u + step) - self._stretch(u - step)) / (2.0 * step)

    def _pulled(self, u: _Float64Array, by_noise: _Float64Array) -> _Float64Array:
        """The transposed Jacobian of `_stretch` times `by_noise`, float64."""
        return by_noise * self._steepness(u)


class QuantileChart(Chart):
    """z = scale sqrt(2) erfinv(share u): quantiles of N(0, scale^2), all of it or its middle."""

    @property
    def scale(self) -> float:
        """Standard deviation of the normal distribution."""
        return 1.0

    @property
    def share(self) -> float:
        """Probability of what is kept of it."""
        return 1.0

    def prior_mass(self, dim: int) -> float:
        """share^dim; where nothing is cut off, 1 to float32's accuracy."""
        return self.share**dim

    @property
    def kl_uniform_to_prior(self) -> float:
        """(scale^2 - 1) / 2 - log(scale) - log(share)."""
        return (self.scale**2 - 1.0) / 2.0 - math.log(self.scale * self.share)

    def _stretch(self, u: _Float64Array) -> _Float64Array:
        return np.asarray(self.scale * math.sqrt(2.0) * erfinv(self.share * u))

    def _shrink(self, z: _Float64Array) -> _Float64Array:
        return np.asarray(erf(z / (self.scale * math.sqrt(2.0))) / self.share)

    def _steepness(self, u: _Float64Array) -> _Float64Array:
        return self.scale * self.share * _slope_of_quantiles(self.share * u)


@dataclass(frozen=True)
class GaussianChart(QuantileChart):
    """Uniform u becomes z ~ N(0, 1): z = sqrt(2) erfinv(u). The default, and the exact one.

    Example:
        >>> chart = GaussianChart()
        >>> chart.to_latent([0.0, 0.6826895])  # the quantile at one standard deviation
        array([0., 1.], dtype=float32)
        >>> round(chart.bound, 2)
        5.42
    """

    name = "gaussian"


@dataclass(frozen=True)
class TemperedChart(QuantileChart):
    """Uniform u becomes z ~ N(0, tau^2): z = tau sqrt(2) erfinv(u).

    Attributes:
        tau: Temperature, > 0; below 1 keeps to the middle of the prior.

    Raises:
        InvalidArgumentError: `tau` is not positive and finite.
    """

    name = "tempered"
    tau: float

    def __post_init__(self) -> None:
        require_positive("The tempered chart's temperature", self.tau)

    @property
    def scale(self) -> float:
        """The temperature."""
        return self.tau


@dataclass(frozen=True)
class TruncatedChart(QuantileChart):
    """Uniform u becomes N(0, 1) without its tails: z = sqrt(2) erfinv((1 - 2 margin) u).

    Attributes:
        margin: Probability cut off at each end, 0 < margin < 0.5; 0.05 keeps |z| <= 1.645.

    Raises:
        InvalidArgumentError: `margin` is outside its range.
    """

    name = "truncated"
    margin: float

    def __post_init__(self) -> None:
        if not is_number(self.margin) or not 0.0 < self.margin < 0.5:
            raise InvalidArgumentError(
                f"A truncated chart's margin must lie between 0 and 0.5, got {self.margin!r}; "
                "the usual one is 0.05. Without a margin it is the chart 'gaussian'."
            )

    @property
    def share(self) -> float:
        """All but both margins."""
        return 1.0 - 2.0 * self.margin


@dataclass(frozen=True)
class BoxChart(Chart):
    """Uniform u becomes uniform z in [-b, b]: z = b u, as PLAS, SPiRL and DSRL have it.

    Attributes:
        half_width: b in standard deviations of the prior's noise, > 0.

    Raises:
        InvalidArgumentError: `half_width` is not positive and finite.

    Example:
        >>> round(BoxChart(2.0).prior_mass(7), 2)  # a box of two standard deviations, 7 dimensions
        0.72
    """

    name = "box"
    half_width: float

    def __post_init__(self) -> None:
        require_positive("The box chart's half-width", self.half_width)

    def prior_mass(self, dim: int) -> float:
        """erf(b / sqrt 2)^dim."""
        return math.erf(self.half_width / math.sqrt(2.0)) ** dim

    @property
    def kl_uniform_to_prior(self) -> float:
        """log(2 pi) / 2 + b^2 / 6 - log(2 b); least, 0.176, at b = sqrt 3."""
        b = self.half_width
        return math.log(2.0 * math.pi) / 2.0 + b**2 / 6.0 - math.log(2.0 * b)

    def _stretch(self, u: _Float64Array) -> _Float64Array:
        return np.asarray(self.half_width * u)

    def _shrink(self, z: _Float64Array) -> _Float64Array:
        return np.asarray(z / self.half_width)


@dataclass(frozen=True)
class BallChart(Chart):
    """Uniform u becomes N(0, I) within a ball: what is unlikely in all dimensions together is out.

    The ball |z| <= r holds the share `mass` of N(0, I): of all regions with this mass it has the
    likeliest noise. A chart of whole vectors, over the last axis of u: the direction of z is that
    of sqrt(2) erfinv(u), and its length goes by the quantiles of |z|. A policy with it never does
    what only the remaining 1 - `mass` of the prior's noise makes, whatever it learns.

    Attributes:
        mass: Share of the prior's noise that is kept, 0 < mass < 1.

    Raises:
        InvalidArgumentError: `mass` is outside its range.

    Example:
        >>> chart = BallChart(0.9)
        >>> round(chart.radius(7), 3)
        3.467
        >>> bool(np.linalg.norm(chart.to_latent([1.0, 1.0, 1.0])) <= chart.radius(3))
        True
    """

    name = "ball"
    mass: float

    def __post_init__(self) -> None:
        if not is_number(self.mass) or not 0.0 < self.mass < 1.0:
            raise InvalidArgumentError(
                "A ball chart's mass, the share of the prior that is kept, must lie between 0 and "
                f"1, got {self.mass!r}. With all of it, it is the chart 'gaussian'."
            )

    def radius(self, dim: int) -> float:
        """Its r in `dim` dimensions: the quantile of |z| at `mass`."""
        return math.sqrt(2.0 * float(gammaincinv(0.5 * dim, self.mass)))

    def prior_mass(self, dim: int) -> float:
        """`mass`, in any number of dimensions."""
        return float(self.mass)

    @property
    def kl_uniform_to_prior(self) -> float:
        """-log(mass), of all dimensions together."""
        return -math.log(self.mass)

    def _stretch(self, u: _Float64Array) -> _Float64Array:
        z = np.asarray(math.sqrt(2.0) * erfinv(u))
        return self._moved(z, self.mass)

    def _shrink(self, z: _Float64Array) -> _Float64Array:
        return np.asarray(erf(self._moved(z, 1.0 / self.mass) / math.sqrt(2.0)))

    def _steepness(self, u: _Float64Array) -> _Float64Array:
        """That of each dimension alone; others move too."""
        normal, own, shared = self._jacobian(u)
        return own * _slope_of_quantiles(u) * (1.0 + shared / own * np.square(normal))

    def _pulled(self, u: _Float64Array, by_noise: _Float64Array) -> _Float64Array:
        normal, own, shared = self._jacobian(u)
        along = (normal * by_noise).sum(axis=-1, keepdims=True)
        return np.asarray(_slope_of_quantiles(u) * (own * by_noise + shared * along * normal))

    def _jacobian(self, u: _Float64Array) -> tuple[_Float64Array, _Float64Array, _Float64Array]:
        """Noise n = sqrt(2) erfinv(u), and h and k of dz/dn = h I + k n n^T, over the last axis."""
        normal = np.atleast_1d(math.sqrt(2.0) * erfinv(u))
        z, dim = self._moved(normal, self.mass), normal.shape[-1]
        before = np.maximum(np.square(normal).sum(axis=-1, keepdims=True), _MIDDLE)
        after = np.maximum(np.square(z).sum(axis=-1, keepdims=True), _MIDDLE * self.mass**2)
        shorter = np.sqrt(after / before)
        # by the densities of both lengths
        outward = self.mass * shorter ** (1 - dim) * np.exp(0.5 * (after - before))
        return normal, shorter, np.asarray((outward - shorter) / before)

    def _moved(self, z: _Float64Array, factor: float) -> _Float64Array:
        """Move z so that the share of N(0, I) that is nearer to 0 is multiplied by `factor`."""
        half = 0.5 * (z.shape[-1] if z.ndim else 1)
        squared = np.square(z).sum(axis=-1, keepdims=True) if z.ndim else np.square(z)
        inside = np.maximum(squared, _MIDDLE)  # the middle has a direction no more than a limit
        share = np.minimum(factor * gammainc(half, 0.5 * inside), 1.0 - 2.0**-53)
        return np.asarray(z * np.sqrt(2.0 * gammaincinv(half, share) / inside))


def _slope_of_quantiles(u: _Float64Array) -> _Float64Array:
    """Derivative of sqrt(2) erfinv(u)."""
    return np.asarray(math.sqrt(math.pi / 2.0) * np.exp(np.square(erfinv(u))))


def _doubles(name: str, values: ArrayLike) -> _Float64Array:
    return number_array(name, values, LatentError).astype(np.float64, copy=False)
