"""Settings of mixtures, and how JSON has them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import ClassVar

from parrot_wrapper.checks import check_fields, from_tagged, require_instance, require_share
from parrot_wrapper.priors.registry import MIXTURES
from parrot_wrapper.types import ActionPrior


@dataclass(frozen=True)
class MixtureConfig:
    """What all mixtures are set by; the settings of a kind of mixture are derived from it.

    Attributes:
        share: Largest share of the other way to act, in (0, 1).

    Raises:
        InvalidArgumentError: A value is of another type or outside its range.
    """

    name: ClassVar[str]
    """By which the mixture is known, in JSON and on the command line."""
    share: float = 0.1

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, list):  # as JSON has tuples
                object.__setattr__(self, entry.name, tuple(value))
        check_fields(self)
        require_share("share", self.share)

    def around(self, prior: ActionPrior) -> ActionPrior:
        """The mixture with a prior.

        Raises:
            ParrotError: It cannot be one with this prior.
        """
        mixture: ActionPrior = MIXTURES.get(self.name)(prior, **asdict(self))
        return mixture


def read_mixture(content: object) -> MixtureConfig:
    """Settings of a mixture, also from JSON such as `{"kind": "broad", "share": 0.2}`.

    Example:
        >>> read_mixture({"kind": "broad", "share": 0.2}).share
        0.2
    """
    mixture: MixtureConfig = from_tagged(
        "mixture", content, lambda name: MIXTURES.get(name).config_class
    )
    require_instance("a mixture", mixture, MixtureConfig, "a MixtureConfig")
    return mixture
