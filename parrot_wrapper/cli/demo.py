"""`parrot demo`: learn a new task with the packaged prior, beside plain SAC, and show it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym

from parrot_wrapper.cli.durations import announce
from parrot_wrapper.cli.environments import (
    fitting_kwargs,
    make_env,
)
from parrot_wrapper.cli.evaluate import film_run
from parrot_wrapper.errors import ParrotError
from parrot_wrapper.evaluation.pictures import save_learning_curves
from parrot_wrapper.evaluation.policies import EpisodePolicy, PriorSamples, UniformActions
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.evaluation.rollouts import EvaluationResult, evaluate
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.io.strict_json import parse_json
from parrot_wrapper.registry import DEFAULT_PACKAGES, DEFAULT_PRIOR
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.surroundings import use_threads

SUMMARY_FILE = "summary.json"
_NAMES = {
    "uniform": "uniform actions",
    "prior": "samples of the prior",
    "trained": "SAC in the prior's latent space",
    "plain_sac": "plain SAC, same steps and features",
}
_AGENTS = {"trained": "latent_sac", "plain_sac": "plain_sac"}


class DemoError(ParrotError, RuntimeError):
    """The second process of the demo died."""


@dataclass(frozen=True)
class DemoCommand:
    """Learn a new task with the packaged prior and show it; the same command goes on after a kill.

    Two processes: stock SAC in the prior's latent space, and plain SAC on the same features.
    Leaves summary.json, learning-curve.png and trained.gif.

    Attributes:
        out: Folder of the results.
        env_id: The task.
        prior: Packaged name or folder of a prior.
        steps: Env steps of each agent.
        episodes: Held-out episodes of each of the four policies.
        kl: KL budget to the prior in nats per step.
        gradient_steps: Updates for each env step.
        checkpoint_every: Env steps between checkpoints.
        gif_episodes: Episodes in the GIF; 0 for none.
        seed: Of networks, sampling and episodes.
        progress: Show progress bars.
    """

    out: Path = Path("runs/demo")
    env_id: str = "ParrotGraspCup-v0"
    prior: str = DEFAULT_PRIOR
    steps: int = 15_000
    episodes: int = 100
    kl: float = 5.0
    gradient_steps: int = 1
    checkpoint_every: int = 2_500
    gif_episodes: int = 5
    seed: int = 0
    progress: bool = True

    def run(self) -> None:
        """Train, evaluate, draw, print the table."""
        from parrot_wrapper.rl.evaluation import steps_of_run
        from parrot_wrapper.rl.logs import training_seconds
        from parrot_wrapper.rl.train import training_seconds_left

        config = self.config()  # a typo is found here, before processes and folders are made
        use_threads()
        done = steps_of_run(self.out / _AGENTS["trained"])
        if done >= self.steps:
            print(f"{self.out}: both agents were trained before.", flush=True)
        left = training_seconds_left(config, make_env, done=done)
        announce(f"{self.steps - done} env steps of both agents side by side", left)
        other = multiprocessing.get_context("spawn").Process(
            target=_plain_side, args=(self, config), daemon=True
        )
        other.start()
        results = self._latent_side(config)
        if other.is_alive():
            print("Waiting for plain SAC, which runs beside it.", flush=True)
        other.join()
        if other.exitcode:
            raise DemoError(
                f"Plain SAC's process ended with code {other.exitcode}; its message is above. "
                "The same command goes on from the last checkpoint."
            )
        for name in ("uniform", "plain_sac"):
            results[name] = parse_json((self.out / f"{name}.json").read_bytes())
        self._show(config)
        seconds = max(training_seconds(self.out / folder) for folder in _AGENTS.values())
        summary = {
            "task": self.env_id,
            "env_steps": self.steps,
            **{name: results[name]["success"]["value"] for name in _NAMES},
            "wall_seconds": round(seconds, 1),
        }
        write_json(self.out / SUMMARY_FILE, summary)
        print(self._table(results))
        print(
            f"{self.steps} env steps each, {seconds / 60:.1f} minutes of training; see {self.out}."
        )

    def config(self) -> RLConfig:
        """Settings of the agent in the latent space."""
        from parrot_wrapper.priors.loading import load_prior

        kwargs = fitting_kwargs(self.env_id, load_prior(self.prior), {}, DEFAULT_PACKAGES)
        return RLConfig(
            env_id=self.env_id,
            env_kwargs=kwargs,
            prior=self.prior,
            kl=self.kl,
            gradient_steps=self.gradient_steps,
            total_steps=self.steps,
            checkpoint_every=self.checkpoint_every,
            seed=self.seed,
            device="cpu",
        )

    def score(self, name: str, measure: Callable[[], EvaluationResult]) -> dict[str, Any]:
        """The result of a policy, measured once and kept in `<name>.json`."""
        path = self.out / f"{name}.json"
        key = [self.env_id, self.prior, self.episodes, self.seed]
        if name in _AGENTS:
            key.append(self.steps)
        try:
            known = parse_json(path.read_bytes())
        except (OSError, ValueError):
            known = {}
        if isinstance(known, dict) and known.get("key") == key:
            return known
        result = {"key": key, **measure().to_dict()}
        write_json(path, result)
        return result

    def score_agent(self, name: str) -> dict[str, Any]:
        """The result of a trained agent."""
        from parrot_wrapper.rl.evaluation import evaluate_run

        folder = self.out / _AGENTS[name]
        label = "evaluation" if self.progress and name == "trained" else None
        return self.score(
            name,
            lambda: evaluate_run(folder, make_env=make_env, episodes=self.episodes, progress=label),
        )

    def score_bare(
        self,
        name: str,
        config: RLConfig,
        make_policy: Callable[[gym.Env[Any, Any]], EpisodePolicy],
    ) -> dict[str, Any]:
        """The result of a policy that is not trained."""

        def measure() -> EvaluationResult:
            env = make_env(config.env_id, **config.env_kwargs)
            with closing(env):
                policy = make_policy(env)
                return evaluate(policy, env, episodes=self.episodes, on_reset=policy.begin)

        return self.score(name, measure)

    def _latent_side(self, config: RLConfig) -> dict[str, dict[str, Any]]:
        from parrot_wrapper.priors.loading import load_prior
        from parrot_wrapper.rl.train import train

        train(
            config,
            self.out / _AGENTS["trained"],
            make_env=make_env,
            progress=self.progress,
            label=f"SAC + {self.prior}",
        )
        prior = load_prior(self.prior)
        return {
            "trained": self.score_agent("trained"),
            "prior": self.score_bare("prior", config, lambda env: PriorSamples(env, prior)),
        }

    def _show(self, config: RLConfig) -> None:
        curves = {_NAMES[name]: _curve(self.out / folder) for name, folder in _AGENTS.items()}
        save_learning_curves(self.out / "learning-curve.png", curves, title=self.env_id)
        if self.gif_episodes:
            run = self.out / _AGENTS["trained"]
            film_run(run, self.out / "trained.gif", episodes=self.gif_episodes)

    def _table(self, results: dict[str, dict[str, Any]]) -> str:
        rows = []
        for name, label in _NAMES.items():
            end, once = results[name]["success"], results[name]["success_once"]
            interval = f"[{end['low']:.2f}, {end['high']:.2f}]"
            rows.append([label, f"{end['value']:.2f}", interval, f"{once['value']:.2f}"])
        header = [f"{self.env_id}, {self.episodes} held-out episodes", "success", "95 %", "ever"]
        return markdown_table(header, rows)


def _plain_side(command: DemoCommand, config: RLConfig) -> None:
    """The second process: plain SAC on the same features, and uniform actions."""
    from parrot_wrapper.rl.train import train

    use_threads()
    try:
        train(
            replace(config, raw_actions=True),
            command.out / _AGENTS["plain_sac"],
            make_env=make_env,
            progress=False,
        )
        command.score_agent("plain_sac")
        command.score_bare("uniform", config, UniformActions)
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # the first process says it


def _curve(run_folder: Path) -> tuple[list[float], list[float]]:
    from parrot_wrapper.rl.logs import STEP_KEY, read_log
    from parrot_wrapper.rl.train import LOG_FILE

    rows = [
        (row[STEP_KEY], row["rollout/success_rate"])
        for row in read_log(run_folder / LOG_FILE)
        if "rollout/success_rate" in row
    ]
    return [float(step) for step, _ in rows], [float(rate) for _, rate in rows]
