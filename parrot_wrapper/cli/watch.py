"""`parrot watch`: see a policy at work, in a window or as a GIF."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import tyro

from parrot_wrapper.checks import key_values
from parrot_wrapper.cli.environments import (
    fitting_kwargs,
    make_env,
    packages_of,
    render_kwargs,
    require_env_id,
)
from parrot_wrapper.errors import InvalidArgumentError, unknown_name
from parrot_wrapper.evaluation.pictures import Film, save_gif
from parrot_wrapper.evaluation.policies import (
    EpisodePolicy,
    PriorSamples,
    ScriptedExpert,
    UniformActions,
)
from parrot_wrapper.evaluation.rollouts import AgentPolicy, EpisodeOutcome, evaluate
from parrot_wrapper.registry import DEFAULT_PACKAGES
from parrot_wrapper.surroundings import DEFAULT_THREADS, use_threads

POLICIES = ("uniform", "scripted", "prior:NAME", "agent:PATH")


@dataclass(frozen=True)
class WatchCommand:
    """Show a policy in an env and print how each episode went.

    A window opens where there is a display and the env has one; else, or with --out, a GIF is
    written. A green rim in the GIF says that the task is done.

    Attributes:
        env_id: A registered id, or module:id.
        policy: uniform, scripted (the env's own expert), prior:NAME (samples of a packaged prior or
            of one in a folder) or agent:PATH (the run folder of a trained agent).
        out: The GIF; runs/watch/ENV_ID.gif where there is no window.
        episodes: How many.
        seed: Episode k is reset with seed + k.
        env_kwargs: Options of the env as key=value.
        gym_packages: Modules whose import registers env ids.
        threads: Torch's CPU threads, 0 for torch's own number; more pay on idle cores only.
    """

    env_id: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENV_ID")]
    policy: str = "uniform"
    out: Path | None = None
    episodes: int = 3
    seed: int = 0
    env_kwargs: tuple[str, ...] = ()
    gym_packages: tuple[str, ...] = DEFAULT_PACKAGES
    threads: int = DEFAULT_THREADS

    def run(self) -> None:
        """Play the episodes."""
        kind, name = parse_policy(self.policy)
        if self.episodes < 1:
            raise InvalidArgumentError(f"Expected episodes >= 1, got {self.episodes}.")
        use_threads(self.threads)
        packages = self.gym_packages
        if kind == "agent":
            packages = packages_of(Path(name), packages)
        require_env_id(self.env_id, packages)
        render = render_kwargs(self.env_id, window=self.out is None and has_display())
        policy, env = self._cast(kind, name, {**key_values(self.env_kwargs), **render})
        film = None if env.render_mode == "human" else Film()
        with closing(env):
            self._play(policy, env, film)
        if film is not None:
            self._save(film, env.metadata.get("render_fps") or 10.0)

    def _cast(
        self, kind: str, name: str, kwargs: dict[str, Any]
    ) -> tuple[EpisodePolicy, gym.Env[Any, Any]]:
        """The policy, and the env as the policy needs it."""
        if kind == "agent":
            return self._agent(Path(name), kwargs)
        from parrot_wrapper.priors.loading import load_prior  # brings torch

        prior = load_prior(name) if kind == "prior" else None
        if prior is not None:
            kwargs = fitting_kwargs(self.env_id, prior, kwargs, self.gym_packages)
        env = make_env(self.env_id, gym_packages=self.gym_packages, **kwargs)
        try:
            if prior is not None:
                return PriorSamples(env, prior), env
            return (ScriptedExpert(env) if kind == "scripted" else UniformActions(env)), env
        except BaseException:
            env.close()
            raise

    def _agent(
        self, run_folder: Path, kwargs: dict[str, Any]
    ) -> tuple[EpisodePolicy, gym.Env[Any, Any]]:
        from parrot_wrapper.rl.evaluation import load_agent  # needs SB3

        def make(_: str, **trained_with: Any) -> gym.Env[Any, Any]:
            return make_env(
                self.env_id, gym_packages=self.gym_packages, **{**trained_with, **kwargs}
            )

        model, env = load_agent(run_folder, make_env=make)
        return AgentPolicy(model), env

    def _play(self, policy: EpisodePolicy, env: gym.Env[Any, Any], film: Film | None) -> None:
        tells = False

        def watch(env: gym.Env[Any, Any], observation: Any, info: dict[str, Any]) -> None:
            nonlocal tells
            tells = tells or "is_success" in info
            if film is not None:
                film(env, observation, info)

        wins = 0
        for seed in range(self.seed, self.seed + self.episodes):
            result = evaluate(
                policy, env, episodes=1, seed=seed, on_reset=policy.begin, watch=watch
            )
            if film is not None:
                film.hold()
            outcome = result.episodes[0]
            wins += outcome.success
            print(_line(outcome, tells), flush=True)
        if tells:
            print(f"{wins} of {self.episodes} episodes ended in success.")

    def _save(self, film: Film, frames_per_second: float) -> None:
        if not film.frames:
            raise InvalidArgumentError(
                f"Expected an env with render mode rgb_array or with image observations, "
                f"{self.env_id} has neither: nothing can be shown."
            )
        name = self.env_id.rpartition(":")[2].replace("/", "-")
        path = self.out or Path("runs/watch") / f"{name}.gif"
        save_gif(path, film.frames, frames_per_second=frames_per_second)
        print(path)


def parse_policy(policy: str) -> tuple[str, str]:
    """Kind and name of a policy, the name empty where there is none.

    Example:
        >>> parse_policy("prior:parrot-v0")
        ('prior', 'parrot-v0')
    """
    kind, _, name = policy.partition(":")
    named = {form.partition(":")[0]: ":" in form for form in POLICIES}
    if kind not in named or bool(name) != named[kind]:
        raise unknown_name("policy", policy, POLICIES)
    return kind, name


def has_display() -> bool:
    """Whether a window can be expected to open."""
    return sys.platform != "linux" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def _line(outcome: EpisodeOutcome, tells: bool) -> str:
    success = "success, " if outcome.success else "success on the way only, "
    told = (success if outcome.success_once else "no success, ") if tells else ""
    return f"episode {outcome.seed}: {told}return {outcome.episode_return:g}, {outcome.steps} steps"
