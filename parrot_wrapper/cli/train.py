"""`parrot train`: stock SAC in the latent space of a prior."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from parrot_wrapper.cli.durations import announce, training_seconds_left
from parrot_wrapper.cli.environments import (
    DEFAULT_PACKAGES,
    fitting_kwargs,
    make_env,
    parse_env_kwargs,
)
from parrot_wrapper.evaluation.report import rollout_table
from parrot_wrapper.rl.config import PRESETS, RLConfig, preset_config
from parrot_wrapper.torch_threads import DEFAULT_THREADS, use_threads

_SETTINGS = (
    "prior_explore",
    "broad",
    "redirected",
    "initial_actor",
    "observation",
    "latent",
    "kl",
    "gamma",
    "ent_coef",
    "learning_rate",
    "layer_norm",
    "first_rewards",
    "gradient_steps",
    "n_steps",
    "rewarded_share",
    "demonstration_share",
    "demonstrations",
    "demonstration_episodes",
    "buffer_size",
    "total_steps",
    "checkpoint_every",
)


@dataclass(frozen=True)
class TrainCommand:
    """Train stock SAC in the latent space of a prior; the same command goes on after a kill.

    `--preset paper --help` shows that preset's values. A finished run is only evaluated.

    Attributes:
        env_id: A registered env.
        prior: Packaged name or folder of a prior; "none" for plain SAC on the env as it is.
        out: Folder of the run.
        preset: "features" (this project's defaults) or "paper" (Table 1, from pixels).
        raw_actions: Keep the env's own actions but show the prior's features: the fair control.
        prior_explore: Probability of executing a sample of the prior instead of the agent's action;
            with raw actions.
        broad: Share of uniform actions beside the prior's, such as 0.1 or "0.8 idle=0.12".
        redirected: Share of the prior's own reaching, turned to the container, while it holds
            something; 0 for none.
        initial_actor: Folder of a cloned actor to start from; with raw actions.
        observation: What the agent sees: features, image or both.
        latent: Chart: gaussian, box:2.0, truncated:0.05 or tempered:0.8.
        kl: KL budget to the prior in nats per decision; 0 for SB3's own entropy target.
        gamma: Discount of an env step.
        ent_coef: SB3's entropy coefficient, such as auto_0.1.
        learning_rate: Of actor, critics and entropy coefficient.
        layer_norm: Layer normalisation in actor and critics.
        first_rewards: Episodes that had a reward, before the first update.
        gradient_steps: Updates for each decision: an env step, or a chunk of them.
        n_steps: Length of n-step returns.
        rewarded_share: Share of each batch from episodes that had a reward; 0 for SB3's own buffer.
        demonstration_share: Share of each batch from demonstrations; 0 for none.
        demonstrations: Folder of a data set that they are taken from, with its rewards.
        demonstration_episodes: The first so many of its episodes; 0 for all.
        buffer_size: Transitions kept, at most.
        total_steps: Env steps.
        checkpoint_every: Env steps between checkpoints.
        seed: Of networks, sampling and episodes.
        env_kwargs: Options of the env as key=value.
        gym_packages: Modules whose import registers env ids.
        episodes: Held-out episodes to evaluate at the end; 0 for none.
        device: Torch device.
        threads: Torch's CPU threads, 0 for torch's own number; more pay on idle cores only.
        progress: Show progress bars.
    """

    env_id: str = "ParrotGraspCup-v0"
    prior: str = "parrot-v0"
    out: Path = Path("runs/sac")
    preset: str = "features"
    raw_actions: bool = False
    prior_explore: float = RLConfig.prior_explore
    broad: str | None = None
    redirected: float = RLConfig.redirected
    initial_actor: str | None = None
    observation: str = RLConfig.observation
    latent: str = RLConfig.latent
    kl: float = RLConfig.kl or 0.0
    gamma: float = RLConfig.gamma
    ent_coef: str = str(RLConfig.ent_coef)
    learning_rate: float = RLConfig.learning_rate
    layer_norm: bool = RLConfig.layer_norm
    first_rewards: int = RLConfig.first_rewards
    gradient_steps: int = RLConfig.gradient_steps
    n_steps: int = RLConfig.n_steps
    rewarded_share: float = RLConfig.rewarded_share
    demonstration_share: float = RLConfig.demonstration_share
    demonstrations: str | None = None
    demonstration_episodes: int = RLConfig.demonstration_episodes
    buffer_size: int = RLConfig.buffer_size
    total_steps: int = RLConfig.total_steps
    checkpoint_every: int = RLConfig.checkpoint_every
    seed: int = RLConfig.seed
    env_kwargs: tuple[str, ...] = ()
    gym_packages: tuple[str, ...] = DEFAULT_PACKAGES
    episodes: int = 100
    device: str = RLConfig.device
    threads: int = DEFAULT_THREADS
    progress: bool = True

    @classmethod
    def with_preset(cls, args: Sequence[str]) -> TrainCommand:
        """The command with the defaults of the preset that `args` name."""
        joined = " ".join(args)
        named = re.search(r"--preset[ =](\S+)", joined)
        name = named[1] if named else cls.preset
        preset = PRESETS.get(name, {})
        values = {key: preset[key] for key in _SETTINGS if key in preset}
        if "kl" in values:
            values["kl"] = values["kl"] or 0.0
        return cls(preset=name, **values)

    def run(self) -> None:
        """Train, evaluate the last checkpoint, and say how it went."""
        from parrot_wrapper.rl.evaluation import evaluate_run, steps_of_run
        from parrot_wrapper.rl.train import train  # brings torch and SB3

        use_threads(self.threads)
        config = self.config()
        factory = partial(make_env, gym_packages=self.gym_packages)
        done = steps_of_run(self.out)
        finished = done >= config.total_steps
        if not finished:
            left = training_seconds_left(config, factory, done=done)
            announce(f"{config.total_steps - done} env steps of training", left)
        train(config, self.out, make_env=factory, progress=self.progress, label=self.env_id)
        print(
            f"{self.out}: {config.total_steps} steps were done before; more with --total-steps."
            if finished
            else f"{self.out}: {config.total_steps} steps."
        )
        if self.episodes:
            label = "evaluation" if self.progress else None
            result = evaluate_run(
                self.out, make_env=factory, episodes=self.episodes, progress=label
            )
            print(rollout_table({str(self.out): result}))

    def config(self) -> RLConfig:
        """The run's settings.

        Raises:
            UnknownNameError: No such preset, prior, env or option.
        """
        from parrot_wrapper.priors.loading import load_prior

        named = None if self.prior.lower() == "none" else self.prior
        kwargs = parse_env_kwargs(self.env_kwargs)
        if named is not None:
            kwargs = fitting_kwargs(self.env_id, load_prior(named), kwargs, self.gym_packages)
        settings: dict[str, Any] = {name: getattr(self, name) for name in _SETTINGS}
        settings["kl"] = self.kl or None
        return preset_config(
            self.preset,
            env_id=self.env_id,
            env_kwargs=kwargs,
            prior=named,
            raw_actions=self.raw_actions,
            seed=self.seed,
            device=self.device,
            **settings,
        )
