"""Studies of what a prior knows, on point masses: what it sees, and what it costs an agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parrot_wrapper.experiments.artifacts import PriorData
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.methods import METHODS, Method

_BOX = "ParrotMoveBox-v0"
_SIGHT: Mapping[str, tuple[str, ...]] = {
    "targets": ("proprio", "box", "targets"),
    "all": ("proprio", "box", "targets", "task"),
    "box": ("proprio", "box"),
    "proprio": ("proprio",),
}
"""What each prior of the `information` study sees, by its name."""

_AGENT: Mapping[str, Any] = {
    "observation": "image",  # the env's own, all of it
    "kl": None,
    "ent_coef": 0.02,
    "gamma": 0.98,
    "batch_size": 256,
    "train_freq": 4,
    "learning_starts": 2_000,
}
"""The entropy coefficient is fixed: what an agent spends in nats is then its own choice."""


def information(setting: str) -> Grid:
    """Priors that see more and more of the box task, and no prior; the agent sees all."""
    tiny = setting == "ci"
    options: dict[str, Any] = {"kind": "flow", **({"steps": 20} if tiny else {})}
    less = {"learning_starts": 25, "batch_size": 16} if tiny else {}
    return Grid(
        "information",
        setting,
        tasks=(_BOX,),
        methods=(
            *(Method(name, f"Prior sees {name}", prior=name) for name in _SIGHT),
            METHODS["sac"],
        ),
        rl_seeds=(0,) if tiny else (0, 1, 2),
        data=(PriorData(8 if tiny else 2_000, collect=_collect(_BOX)),),
        prior="",
        shared_encoder=False,
        baseline_options={name: {**options, "sees": list(seen)} for name, seen in _SIGHT.items()},
        env_kwargs={"obs": "keys"},
        rl={**_AGENT, **less},
        env_steps={"ci": 75, "laptop": 20_000, "paper": 500_000}[setting],
        evaluation_episodes=2 if tiny else 50,
    )


def _collect(env_id: str) -> dict[str, Any]:
    return {"env_id": env_id, "env_kwargs": ["obs=keys"]}
