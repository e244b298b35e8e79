"""Collect demonstrations of many tasks, train a prior on their images, and look at it.

The same in two commands: `parrot collect`, `parrot train-prior`. With the defaults the prior is a
toy that took a few minutes; the packaged one saw far more (docs/results.md).
"""

import argparse
from pathlib import Path

import gymnasium as gym

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper import PriorTrainingConfig, evaluate, fit_prior, load_dataset, load_prior
from parrot_wrapper.evaluation.policies import PriorSamples, UniformActions
from parrot_wrapper.record.collect import ExpertSource, collect


def main() -> None:
    """Collection starts processes, which need a main function to be guarded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/example-prior"))
    parser.add_argument("--episodes", type=int, default=1_000)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rollouts", type=int, default=50)
    args = parser.parse_args()

    # Scripted experts with noise, on training objects only. A killed collection goes on here.
    source = ExpertSource("ParrotMultiTask-v0", gym_packages=("parrot_envs",), noise=0.1)
    collect(source, n_episodes=args.episodes, folder=args.out / "data", workers=args.workers)
    data = load_dataset(args.out / "data")
    print(data)

    # The default encoder finds things in the image. It learns where they are from the labels that
    # our simulator stores with the episodes; without labels it learns from likelihood alone.
    settings = PriorTrainingConfig(
        steps=args.steps, batch_size=args.batch_size, validate_every=max(1, args.steps // 5)
    )
    report = fit_prior(data, config=settings, run_folder=args.out)
    print(report)
    report.prior.save(args.out / "prior")

    # Objects that no training episode had: does a random latent lift one of them?
    env = gym.make("ParrotGrasp-v0")
    stored = load_prior(args.out / "prior")
    for name, policy in (
        ("uniform actions", UniformActions(env)),
        ("samples of the prior", PriorSamples(env, stored)),
    ):
        result = evaluate(policy, env, episodes=args.rollouts)
        print(f"{name}: an object is lifted in {result.share('lifted')} of the episodes")
    env.close()


if __name__ == "__main__":
    main()
