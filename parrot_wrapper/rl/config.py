"""Settings of an RL run, with the presets that start it off."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar

from parrot_wrapper.checks import as_tagged, check_fields, from_tagged
from parrot_wrapper.errors import InvalidArgumentError, require_known
from parrot_wrapper.priors.mixtures.settings import MixtureConfig, read_former, read_mixture
from parrot_wrapper.priors.registry import MIXTURES
from parrot_wrapper.rl.replay.settings import (
    STOCK_REPLAY,
    DemonstrationReplay,
    Replay,
    RewardedReplay,
    UniformReplay,
    replay_kind,
)
from parrot_wrapper.wrappers.spaces import check_agent_observation

CONVOLUTIONS = ("stock", "paper")
CRITICS = ("latents", "actions")
TARGETS = ("entropy", "kl")
LIBRARIES = ("sb3", "sbx")
PAIR = 2
"""Critics of SAC as it comes."""


@dataclass(frozen=True)
class RawActions:
    """The agent acts in the env's own action space, not in the prior's latent space.

    Attributes:
        explore: Probability of executing a sample of the prior in place of the agent's action, each
            step, in [0, 1] (`PriorExploreSAC`); needs a prior.
        initial_actor: Folder of a cloned actor that the agent's own starts as, or None. It acts in
            warm-up steps too.

    Raises:
        InvalidArgumentError: A value outside its range.
    """

    name: ClassVar[str] = "raw"
    explore: float = 0.0
    initial_actor: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0.0 <= self.explore <= 1.0:
            raise InvalidArgumentError(f"Expected explore in [0, 1], got {self.explore!r}.")


@dataclass(frozen=True)
class RLConfig:
    """Everything that decides an RL run around stock SB3 SAC.

    With `prior` the agent acts in the prior's latent space. With `raw_actions` as well it acts in
    the env's own action space but still *sees* the prior's features: the fair control. Without a
    prior it is plain SAC on whatever the env gives. What is one of several things is a dataclass,
    and in JSON a mapping with its `name` as "kind".

    A *decision* is one action of the agent. It is one env step, or with a prior of horizon H a
    chunk of up to H; gamma is per env step all the same, the agent's own is gamma^H, and 0 where
    one chunk is a whole episode.

    Attributes:
        env_id: Gymnasium id.
        env_kwargs: Keywords of `gymnasium.make`, JSON-able.
        prior: Packaged name or checkpoint folder, or None for plain SAC.
        raw_actions: Keep the env's action space; with a prior the agent sees its features. True
            stands for `RawActions()`, which it always is without a prior.
        mixtures: What the prior is mixed with, from the inside out, for tasks that need what it
            never saw, such as `BroadConfig`; only for latent actions.
        observation: What the agent sees: "features", "image" (the env's observation as it is) or
            "both". Ignored without a prior. The SB3 policy follows from the resulting space.
        library: Whose SAC: "sb3", or "sbx" for the same in JAX, which sees vectors and takes none
            of the settings that change SAC itself; of layer normalisation it has the critics'.
        latent: Chart between the agent's unit box and the prior's noise.
        kl: KL budget to the prior in nats per decision, which sets SAC's target entropy to
            `d log 2 - kl`; "auto" for 5/7 for each dimension of the env's action, so 5 where there
            are seven; None for SB3's default of -d. Raw actions always take the default.
        kl_warmup: Env steps over which the budget grows evenly from 0 to `kl`, so that an agent
            stays with the prior until it has something to learn from; 0 for all of it at once.
        gamma: Discount of an env step, in [0, 1).
        ent_coef: SB3's entropy coefficient; "auto_0.1" learns it from 0.1 on.
        learning_rate: Of actor, critics and entropy coefficient, > 0.
        batch_size: Transitions in an update.
        net_arch: Hidden widths of actor and critics.
        layer_norm: Layer normalisation in every hidden layer of actor and critics.
        convolutions: Trunk of policies on images: SB3's "stock" one or the "paper"'s.
        n_critics: How many. With more than two, targets are the lower of two drawn anew for each
            batch, and the actor climbs the mean of all (REDQ, Chen et al. 2021).
        critic: What critics judge: "latents", or the "actions" that come of them, with the actor's
            gradient through the prior's decoder (`ActionCriticSAC`); for agents that act in latents
            and see features.
        targets: What critics learn of SAC's bonus: its "entropy", up to `alpha d log 2` for every
            step that does not end the episode; or the "kl" to uniform actions, which are the prior,
            a cost that is never a reward. For envs that end at the goal, which the first may teach
            to avoid (`charge_kl`).
        learning_starts: Env steps before the first update, with uniform latents, which are exact
            samples of the prior.
        first_rewards: Episodes that had a reward, before the first update: so long the warm-up goes
            on. 0 for none; not with `initial_actor`.
        train_freq: Decisions between two rounds of updates.
        gradient_steps: Updates in such a round; H of them are one for each env step of a chunk.
        replay: How batches are drawn: `UniformReplay`, `RewardedReplay` or `DemonstrationReplay`.
        tau: Share of the critic copied to its target, in (0, 1].
        target_update_interval: Updates between two such copies.
        buffer_size: Transitions kept, at most; a shorter run allocates fewer.
        total_steps: Env steps of the whole run; it ends with the decision that reaches them.
        seed: Seeds networks, sampling and episodes; never shares episodes with evaluation.
        checkpoint_every: Env steps between checkpoints, 0 for the last one only.
        device: Torch device, or "auto".

    Raises:
        UnknownNameError: No such observation, trunk, key or preset; the nearest is named.
        InvalidArgumentError: A value outside its range.

    Example:
        >>> config = RLConfig(env_id="ParrotGraspCup-v0", prior="parrot-v0", kl=3.0)
        >>> config.gamma, config.latent_actions
        (0.95, True)
        >>> RLConfig.from_dict(config.to_dict()) == config
        True
    """

    env_id: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    prior: str | None = None
    raw_actions: RawActions | bool | None = None
    mixtures: tuple[MixtureConfig, ...] = ()
    observation: str = "features"
    library: str = "sb3"
    latent: str = "gaussian"
    kl: float | str | None = "auto"
    kl_warmup: int = 0
    gamma: float = 0.95
    ent_coef: str | float = "auto_0.1"
    learning_rate: float = 3e-4
    batch_size: int = 256
    net_arch: tuple[int, ...] = (256, 256)
    layer_norm: bool = True
    convolutions: str = "stock"
    n_critics: int = 2
    critic: str = "latents"
    targets: str = "entropy"
    learning_starts: int = 1_000
    first_rewards: int = 0
    train_freq: int = 1
    gradient_steps: int = 1
    replay: Replay = STOCK_REPLAY
    tau: float = 0.005
    target_update_interval: int = 1
    buffer_size: int = 100_000
    total_steps: int = 25_000
    seed: int = 0
    checkpoint_every: int = 5_000
    device: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "raw_actions", self._raw())
        object.__setattr__(self, "replay", from_tagged("replay", self.replay, replay_kind))
        if isinstance(self.mixtures, list | tuple):
            object.__setattr__(self, "mixtures", tuple(map(read_mixture, self.mixtures)))
        check_fields(self)
        object.__setattr__(self, "env_kwargs", dict(self.env_kwargs))
        object.__setattr__(self, "net_arch", tuple(self.net_arch))
        check_agent_observation(self.observation)
        require_known("convolutions", [self.convolutions], CONVOLUTIONS)
        require_known("critic", [self.critic], CRITICS)
        require_known("targets", [self.targets], TARGETS)
        require_known("library", [self.library], LIBRARIES)
        self._check_needs()
        self._check_numbers()

    def _raw(self) -> Any:
        if isinstance(self.raw_actions, bool) or self.raw_actions is None:
            return RawActions() if self.raw_actions or self.prior is None else None
        return from_tagged("raw_actions", self.raw_actions, lambda _: RawActions)

    def _check_needs(self) -> None:
        """What needs a prior to act through, and what to look through."""
        through = {
            "mixtures": self.mixtures,
            "replay": isinstance(self.replay, DemonstrationReplay),
        }
        for name in (name for name, given in through.items() if given and not self.latent_actions):
            raise InvalidArgumentError(
                f"{name}={getattr(self, name)!r} needs a prior to act through, got "
                f"prior={self.prior!r} and raw_actions={self.raw_actions!r}."
            )
        if self.critic == "actions" and (self.observation == "image" or not self.latent_actions):
            raise InvalidArgumentError(
                "Expected an agent that acts in a prior's latents and sees its features for "
                f"critic='actions', got observation={self.observation!r} and "
                f"raw_actions={self.raw_actions!r}."
            )
        if self.library == "sbx":
            self._check_stock()
        if self.kl_warmup and (self.kl is None or not self.latent_actions):
            raise InvalidArgumentError(
                f"Expected a KL budget and an agent that acts in a prior's latents for "
                f"kl_warmup={self.kl_warmup}, got kl={self.kl!r} and "
                f"raw_actions={self.raw_actions!r}."
            )
        if self.raw.explore and self.prior is None:
            raise InvalidArgumentError(f"{self.raw_actions!r} needs a prior to explore with.")
        if self.raw_actions and self.prior is not None and self.observation == "both":
            raise InvalidArgumentError(
                "Expected observation 'features' or 'image' beside raw_actions, got 'both'."
            )

    def kl_budget(self, action_dim: int) -> float:
        """Nats per decision in an env whose actions have so many dimensions, where `kl` is set."""
        return 5.0 * action_dim / 7.0 if self.kl == "auto" else float(self.kl or 0.0)

    def _check_stock(self) -> None:
        """SBX's SAC is as it comes."""
        changes = {
            "observation": self.prior is not None and self.observation != "features",
            "raw_actions": self.raw.explore > 0 or self.raw.initial_actor is not None,
            "n_critics": self.n_critics != PAIR,
            "critic": self.critic != "latents",
            "targets": self.targets != "entropy",
            "target_update_interval": self.copies_by_callback,
        }
        given = [f"{name}={getattr(self, name)!r}" for name, differs in changes.items() if differs]
        if given:
            raise InvalidArgumentError(
                f"library='sbx' is SAC as it comes, on features, without {', '.join(given)}; "
                "use library='sb3' for these."
            )

    def _check_numbers(self) -> None:
        kl = self.kl
        rules = {
            "gamma": 0.0 <= self.gamma < 1.0,
            "tau": 0.0 < self.tau <= 1.0,
            "learning_rate": self.learning_rate > 0.0 and math.isfinite(self.learning_rate),
            "kl": kl == "auto" if isinstance(kl, str) else kl is None or 0.0 < kl < math.inf,
            "kl_warmup": self.kl_warmup >= 0,
            "net_arch": all(width > 0 for width in self.net_arch),
            "learning_starts": self.learning_starts >= 0,
            "first_rewards": self.first_rewards >= 0
            and (self.raw.initial_actor is None or not self.first_rewards),
            "checkpoint_every": self.checkpoint_every >= 0,
            "seed": self.seed >= 0,
        }
        positive = (
            "batch_size",
            "train_freq",
            "gradient_steps",
            "n_critics",
            "target_update_interval",
            "buffer_size",
            "total_steps",
        )
        rules.update({name: getattr(self, name) >= 1 for name in positive})
        wrong = [f"{name}={getattr(self, name)!r}" for name, holds in rules.items() if not holds]
        if wrong:
            raise InvalidArgumentError(
                f"Values outside their range: {', '.join(wrong)}; RLConfig's docstring has the "
                "ranges."
            )

    @property
    def latent_actions(self) -> bool:
        """Whether the agent acts in the prior's latent space."""
        return self.raw_actions is None

    @property
    def raw(self) -> RawActions:
        """What is set for raw actions; the defaults for an agent in the latent space."""
        return self.raw_actions if isinstance(self.raw_actions, RawActions) else RawActions()

    @property
    def copies_by_callback(self) -> bool:
        """Whether target copies are rarer than rounds of updates, which SB3's SAC cannot do."""
        return self.target_update_interval > self.gradient_steps

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy."""
        return {
            **asdict(self),
            "net_arch": list(self.net_arch),
            "raw_actions": None if self.latent_actions else as_tagged(self.raw),
            "mixtures": [as_tagged(mixture) for mixture in self.mixtures],
            "replay": as_tagged(self.replay),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RLConfig:
        """The inverse of `to_dict`; unknown keys are refused by name.

        Settings of earlier versions are read too, as `with_current_names` does.
        """
        known = [entry.name for entry in fields(cls)]
        current = with_current_names(values)
        require_known("RL setting", current, known)
        return cls(**current)


def with_current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """RL settings of any version, with those in their dataclasses that once stood by themselves.

    Raises:
        InvalidArgumentError: They ask for several ways to draw batches.

    Example:
        >>> with_current_names({"env_id": "ParrotGrasp-v0", "rewarded_share": 0.5, "n_steps": 1})
        {'env_id': 'ParrotGrasp-v0', 'replay': RewardedReplay(share=0.5)}
    """
    current = dict(values)
    raw = _former(current, explore="prior_explore", initial_actor="initial_actor")
    flag, any_raw = current.get("raw_actions"), any(raw.values())
    if isinstance(flag, bool) or any_raw:
        acts_raw = flag or any_raw or current.get("prior", "") is None
        current["raw_actions"] = RawActions(**raw) if acts_raw else None
    replays = [*_former_replays(current), *filter(None, [current.get("replay")])]
    if len(replays) > 1:
        raise InvalidArgumentError(f"Expected one way to draw batches, got {replays}.")
    if replays:
        current["replay"] = from_tagged("replay", replays[0], replay_kind)
    mixtures = [*current.get("mixtures", ()), *_former_mixtures(current)]
    if mixtures:
        current["mixtures"] = tuple(map(read_mixture, mixtures))
    return current


def _former(current: dict[str, Any], **names: str) -> dict[str, Any]:
    """Former settings, by the names that they have now, taken out."""
    return {new: current.pop(old) for new, old in names.items() if old in current}


def _former_replays(current: dict[str, Any]) -> Iterator[Replay]:
    rewarded, uniform = (
        _former(current, share="rewarded_share"),
        _former(current, n_steps="n_steps"),
    )
    shown = _former(
        current,
        data="demonstrations",
        share="demonstration_share",
        episodes="demonstration_episodes",
    )
    if rewarded.get("share"):
        yield RewardedReplay(**rewarded)
    if uniform.get("n_steps", 1) != 1:
        yield UniformReplay(**uniform)
    if shown.get("share") or shown.get("data") is not None:
        yield DemonstrationReplay(**{"data": None, **shown})


def _former_mixtures(current: dict[str, Any]) -> Iterator[MixtureConfig]:
    others = current.keys() - {entry.name for entry in fields(RLConfig)}
    for name in _mixture_names() if others else ():
        if name in others and (mixture := read_former(name, current.pop(name))):
            yield mixture


@cache  # what is installed is looked up once for all rows of a report
def _mixture_names() -> tuple[str, ...]:
    """Those of other packages come first: they are the inner ones."""
    return tuple(reversed(MIXTURES.names()))


PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "features": MappingProxyType({}),
        # Table 1 of the paper and its code: from pixels, hard target copies every 1000 updates,
        # entropy target -d. Kept out: random crops and the 2.5M-transition buffer.
        "paper": MappingProxyType(
            {
                "observation": "image",
                "kl": None,
                "gamma": 0.99,
                "ent_coef": "auto",
                "net_arch": (1024, 512, 256),
                "layer_norm": False,
                "convolutions": "paper",
                "learning_starts": 2_500,
                "tau": 1.0,
                "target_update_interval": 1_000,
                "total_steps": 500_000,
                "checkpoint_every": 25_000,
            }
        ),
    }
)
"""Named starting points: "features" (this project's defaults) and "paper" (Singh et al. 2021)."""


def preset_config(preset: str, **settings: Any) -> RLConfig:
    """An `RLConfig` with a preset's values where `settings` has none.

    Example:
        >>> preset_config("paper", env_id="ParrotGrasp-v0", gamma=0.9).net_arch
        (1024, 512, 256)
    """
    require_known("preset", [preset], PRESETS)
    return RLConfig.from_dict({**PRESETS[preset], **settings})
