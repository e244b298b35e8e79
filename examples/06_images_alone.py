"""A prior that sees images alone, and an agent on its features: an env without any arm.

`coin_puck.py` beside this file has the env. Demonstrations collect any coin; the agent has a reward
only once it has the red one and no other.
"""

import argparse
from pathlib import Path

import coin_puck  # noqa: F401  # registers the id

from parrot_wrapper import FlowPrior, PriorTrainingConfig, fit_prior, load_dataset
from parrot_wrapper.record.collect import ExpertSource, collect
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.evaluation import evaluate_run
from parrot_wrapper.rl.train import train


def main() -> None:
    """Collection starts processes, which need a main function to be guarded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/images-alone"))
    parser.add_argument("--episodes", type=int, default=2_000)
    parser.add_argument("--prior-steps", type=int, default=5_000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=15_000)
    parser.add_argument("--rollouts", type=int, default=100)
    args = parser.parse_args()

    source = ExpertSource("CoinPuck-v0", gym_packages=("coin_puck",))
    collect(source, n_episodes=args.episodes, folder=args.out / "data")
    data = load_dataset(args.out / "data")
    del data.observations["state"]  # known to the simulator alone
    prior = FlowPrior.for_data(data)
    config = PriorTrainingConfig(
        steps=args.prior_steps, batch_size=args.batch_size, learning_rate=1e-3, patience=0
    )
    fit_prior(prior, data, config, run_folder=args.out)
    prior.save(args.out / "prior")
    run = RLConfig("CoinPuck-v0", prior=str(args.out / "prior"), total_steps=args.steps)
    train(run, args.out / "rl")
    print(f"the red coin: {evaluate_run(args.out / 'rl', episodes=args.rollouts)}")


if __name__ == "__main__":
    main()
