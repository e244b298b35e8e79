"""Run a script of RL Baselines3 Zoo after importing the packages that register its envs.

`python -m parrot_wrapper.rl_zoo record_video --gym-packages parrot_envs --env ParrotGraspCup-v0
...`: the zoo's `train` and `enjoy` take `--gym-packages` themselves, `record_video`,
`record_training` and `push_to_hub` do not.
"""

from __future__ import annotations

import argparse
import runpy
import sys

from parrot_wrapper.registry import import_packages


def main() -> None:
    """Take `--gym-packages` out of the command line, import them, and run the script."""
    parser = argparse.ArgumentParser(prog="python -m parrot_wrapper.rl_zoo", add_help=False)
    parser.add_argument("script")
    parser.add_argument("--gym-packages", nargs="+", default=[])
    args, rest = parser.parse_known_args()
    import_packages(args.gym_packages)
    sys.argv = [args.script, *rest]
    runpy.run_module(f"rl_zoo3.{args.script}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
