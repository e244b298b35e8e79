"""Settings of mixtures, and how JSON has them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from parrot_wrapper.checks import check_fields, from_tagged, require_instance, require_share
from parrot_wrapper.errors import InvalidArgumentError
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


def read_former(name: str, value: object) -> MixtureConfig | None:
    """A mixture as runs had it in one setting of its own: a share, or text that begins with it.

    Such as "0.8 idle=0.12 motion=0,1,2"; nothing, or a share of 0, is no mixture.

    Raises:
        InvalidArgumentError: It is something else, or a value is outside its range.
    """
    try:
        share, *others = str(value or 0).split()
        settings: dict[str, Any] = {"share": float(share)}
        for key, _, text in (word.partition("=") for word in others):
            numbers = json.loads(f"[{text}]")
            settings[key] = numbers if len(numbers) > 1 else numbers[0]
    except (IndexError, ValueError) as error:
        raise InvalidArgumentError(
            f"Expected {name} as a share such as 0.1, or '0.8 key=value', got {value!r}."
        ) from error
    return read_mixture({"kind": name, **settings}) if settings["share"] else None
