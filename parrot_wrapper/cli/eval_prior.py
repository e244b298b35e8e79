"""`parrot eval-prior`: judge a prior before spending RL on it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from parrot_wrapper.checks import key_values
from parrot_wrapper.cli.durations import announce, timed
from parrot_wrapper.cli.environments import (
    fitting_kwargs,
    make_env,
    render_kwargs,
)
from parrot_wrapper.evaluation.pictures import (
    film,
    frame_of,
    save_gif,
    save_trajectories,
    tells_positions,
    trace,
)
from parrot_wrapper.evaluation.policies import EpisodePolicy, PriorSamples, UniformActions
from parrot_wrapper.evaluation.recordings import HAND, POSITION
from parrot_wrapper.evaluation.report import judgement_text
from parrot_wrapper.evaluation.rollouts import evaluate
from parrot_wrapper.io.atomic_files import atomic_path, write_json
from parrot_wrapper.registry import DEFAULT_PACKAGES, DEFAULT_PRIOR
from parrot_wrapper.surroundings import DEFAULT_THREADS, use_threads
from parrot_wrapper.types import ActionPrior, OffersExpert, OffersLabels

if TYPE_CHECKING:
    from parrot_wrapper.evaluation.judge import Judgement

_FEW = 20
"""Episodes that are over about as soon as one is timed."""


@dataclass(frozen=True)
class EvalPriorCommand:
    """Judge a prior before spending RL on it; what the env or the data lack is skipped, and said.

    Ends with a verdict: ready for RL or not, why, and what to do next. Writes table.md,
    judgement.json, samples.gif and, where the env tells positions, trajectories.png.

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
        threads: Torch's CPU threads, 0 for torch's own number; more pay on idle cores only.
        progress: Show progress bars.
    """

    prior: str = DEFAULT_PRIOR
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
    threads: int = DEFAULT_THREADS
    progress: bool = True

    def run(self) -> None:
        """Measure, write the results, print the table."""
        from parrot_wrapper.evaluation.judge import JudgeSettings, judge_prior  # bring torch
        from parrot_wrapper.priors.loading import load_prior

        use_threads(self.threads)
        prior = load_prior(self.prior)
        given = key_values(self.env_kwargs)
        kwargs = fitting_kwargs(self.env_id, prior, given, self.gym_packages)
        factory = partial(make_env, self.env_id, gym_packages=self.gym_packages, **kwargs)
        settings = JudgeSettings(
            episodes=self.episodes,
            expert_episodes=self.expert_episodes,
            noise=self.noise,
            progress=self.progress,
        )
        rendered = render_kwargs(self.env_id)
        env = factory()
        with closing(env):
            policy = PriorSamples(env, prior)
            episode = partial(evaluate, policy, env, episodes=1, on_reset=policy.begin)
            count = self._episodes(env, len(settings.limits))
            if count > _FEW:
                announce(f"{count} episodes", timed(episode, times=2) * count)
            judgement = judge_prior(prior, env, dataset=self._dataset(), settings=settings)
            drawn = bool(self.trajectories) and tells_positions(env)
            if self.trajectories and not drawn:
                judgement.skipped["trajectories.png"] = (
                    f"the env tells no positions (privileged_labels with {HAND} or {POSITION})"
                )
            filmed = bool(rendered) or frame_of(env, env.reset(seed=0)[0]) is not None
            if self.gif_episodes and not filmed:
                judgement.skipped["samples.gif"] = (
                    "the env has neither render mode rgb_array nor images as observations"
                )
            text = judgement_text(judgement, prior_name=self.prior)
            self._write(judgement, text)
            if drawn:
                self._draw(env, prior)
        if self.gif_episodes and filmed:
            self._film(partial(factory, **rendered), prior)
        print(text)

    def _episodes(self, env: gym.Env[Any, Any], limits: int) -> int:
        """How many episodes are rolled out in all, about."""
        bare = env.unwrapped
        expert, labels = isinstance(bare, OffersExpert), isinstance(bare, OffersLabels)
        policies = 2 + expert * (2 + labels + limits)
        recorded = self.expert_episodes * (expert or labels)
        return self.episodes * policies + recorded + 2 * self.trajectories + self.gif_episodes

    def _write(self, judgement: Judgement, text: str) -> None:
        command = {**asdict(self), "data": str(self.data or ""), "out": str(self.out)}
        content = {"prior": self.prior, "command": command, **judgement.to_dict()}
        write_json(self.out / "judgement.json", content)
        with atomic_path(self.out / "table.md") as partial_file:
            partial_file.write_text(text, encoding="utf-8")

    def _dataset(self) -> Any:
        if self.data is None:
            return None
        from parrot_wrapper.data import load_dataset  # h5py is needed with data only

        return load_dataset(self.data)

    def _draw(self, env: gym.Env[Any, Any], prior: ActionPrior) -> None:
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
        env = factory()
        with closing(env):
            frames = film(env, PriorSamples(env, prior), episodes=self.gif_episodes)
        if frames:
            save_gif(self.out / "samples.gif", frames)
