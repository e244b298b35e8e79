"""`parrot eval-prior`: judge a prior before spending RL on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym

from parrot_wrapper.atomic_files import atomic_path, write_json
from parrot_wrapper.cli.environments import DEFAULT_PACKAGES, make_env, parse_env_kwargs
from parrot_wrapper.cli.run_options import fitting_kwargs, render_kwargs, use_threads
from parrot_wrapper.evaluation.pictures import film, save_gif, save_trajectories, trace
from parrot_wrapper.evaluation.policies import EpisodePolicy, PriorSamples, UniformActions
from parrot_wrapper.evaluation.report import judgement_text
from parrot_wrapper.types import ActionPrior


@dataclass(frozen=True)
class EvalPriorCommand:
    """Judge a prior before spending RL on it; what the env or the data lack is skipped, and said.

    Writes table.md, judgement.json, samples.gif and trajectories.png (like the paper's Figure 4).

    Attributes:
        prior: Packaged name or folder of a prior.
        env_id: Env to judge it in; best one with novel objects.
        data: Data set for the likelihood; held out, or the number flatters the prior.
        out: Folder of the results.
        episodes: Held-out episodes for every policy that is rolled out.
        expert_episodes: Expert episodes that the clones and the probe learn from.
        noise: Standard deviation of the expert's action noise.
        gif_episodes: Episodes in the GIF; 0 for none.
        trajectories: Trajectories in each panel of the picture; 0 for none.
        env_kwargs: Options of the env as key=value.
        gym_packages: Modules whose import registers env ids.
        threads: Torch's CPU threads, 0 to leave them.
        progress: Show progress bars.
    """

    prior: str = "parrot-v0"
    env_id: str = "ParrotGraspCup-v0"
    data: Path | None = None
    out: Path = Path("runs/eval-prior")
    episodes: int = 100
    expert_episodes: int = 600
    noise: float = 0.1
    gif_episodes: int = 6
    trajectories: int = 30
    env_kwargs: tuple[str, ...] = ()
    gym_packages: tuple[str, ...] = DEFAULT_PACKAGES
    threads: int = 1
    progress: bool = True

    def run(self) -> None:
        """Measure, write the results, print the table."""
        from parrot_wrapper.evaluation.judge import JudgeSettings, judge_prior  # bring torch
        from parrot_wrapper.priors.loading import load_prior

        use_threads(self.threads)
        prior = load_prior(self.prior)
        given = parse_env_kwargs(self.env_kwargs)
        kwargs = fitting_kwargs(self.env_id, prior, given, self.gym_packages)
        factory = partial(make_env, self.env_id, gym_packages=self.gym_packages, **kwargs)
        settings = JudgeSettings(
            episodes=self.episodes,
            expert_episodes=self.expert_episodes,
            noise=self.noise,
            progress=self.progress,
        )
        env = factory()
        try:
            judgement = judge_prior(prior, env, dataset=self._dataset(), settings=settings)
            self._draw(env, prior)
        finally:
            env.close()
        text = judgement_text(judgement, prior_name=self.prior)
        command = {**asdict(self), "data": str(self.data or ""), "out": str(self.out)}
        content = {"prior": self.prior, "command": command, **judgement.to_dict()}
        write_json(self.out / "judgement.json", content)
        with atomic_path(self.out / "table.md") as partial_file:
            partial_file.write_text(text, encoding="utf-8")
        if self.gif_episodes:
            self._film(factory, prior)
        print(text)

    def _dataset(self) -> Any:
        if self.data is None:
            return None
        from parrot_wrapper.data import load_dataset  # h5py is needed with data only

        return load_dataset(self.data)

    def _draw(self, env: gym.Env[Any, Any], prior: ActionPrior) -> None:
        if self.trajectories:
            policies: dict[str, EpisodePolicy] = {
                "samples of the prior": PriorSamples(env, prior),
                "uniform actions": UniformActions(env),
            }
            panels = {
                name: trace(env, policy, trajectories=self.trajectories)
                for name, policy in policies.items()
            }
            save_trajectories(self.out / "trajectories.png", panels)

    def _film(self, factory: partial[gym.Env[Any, Any]], prior: ActionPrior) -> None:
        env = factory(**render_kwargs(self.env_id))
        try:
            frames = film(env, PriorSamples(env, prior), episodes=self.gif_episodes)
        finally:
            env.close()
        if frames:
            save_gif(self.out / "samples.gif", frames)
