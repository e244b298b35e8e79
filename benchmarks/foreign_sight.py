"""How far features of images carry an agent in envs that this project knows nothing of.

    python benchmarks/foreign_sight.py fetch-reach --sees state
    python benchmarks/foreign_sight.py fetch-reach --sees image
    python benchmarks/foreign_sight.py --envs        # what there is

Three stages, each skipped where it is done and continued where it was stopped: demonstrations with
images and privileged state in one data set; a prior of the chosen parts of it; stock SAC on that
prior's features, evaluated on 100 held-out episodes. The prior of the state is what images are
compared with. MuJoCo's envs need the extra `third-party`, and without a display MUJOCO_GL=egl.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image

from parrot_wrapper import FlowPrior, evaluate, fit_prior, load_dataset, load_prior
from parrot_wrapper.data.dataset import contact_sheet
from parrot_wrapper.evaluation.policies import PriorSamples
from parrot_wrapper.record.collect import ExpertSource, collect
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.evaluation import EVALUATION_FILE, evaluate_run
from parrot_wrapper.rl.logs import STEPS_KEY, read_episodes, training_seconds
from parrot_wrapper.rl.train import train
from parrot_wrapper.training.prior_config import OPTIMISERS, PriorTrainingConfig

FOLDERS = tuple(str(Path(__file__).parents[1] / name) for name in ("benchmarks", "examples"))
PARTS = ("image", "proprio", "state")


@dataclass(frozen=True)
class Ground:
    """An env to measure on.

    Attributes:
        env_id: Its id.
        module: What registers it, of this folder or of the examples.
        episodes: Demonstrations.
        blind: Keywords of `gymnasium.make` for runs that need no images.
        rl: Settings of the run in which it differs from `parrot train`.
    """

    env_id: str
    module: str
    episodes: int
    blind: dict[str, Any] = field(default_factory=dict)
    rl: dict[str, Any] = field(default_factory=dict)


def _mujoco(env_id: str, episodes: int, **rl: Any) -> Ground:
    return Ground(env_id, "mujoco_sight", episodes, {"pixels": 0}, rl)


GROUNDS = {
    "puck": Ground("CoinPuck-v0", "coin_puck", 2_000),
    "magnet": Ground("Magnet-v0", "magnet", 2_000),
    "fetch-reach": _mujoco("SightFetchReach-v0", 600),
    "fetch-pick": _mujoco("SightFetchPickAndPlace-v0", 600),
    "mw-push": _mujoco("SightMW-push-v0", 400, gamma=0.98),
    "mw-coffee-push": _mujoco("SightMW-coffee-push-v0", 400, gamma=0.98),
}


def record(ground: Ground, folder: Path, episodes: int, workers: int) -> None:
    """Demonstrations with an N(0, 0.1) on the expert's actions, and a picture of eight of them."""
    source = ExpertSource(ground.env_id, gym_packages=(ground.module,), noise=0.1)
    report = collect(source, n_episodes=episodes, folder=folder, workers=workers)
    picture = folder.parent / "frames.png"
    if not picture.exists():
        sheet = contact_sheet(load_dataset(folder, n_episodes=min(8, episodes)))
        Image.fromarray(sheet.repeat(2, axis=0).repeat(2, axis=1)).save(picture)
    print(f"{folder}: {report.n_episodes} episodes, {report.keep_rate:.0%} of attempts kept")


