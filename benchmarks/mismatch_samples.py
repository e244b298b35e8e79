"""What samples of a prior do in tasks that need what its data never had, and with each way out.

    python benchmarks/mismatch_samples.py --episodes 200

Share of held-out episodes in which the target was placed at some time, and at the end, for samples
of the prior as it is and of the mixtures that the `mismatch` study gives its agents. `--prior` is a
prior of grasping alone as `parrot experiment mismatch --setting laptop` makes it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import gymnasium as gym

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper.evaluation.policies import UniformActions
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.evaluation.rollouts import evaluate
from parrot_wrapper.experiments.studies import PLACE_TASKS, study_grid
from parrot_wrapper.priors.loading import load_prior
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.model import wrap_env

PRIOR = "runs/mismatch-laptop/artifacts/prior-grasp-only-p0"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--prior", default=PRIOR, help="packaged name or folder")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--tasks", nargs="+", default=PLACE_TASKS)
    args = parser.parse_args(argv)
    prior = load_prior(args.prior)
    ways = {way.name: way.settings for way in study_grid("mismatch", "laptop").methods}
    cells = []
    for task in args.tasks:
        row = [f"`{task}`"]
        for way, settings in ways.items():
            config = RLConfig.from_dict({"env_id": task, "prior": args.prior, **settings})
            env = wrap_env(gym.make(task), config, prior)
            samples = UniformActions(env)  # behind the Gaussian chart: exact ones
            result = evaluate(
                samples,
                env,
                episodes=args.episodes,
                on_reset=samples.begin,
                progress=f"{task} {way}",
            )
            env.close()
            row.append(f"{result.success_once.value:.3f}, {result.success.value:.3f}")
        cells.append(row)
    print(markdown_table(["task", *ways], cells))


if __name__ == "__main__":
    main()
