"""SB3 callbacks of an RL run: counts, progress, diagnostics, checkpoints, copies, warm-up."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import obs_as_tensor, polyak_update
from tqdm import tqdm

from parrot_wrapper.io.interruption import Interruption
from parrot_wrapper.latent import kl_is_bound, kl_to_prior
from parrot_wrapper.rl.checkpoint import save_checkpoint
from parrot_wrapper.rl.jax_agents import in_jax, mean_log_prob
from parrot_wrapper.rl.model import SeededEpisodes
from parrot_wrapper.rl.replay.buffers import count_rewarded_episodes
from parrot_wrapper.types import UNSAFE_KEY, told_success
from parrot_wrapper.wrappers.chunk import env_steps, executed_steps

_STATES = 256
"""Most recent transitions over which the KL is averaged."""
_KL_EVERY = 500
"""Env steps between two estimates of it."""


def kl_nats(model: SAC, *, seed: int) -> float:
    """KL of the policy to uniform actions in its unit box, in nats, over recent states.

    SB3's `log_prob` is the density of the squashed action u in (-1, 1)^d, whose uniform density is
    2^-d, so this is d log 2 + E[log pi(u|s)]. With the Gaussian chart over a flow
    it *is* the KL to the prior; over other charts and priors it is the KL to what a uniform u
    executes, an upper bound for priors that are no bijection. One sample per state.

    Args:
        model: SAC with at least one transition in its buffer.
        seed: Of the samples; the global generators are left as they were.
    """
    buffer = model.replay_buffer
    if buffer is None or not buffer.size():
        return math.nan
    count = min(_STATES, buffer.size())
    rows = (buffer.pos - 1 - np.arange(count)) % buffer.buffer_size
    stored: Any = buffer.observations
    recent = (
        {key: part[rows, 0] for key, part in stored.items()}
        if isinstance(stored, dict)
        else stored[rows, 0]
    )
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        obs = cast("torch.Tensor", obs_as_tensor(recent, model.device))
        if in_jax(model):
            log_prob = mean_log_prob(model, obs, seed=seed)
        else:
            log_prob = float(model.actor.action_log_prob(obs)[1].mean())
    dimensions = int(np.prod(model.action_space.shape or ()))
    return kl_to_prior(-log_prob, dimensions)


class _Callback(BaseCallback):
    """Goes on at every step, and knows that the model is SAC."""

    @property
    def _sac(self) -> SAC:
        return cast("SAC", self.model)

    def _on_step(self) -> bool:
        return True


class EnvStepsCallback(BaseCallback):
    """Let SB3's `num_timesteps` count env steps where one decision drives a chunk of them.

    SB3 counts decisions, so that budgets and curves of chunked agents look H times too good. Put it
    before all callbacks that read the count. Without chunks it changes nothing.
    """

    def _on_step(self) -> bool:
        self.model.num_timesteps += sum(env_steps(info) - 1 for info in self.locals["infos"])
        return True


class DiagnosticsCallback(BaseCallback):
    """Log what a latent-space run is judged by.

    Names: `parrot/kl_to_prior` (nats per decision, see `kl_nats`; `parrot/kl_to_uniform` for raw
    actions), `parrot/kl_is_bound` (1 where that is an upper bound of the KL of what is executed, 0
    where it is exact), `parrot/clipped` (fraction of decisions with an action that left the env's
    box), `rollout/success_once` (share of the last 100 episodes with success on any step, beside
    SB3's `rollout/success_rate` at the last step), and of envs that tell `rollout/unsafe_per_1000`
    (unsafe events in 1,000 env steps since the last row).

    Args:
        latent_actions: Whether uniform actions are samples of a prior.
    """

    def __init__(self, *, latent_actions: bool) -> None:
        super().__init__()
        self._latent_actions = latent_actions
        self._name = f"parrot/kl_to_{'prior' if latent_actions else 'uniform'}"
        self._once: deque[bool] = deque(maxlen=100)
        self._succeeded = False
        self.last_kl = math.nan
        self.is_bound = False

    def _on_training_start(self) -> None:
        if self._latent_actions:
            self.is_bound = any(map(kl_is_bound, self.training_env.get_attr("prior")))

    def _on_step(self) -> bool:
        info, done = self.locals["infos"][0], bool(self.locals["dones"][0])
        if "parrot/clipped" in info:
            self.logger.record_mean("parrot/clipped", float(info["parrot/clipped"]))
        for _, step_info in executed_steps(0.0, info):
            self._succeeded |= bool(told_success(step_info))
            if UNSAFE_KEY in step_info:
                events = 1_000.0 * len(step_info[UNSAFE_KEY])
                self.logger.record_mean("rollout/unsafe_per_1000", events)
        if done and told_success(info) is not None:
            self._once.append(self._succeeded)
            self._succeeded = False
            self.logger.record("rollout/success_once", float(np.mean(self._once)))
        if self.num_timesteps % _KL_EVERY < env_steps(info):
            self.last_kl = kl_nats(cast("SAC", self.model), seed=self.num_timesteps)
            self.logger.record(self._name, self.last_kl)
            if self._latent_actions:
                self.logger.record("parrot/kl_is_bound", float(self.is_bound))
        return True


class ProgressCallback(BaseCallback):
    """A plain tqdm bar with the rollout success rate and the KL."""

    def __init__(self, *, total: int, diagnostics: DiagnosticsCallback, label: str = "SAC") -> None:
        super().__init__()
        self._total, self._label, self._diagnostics = total, label, diagnostics
        self._bar: Any = None

    def _on_training_start(self) -> None:
        self._bar = tqdm(
            total=self._total,
            initial=self.num_timesteps,
            desc=self._label,
            unit="step",
            mininterval=1.0,
        )

    def _on_step(self) -> bool:
        if self.locals["dones"][0]:
            rates = self.model.ep_success_buffer
            success = float(np.mean(rates)) if rates else math.nan
            kl, sign = self._diagnostics.last_kl, "<= " if self._diagnostics.is_bound else ""
            told = f", KL {sign}{kl:.1f} nats" if math.isfinite(kl) else ""
            text = f"success {success:.2f}{told}"
            self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(self.num_timesteps - self._bar.n)
        return True

    def _on_training_end(self) -> None:
        self._bar.close()


class CheckpointCallback(_Callback):
    """Save a checkpoint at the first episode start after every so many steps.

    Between two rollouts and at an episode's start nothing is half done: the last transition is
    stored, its update is made, and the next episode follows from its seed alone.

    Args:
        folder: Where the checkpoints go.
        episodes: The wrapper that seeds the run's episodes.
        every: Env steps, at least, between two checkpoints; 0 for none.
        interruption: When it is requested, the next episode start gets a checkpoint and raises
            KeyboardInterrupt.
        seconds: Time that earlier parts of the run took, up to the checkpoint that it goes on from.
    """

    def __init__(
        self,
        folder: Path,
        *,
        episodes: SeededEpisodes,
        every: int,
        interruption: Interruption,
        seconds: float = 0.0,
    ) -> None:
        super().__init__()
        self._folder, self._episodes, self._every = folder, episodes, every
        self._interruption = interruption
        self._seconds_before = seconds
        self._started = math.nan
        self._last = 0

    @property
    def at_episode_start(self) -> bool:
        """Whether the last step ended an episode."""
        return bool(np.all(self.locals.get("dones", False)))

    def save(self) -> Path:
        """Write a checkpoint now; only between two rollouts."""
        self._last = self.num_timesteps
        # In the middle of an episode its rest is lost, and a resumed run goes on with the next.
        started = self.at_episode_start
        return save_checkpoint(
            self._sac,
            self._folder,
            episode=self._episodes.episode + (0 if started else 1),
            at_episode_start=started,
            seconds=self._seconds_before + time.perf_counter() - self._started,
        )

    def _on_training_start(self) -> None:
        self._started = time.perf_counter()
        self._last = self.num_timesteps

    def _on_rollout_start(self) -> None:
        due = self._every and self.model.num_timesteps - self._last >= self._every
        stop = self._interruption.requested
        if (due or stop) and self.at_episode_start:
            self.num_timesteps = self.model.num_timesteps
            self.save()
            if stop:
                raise KeyboardInterrupt


class HardTargetCallback(_Callback):
    """Copy the critic to its target every so many updates.

    SB3's SAC counts `target_update_interval` within one round of updates, so with one update a
    round it copies at every update whatever the interval. This callback does what the interval
    says; SAC's own copying has to be off (tau = 0).

    Args:
        interval: Updates between two copies.
        tau: Share that is copied; 1 for a hard copy.
    """

    def __init__(self, *, interval: int, tau: float) -> None:
        super().__init__()
        self._interval, self._tau = interval, tau
        self._done = 0

    def _on_training_start(self) -> None:
        self._done = self._sac._n_updates // self._interval

    def _on_rollout_start(self) -> None:
        model = self._sac
        if model._n_updates // self._interval > self._done:
            self._done = model._n_updates // self._interval
            polyak_update(model.critic.parameters(), model.critic_target.parameters(), self._tau)


class KLWarmupCallback(_Callback):
    """Let the KL budget grow evenly with the env steps, from 0 to what it is in the end.

    Args:
        steps: Env steps until then, above 0.
    """

    def __init__(self, *, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def _on_training_start(self) -> None:
        self._last = float(self._sac.target_entropy)
        self._first = math.prod(self._sac.action_space.shape or ()) * math.log(2.0)

    def _on_rollout_start(self) -> None:
        share = min(1.0, self._sac.num_timesteps / self._steps)
        self._sac.target_entropy = self._first + share * (self._last - self._first)

    def _on_training_end(self) -> None:
        self._sac.target_entropy = self._last


class FirstUpdateCallback(_Callback):
    """Hold SAC's updates back for the first steps while its own actor acts.

    SB3 acts uniformly until its updates begin, which would waste an actor that was cloned before.
    SAC's `learning_starts` has to be 0.
    """

    def __init__(self, *, after: int) -> None:
        super().__init__()
        self._after, self._updates = after, 0

    def _on_training_start(self) -> None:
        self._updates = self._sac.gradient_steps

    def _on_step(self) -> bool:
        ready = self.num_timesteps > self._after
        self._sac.gradient_steps = self._updates if ready else 0
        return True

    def _on_training_end(self) -> None:
        self._sac.gradient_steps = self._updates


class FirstRewardsCallback(_Callback):
    """Let the warm-up go on until there is something to learn.

    Before the first reward SAC's critic is noise, and a KL budget is spent on following it away
    from the prior. Uniform actions behind the Gaussian chart are samples of the prior itself.

    Args:
        episodes: Episodes that had a reward, before the first update.
    """

    def __init__(self, *, episodes: int) -> None:
        super().__init__()
        self._episodes, self._learning_starts = episodes, 0
        self._waits = True

    def _on_training_start(self) -> None:
        self._learning_starts = self._sac.learning_starts
        self._wait_or_go()

    def _on_rollout_start(self) -> None:
        if self._waits and np.any(self.locals.get("dones", False)):
            self._wait_or_go()

    def _wait_or_go(self) -> None:
        model = self._sac
        assert model.replay_buffer is not None  # learn() set it up
        self._waits = count_rewarded_episodes(model.replay_buffer) < self._episodes
        model.learning_starts = sys.maxsize if self._waits else self._learning_starts

    def _on_training_end(self) -> None:
        self._sac.learning_starts = self._learning_starts
