"""Settings of an RL run, with the presets that start it off."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any

from parrot_wrapper.checks import check_fields
from parrot_wrapper.errors import InvalidArgumentError, unknown_name
from parrot_wrapper.wrappers.spaces import check_agent_observation

CONVOLUTIONS = ("stock", "paper")


@dataclass(frozen=True)
class RLConfig:
    """Everything that decides an RL run around stock SB3 SAC.

    With `prior` the agent acts in the prior's latent space. With `raw_actions` as well it acts in
    the env's own action space but still *sees* the prior's features: the fair control. Without a
    prior it is plain SAC on whatever the env gives.

    A *decision* is one action of the agent. It is one env step, or with a prior of horizon H a
    chunk of up to H; gamma is per env step all the same, the agent's own is gamma^H, and 0 where
    one chunk is a whole episode.

    Attributes:
        env_id: Gymnasium id.
        env_kwargs: Keywords of `gymnasium.make`, JSON-able.
        prior: Packaged name or checkpoint folder, or None for plain SAC.
        raw_actions: Keep the env's action space; needs `prior`, whose features the agent sees.
        broad: Mixture of the prior with uniform actions as `parse_broad` reads it, such as "0.1",
            for tasks that need what the prior never saw; only for latent actions.
        redirected: Share in [0, 1) of the prior's own reaching, turned to the container, while it
            holds something (`RedirectedMixture`); 0 for none. Only for latent actions. With
            `broad`, uniform actions come beside both.
        prior_explore: Probability of executing a sample of the prior in place of the agent's
            action, each step, in [0, 1]; needs `raw_actions` (`PriorExploreSAC`).
        initial_actor: Folder of a cloned actor that the agent's own starts as, or None; only for
            agents that act in the env's own action space. It acts in warm-up steps too.
        observation: What the agent sees: "features", "image" (the env's observation as it is) or
            "both". Ignored without a prior. The SB3 policy follows from the resulting space.
        latent: Chart between the agent's unit box and the prior's noise.
        kl: KL budget to the prior in nats per decision, which sets SAC's target entropy to
            `d log 2 - kl`; None for SB3's default of -d. Raw actions always take the default.
        gamma: Discount of an env step, in [0, 1).
        ent_coef: SB3's entropy coefficient; "auto_0.1" learns it from 0.1 on.
        learning_rate: Of actor, critics and entropy coefficient, > 0.
        batch_size: Transitions in an update.
        net_arch: Hidden widths of actor and critics.
        layer_norm: Layer normalisation in every hidden layer of actor and critics.
        convolutions: Trunk of policies on images: SB3's "stock" one or the "paper"'s.
        learning_starts: Env steps before the first update, with uniform latents, which are exact
            samples of the prior.
        first_rewards: Episodes that had a reward, before the first update: so long the warm-up goes
            on. 0 for none; not with `initial_actor`.
        train_freq: Decisions between two rounds of updates.
        gradient_steps: Updates in such a round; H of them are one for each env step of a chunk.
        n_steps: Decisions in an n-step return, 1 for none.
        rewarded_share: Share of each batch from episodes that had a reward, in [0, 1); 0 for SB3's
            own buffer (`RewardedReplayBuffer`). Not with n-step returns.
        demonstration_share: Share of each batch from `demonstrations`, in [0, 1); 0 for none
            (`DemonstrationReplayBuffer`). Only for latent actions; not with n-step returns or
            `rewarded_share`.
        demonstrations: Folder of a data set that they are taken from, with its rewards.
        demonstration_episodes: The first so many of its episodes; 0 for all.
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
    raw_actions: bool = False
    broad: str | None = None
    redirected: float = 0.0
    prior_explore: float = 0.0
    initial_actor: str | None = None
    observation: str = "features"
    latent: str = "gaussian"
    kl: float | None = 5.0
    gamma: float = 0.95
    ent_coef: str | float = "auto_0.1"
    learning_rate: float = 3e-4
    batch_size: int = 256
    net_arch: tuple[int, ...] = (256, 256)
    layer_norm: bool = True
    convolutions: str = "stock"
    learning_starts: int = 1_000
    first_rewards: int = 0
    train_freq: int = 1
    gradient_steps: int = 1
    n_steps: int = 1
    rewarded_share: float = 0.0
    demonstration_share: float = 0.0
    demonstrations: str | None = None
    demonstration_episodes: int = 500
    tau: float = 0.005
    target_update_interval: int = 1
    buffer_size: int = 100_000
    total_steps: int = 25_000
    seed: int = 0
    checkpoint_every: int = 5_000
    device: str = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "env_kwargs", dict(self.env_kwargs))
        object.__setattr__(self, "net_arch", tuple(self.net_arch))
        check_agent_observation(self.observation)
        if self.convolutions not in CONVOLUTIONS:
            raise unknown_name("convolutions", self.convolutions, CONVOLUTIONS)
        if self.raw_actions and (self.prior is None or self.observation == "both"):
            raise InvalidArgumentError(
                "raw_actions needs a prior, whose features the agent sees, and observation "
                f"'features' or 'image'; got prior={self.prior!r}, {self.observation!r}. Leave "
                "raw_actions out for plain SAC on the env's own observations."
            )
        if self.prior_explore and not self.raw_actions:
            raise InvalidArgumentError(
                f"prior_explore={self.prior_explore!r} needs raw_actions=True: an agent that acts "
                "in the latent space explores with the prior anyway."
            )
        if self.redirected and not self.latent_actions:
            raise InvalidArgumentError(
                f"redirected={self.redirected!r} needs a prior to act through, got "
                f"prior={self.prior!r} and raw_actions={self.raw_actions!r}."
            )
        if self.broad is not None and not self.latent_actions:
            raise InvalidArgumentError(
                f"broad={self.broad!r} needs a prior to act through: raw actions are broad anyway."
            )
        if self.initial_actor is not None and self.latent_actions:
            raise InvalidArgumentError(
                f"initial_actor={self.initial_actor!r} needs raw_actions=True: a cloned actor acts "
                "in the env's own action space."
            )
        if bool(self.demonstration_share) != (self.demonstrations is not None):
            raise InvalidArgumentError(
                "Expected demonstrations and their share in a batch, or neither, got "
                f"{self.demonstrations!r} and demonstration_share={self.demonstration_share!r}."
            )
        if self.demonstration_share and not self.latent_actions:
            raise InvalidArgumentError(
                f"demonstration_share={self.demonstration_share!r} needs a prior to act through, "
                "whose inverse makes latents of demonstrated actions."
            )
        self._check_numbers()

    def _check_numbers(self) -> None:
        rules = {
            "gamma": 0.0 <= self.gamma < 1.0,
            "prior_explore": 0.0 <= self.prior_explore <= 1.0,
            "redirected": 0.0 <= self.redirected < 1.0,
            "rewarded_share": 0.0 <= self.rewarded_share < 1.0
            and (self.n_steps == 1 or not self.rewarded_share),
            "demonstration_share": 0.0 <= self.demonstration_share < 1.0
            and (not self.demonstration_share or (self.n_steps == 1 and not self.rewarded_share)),
            "demonstration_episodes": self.demonstration_episodes >= 0,
            "tau": 0.0 < self.tau <= 1.0,
            "learning_rate": self.learning_rate > 0.0 and math.isfinite(self.learning_rate),
            "kl": self.kl is None or (self.kl > 0.0 and math.isfinite(self.kl)),
            "net_arch": all(width > 0 for width in self.net_arch),
            "learning_starts": self.learning_starts >= 0,
            "first_rewards": self.first_rewards >= 0
            and (self.initial_actor is None or not self.first_rewards),
            "checkpoint_every": self.checkpoint_every >= 0,
            "seed": self.seed >= 0,
        }
        positive = (
            "batch_size",
            "train_freq",
            "gradient_steps",
            "n_steps",
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
        return self.prior is not None and not self.raw_actions

    @property
    def copies_by_callback(self) -> bool:
        """Whether target copies are rarer than rounds of updates, which SB3's SAC cannot do."""
        return self.target_update_interval > self.gradient_steps

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy."""
        return {**asdict(self), "net_arch": list(self.net_arch)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RLConfig:
        """The inverse of `to_dict`; unknown keys are refused by name."""
        known = [entry.name for entry in fields(cls)]
        for key in values:
            if key not in known:
                raise unknown_name("RL setting", key, known)
        return cls(**values)


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

    Raises:
        UnknownNameError: No such preset.

    Example:
        >>> preset_config("paper", env_id="ParrotGrasp-v0", gamma=0.9).net_arch
        (1024, 512, 256)
    """
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    return RLConfig.from_dict({**PRESETS[preset], **settings})