def make_prior(data_folder: Path, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """A flow prior that sees the chosen parts alone, and how it was trained."""
    told = folder / "prior-report.json"
    if not told.exists():
        data = load_dataset(data_folder, n_episodes=args.episodes)
        for part in set(data.observations) - set(args.sees):
            del data.observations[part]
        options = {"encoder": args.encoder, "encoder_options": args.encoder_options}
        prior = FlowPrior.for_data(data, seed=args.prior_seed, **options, **args.flow)
        config = PriorTrainingConfig(
            steps=args.prior_steps,
            batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            optimiser=args.optimiser,
            patience=args.patience,
            sight_share=args.sight_share,
            seed=args.prior_seed,
        )
        report = fit_prior(prior, data, config, run_folder=folder / "prior-run")
        prior.save(folder / "prior")
        told.write_text(json.dumps(report.to_dict()))
    return {
        f"prior_{key}": value
        for key, value in json.loads(told.read_text()).items()
        if key in ("steps", "best_step", "validation_nll", "seconds")
    }


def sampled(ground: Ground, prior: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """How often samples of the prior succeed by themselves."""
    told = folder / "samples.json"
    if not told.exists():
        live = load_prior(prior)
        env = gym.make(ground.env_id, disable_env_checker=True, **_keywords(ground, prior))
        result = evaluate(PriorSamples(env, live), env, episodes=args.rollouts)
        told.write_text(json.dumps(result.to_dict()))
        env.close()
    content = json.loads(told.read_text())
    return {"samples": content["success"]["value"], "samples_return": content["mean_return"]}


def learn(ground: Ground, prior: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """SAC on the prior's features: success in training and on held-out episodes."""
    settings = {"prior": prior, "total_steps": args.steps, "seed": args.seed, **ground.rl}
    config = RLConfig(ground.env_id, _keywords(ground, prior), **{**settings, **args.rl})
    run = folder / f"rl-{args.seed}"
    train(config, run, label=f"{folder.parent.name} {folder.name}")
    told = run / EVALUATION_FILE
    if not told.exists() or json.loads(told.read_text())["env_steps"] < args.steps:
        evaluate_run(run, episodes=args.rollouts)
    content = json.loads(told.read_text())
    return {
        "env_steps": content["env_steps"],
        "training": training_curve(run),
        **{name: content[name] for name in ("success", "success_once", "mean_return")},
        "rl_seconds": round(training_seconds(run)),
    }


def _keywords(ground: Ground, prior: str) -> dict[str, Any]:
    return {} if load_prior(prior).observation_spec.image else ground.blind


def training_curve(run: Path, every: int = 2_500) -> list[float]:
    """Share of training episodes with a success at the end, for each `every` env steps."""
    rows = read_episodes(run)
    steps = np.array([row[STEPS_KEY] for row in rows])
    done = np.array([row["success"] for row in rows], float)
    blocks = (steps - 1) // every
    return [round(float(done[blocks == block].mean()), 2) for block in np.unique(blocks)]


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing, and print and store the row."""
    args = _arguments(argv)
    if args.envs:
        print("\n".join(f"{name}: {ground.env_id}" for name, ground in GROUNDS.items()))
        return
    os.environ.setdefault("MUJOCO_GL", "egl")
    sys.path[:0] = FOLDERS
    ground = GROUNDS[args.env]
    importlib.import_module(ground.module)
    args.episodes = args.episodes or ground.episodes
    root = args.out / args.env
    record(ground, root / "data", args.episodes, args.workers)
    if args.only_data:
        return
    folder = root / (args.name or "-".join([*args.sees, args.encoder]).removesuffix("-auto"))
    folder.mkdir(parents=True, exist_ok=True)
    row = {"env": args.env, "name": folder.name, "episodes": args.episodes, "seed": args.seed}
    row |= {} if args.prior else make_prior(root / "data", folder, args)
    prior = args.prior or str(folder / "prior")
    row |= sampled(ground, prior, folder, args)
    row |= learn(ground, prior, folder, args)
    print(json.dumps(row))
    with (args.out / "rows.jsonl").open("a") as rows:
        rows.write(json.dumps(row) + "\n")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("env", nargs="?", choices=GROUNDS, default="puck")
    parser.add_argument("--envs", action="store_true", help="list the envs, and do nothing")
    parser.add_argument("--out", type=Path, default=Path("runs/foreign"))
    parser.add_argument("--name", default="", help="folder of this prior and its runs")
    parser.add_argument("--only-data", action="store_true", help="record, and no more")
    parser.add_argument("--episodes", type=int, default=0, help="0 for the env's own number")
    parser.add_argument("--workers", type=int, default=1, help="processes that record")
    parser.add_argument("--sees", nargs="+", choices=PARTS, default=["image"])
    parser.add_argument("--encoder", default="auto")
    parser.add_argument("--encoder-options", type=json.loads, default={}, help="as JSON")
    parser.add_argument("--flow", type=json.loads, default={}, help="its sizes, as JSON")
    parser.add_argument("--prior", default="", help="a prior's folder, instead of training one")
    parser.add_argument("--prior-steps", type=int, default=10_000)
    parser.add_argument("--sight-share", type=float, default=0.3, help="of the steps, for images")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--optimiser", choices=OPTIMISERS, default="muon")
    parser.add_argument("--patience", type=int, default=0, help="validations; 0 for all steps")
    parser.add_argument("--prior-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=25_000, help="env steps of SAC")
    parser.add_argument("--seed", type=int, default=0, help="of SAC")
    parser.add_argument("--rl", type=json.loads, default={}, help="further RL settings, as JSON")
    parser.add_argument("--rollouts", type=int, default=100)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
