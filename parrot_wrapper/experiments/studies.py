"""The paper's studies and one of the agent's settings as named grids, each in three settings.

`ci` asks whether it runs at all, in a minute. `laptop` has twenty times fewer env steps than the
paper; all methods share the frozen features of a flow prior, so that what differs is how each uses
the data for acting. `paper` is what Singh et al. (2021) state: everything from pixels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from parrot_wrapper.errors import require_known
from parrot_wrapper.experiments import behaviour_studies
from parrot_wrapper.experiments.artifacts import PriorData
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.methods import AGENTS, BASELINES, EXPLORERS, METHODS, Method

_PARROT = METHODS["parrot"]
SETTINGS = ("ci", "laptop", "paper")

GRASP_TASKS = (
    "ParrotGraspBar-v0",
    "ParrotGraspSculpture-v0",
    "ParrotGraspCup-v0",
    "ParrotGraspCap-v0",
)
PLACE_TASKS = (
    "ParrotPlaceCanInPan-v0",
    "ParrotPlaceSculptureInBasket-v0",
    "ParrotPlaceChairOnCheckerboard-v0",
    "ParrotPlaceCapOnBlock-v0",
)

_COLLECT: Mapping[str, Any] = {"env_id": "ParrotMultiTask-v0"}
_STRAY: Mapping[str, Any] = {**_COLLECT, "stray_steps": 6}
_SHARED_DATA = "datasets/multitask"
_TINY_COLLECT: Mapping[str, Any] = {**_COLLECT, "shard_attempts": 8}
_TINY_STEPS = 20

_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "ci": {
        "rl_seeds": (0,),
        "prior": "",
        "prior_options": {
            "encoder": "convolutional",
            "encoder_options": ["channels=4", "hidden=16", "embedding=16"],
            "hidden": 16,
            "steps": _TINY_STEPS,
            "batch_size": 16,
            "validation_batches": 1,
        },
        "baseline_options": {kind: {"steps": _TINY_STEPS} for kind in BASELINES},
        "rl": {"learning_starts": 25, "batch_size": 16, "checkpoint_every": 50},
        "env_steps": 75,
        "evaluation_episodes": 2,
    },
    "laptop": {
        "prior": "parrot-v0",  # of which rows were published
        "rl": {"batch_size": 128},  # a third more steps in the same time, see docs/results.md
    },
    "paper": {
        "baseline_options": {kind: {"preset": "paper"} for kind in BASELINES},
        "prior": "",
        "prior_options": {
            "encoder": "convolutional",
            "steps": 500_000,
            "learning_rate": 1e-4,
            "final_learning_rate": 1.0,
            "warmup_steps": 0,
            "ema_decay": 0.0,
            "patience": 0,
        },
        "shared_encoder": False,
        "preset": "paper",
        "env_steps": 500_000,
    },
}
"""What a setting is in every study."""

_REWARDED: Mapping[str, Any] = {"kind": "rewarded", "share": 0.5}

_BROAD: Mapping[str, Any] = {
    "kind": "broad",
    "share": 0.8,
    "idle": 0.12,
    "motion": [0, 1, 2],
    "spread": [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 1.0],
}
"""Where the prior would rest, mostly free movement, hardly turned."""

_REDIRECTED: Mapping[str, Any] = {"kind": "redirected", "share": 0.8}

_BROAD_THERE: Mapping[str, Any] = {
    "kind": "broad",
    "share": 0.5,
    "idle": 0.3,
    "motion": [0, 1, 2],
    "spread": [0.3, 0.3, 0.3, 0.1, 0.1, 0.1, 1.0],
}
"""Where the redirected prior would rest, over the container: small movements, and the gripper."""

_LAPTOP_PRIOR: Mapping[str, Any] = {
    "prior": "",
    "prior_options": {"steps": 12_000, "batch_size": 128, "learning_rate": 5e-4, "patience": 0},
}
"""For studies that vary the data: priors from scratch, each with the same budget."""


_AGENTS: Mapping[str, Mapping[str, Any]] = {
    "kl-2": {"kl": 2.0},
    "kl-10": {"kl": 10.0},
    "entropy-of-sb3": {"kl": None},
    "box-2": {"latent": "box:2.0", "kl": None},
    "gamma-0.9": {"gamma": 0.9},
    "gamma-0.99": {"gamma": 0.99},
    "3-step": {"replay": {"kind": "uniform", "n_steps": 3}},
    "2-updates": {"gradient_steps": 2},
    "rewarded-half": {"replay": _REWARDED},
    "demos-half": {"replay": {"kind": "demonstrations", "share": 0.5}},
    "fixed-0.05": {"ent_coef": 0.05},
    "batch-256": {"batch_size": 256},
    "no-layer-norm": {"layer_norm": False},
    "pixels": {"observation": "image"},
    "10-critics": {"n_critics": 10},
    "kl-warmup": {"kl_warmup": 5_000},
    "action-critic": {"critic": "actions"},
}
"""What the `agent` study changes, one thing in each."""


def _main(setting: str) -> Grid:
    """Figure 5: eight tasks, seven methods."""
    data = {
        "ci": PriorData(48, collect=_TINY_COLLECT),
        "laptop": PriorData(30_000, folder=_SHARED_DATA, collect=_STRAY),
        "paper": PriorData(50_000, collect=_COLLECT),
    }
    return Grid(
        "main",
        setting,
        tasks=_few(setting, (*GRASP_TASKS, *PLACE_TASKS)),
        methods=AGENTS,
        data=(data[setting],),
        **_FIELDS[setting],
    )


def _packaged(setting: str) -> Grid:
    """The prior that was taught without labels, on the tasks of `main`; HIRL sees its features."""
    whole = _main(setting)
    return replace(
        whole,
        name="packaged",
        methods=tuple(METHODS[name] for name in ("parrot", "hirl", "sac")),
        prior="parrot-v1" if setting == "laptop" else whole.prior,
    )


def _data_size(setting: str) -> Grid:
    """Figure 6: how many trajectories a prior needs, on the grasp tasks."""
    shorter = {**_LAPTOP_PRIOR, "env_steps": 10_000} if setting == "laptop" else {}
    sizes = {"5k": 5_000, "10k": 10_000, "25k": 25_000, "50k": 50_000}
    made = {
        "ci": lambda name, size: PriorData(size // 1_000, name, collect=_TINY_COLLECT),
        "laptop": lambda name, size: PriorData(size, name, _SHARED_DATA, collect=_STRAY),
        "paper": lambda name, size: PriorData(size, name, collect=_COLLECT),
    }
    return Grid(
        "data-size",
        setting,
        tasks=_few(setting, GRASP_TASKS),
        methods=(_PARROT,),
        data=tuple(made[setting](name, size) for name, size in sizes.items()),
        **{**_FIELDS[setting], **shorter},
    )


def _mismatch(setting: str) -> Grid:
    """Figure 7: priors of grasping only, of pick-and-place only and of both, on both kinds.

    That of grasping also in a mixture, for what it never saw, with half of each batch from the rare
    episodes that had a reward: with uniform actions where it rests, with its own reaching turned to
    the container, or with both. On a laptop all see through one encoder.
    """
    collect = {"ci": _TINY_COLLECT, "laptop": _STRAY, "paper": _COLLECT}[setting]
    episodes = {"ci": 16, "laptop": 10_000, "paper": 50_000}[setting]
    options: dict[str, list[str]] = {
        "grasp-only": ["task=grasp"],
        "place-only": ["task=place"],
        "both": [],
    }
    data = tuple(
        PriorData(
            episodes,
            name,
            collect={**collect, **({"env_kwargs": kwargs} if kwargs else {})},
            labels={"prior_data": name},
        )
        for name, kwargs in options.items()
    )
    if setting == "laptop":
        data = (*data[:-1], replace(data[-1], folder=_SHARED_DATA))
    tasks = {
        "ci": PLACE_TASKS[:1],
        "laptop": (GRASP_TASKS[2], *PLACE_TASKS),
        "paper": (*GRASP_TASKS, *PLACE_TASKS),
    }
    seeing = {"prior": "", "prior_encoder": "parrot-v0"} if setting == "laptop" else {}
    remedies: dict[str, dict[str, Any]] = {"broad": {"mixtures": [_BROAD]}}
    if setting == "laptop":  # needs features that say what is where
        remedies["redirected"] = {"mixtures": [_REDIRECTED]}
        remedies["redirected-broad"] = {"mixtures": [_REDIRECTED, _BROAD_THERE]}
    return Grid(
        "mismatch",
        setting,
        tasks=tasks[setting],
        methods=(
            _PARROT,
            *(
                _PARROT.variant(name, ("grasp-only",), **rl, replay=_REWARDED)
                for name, rl in remedies.items()
            ),
        ),
        data=data,
        **{**_FIELDS[setting], **seeing},
    )


def _agent(setting: str) -> Grid:
    """Sample efficiency, not of the paper: the default agent with one setting changed.

    On the two tasks that take it longest, with few env steps, where there is room to be better.
    """
    names = list(_AGENTS)[:2] if setting == "ci" else list(_AGENTS)
    own: dict[str, dict[str, Any]] = {
        "ci": {},
        "laptop": {"env_steps": 10_000},
        "paper": {"preset": "features"},
    }
    return replace(
        _main(setting),
        name="agent",
        tasks=_few(setting, (GRASP_TASKS[3], PLACE_TASKS[2])),
        methods=(_PARROT, *(_PARROT.variant(name, **_AGENTS[name]) for name in names)),
        **own[setting],
    )


_BOUNDS: Mapping[str, Mapping[str, Any]] = {
    **{f"ball-{mass}": {"latent": f"ball:{mass}"} for mass in (0.99, 0.9, 0.5)},
    "likely-0.9": {"mixtures": [{"kind": "likely", "share": 0.9}]},
}
"""What the `safety` study bounds the prior by."""


def _safety(setting: str) -> Grid:
    """Unsafe events in the first env steps, not of the paper: bounds on the prior against none."""
    whole = _main(setting)
    return replace(
        whole,
        name="safety",
        tasks=_few(setting, (GRASP_TASKS[2], PLACE_TASKS[0])),
        methods=(
            _PARROT,
            METHODS["sac"],
            *(_PARROT.variant(name, **settings) for name, settings in _BOUNDS.items()),
        ),
        env_steps=min(whole.env_steps, 10_000),
    )


def _exploration(setting: str) -> Grid:
    """Figure 4, counted: in how many episodes random behaviour lifts or places anything."""
    return replace(
        _main(setting),
        name="exploration",
        kind="exploration",
        methods=EXPLORERS,
        rl_seeds=(0,),
    )


_CHUNKS: Mapping[str, Mapping[str, Any]] = {
    f"chunk-{steps}{'-replanned' if replan else ''}": {
        "kind": "chunk", "horizon": steps, "replan": replan,
    }
    for steps in (2, 5, 10) for replan in (False, True)
}  # fmt: skip
_PRIORS: Mapping[str, Mapping[str, Any]] = {
    "flow": {},
    "cvae": {},
    **_CHUNKS,
    "flow-matching-1": {"kind": "flow-matching", "horizon": 1},
    "flow-matching-5": {"kind": "flow-matching", "horizon": 5},
    "mean-flow-5": {"kind": "mean-flow", "horizon": 5},
    "skill": {"horizon": 10},
    "trajectory": {},
}
"""What the `priors` study compares: options of `parrot train-prior` for each."""


def _priors(setting: str) -> Grid:
    """Kinds of priors, not of the paper: the same data and features, one agent each.

    On two grasp and two place tasks, the harder ones of each. An agent makes as many updates as
    there are env steps, whatever a decision drives.
    """
    few = ("flow", "chunk-2-replanned", "skill")
    names = few if setting == "ci" else tuple(_PRIORS)
    usual: Mapping[str, Mapping[str, Any]] = {
        "ci": {"steps": _TINY_STEPS},
        "laptop": {},
        "paper": {"preset": "paper"},
    }
    options = {name: {**usual[setting], **_PRIORS[name]} for name in names}
    judged = {"ci": 2, "laptop": 300, "paper": 600}
    tasks = (*GRASP_TASKS[2:], *PLACE_TASKS[2:])
    return replace(
        _main(setting),
        name="priors",
        tasks=_few(setting, tasks),
        methods=tuple(_of_prior(name) for name in names),
        rl_seeds=(0,),
        baseline_options=options,
        judge_episodes=judged[setting],
    )


_TEACHERS: Mapping[str, Mapping[str, float]] = {
    "hindsight": {},
    "likelihood-alone": dict.fromkeys(
        ("odometry", "motion", "toggle", "soon", "speed", "keyframe", "mass", "contrast"), 0.0
    ),
    **{
        f"no-{teacher}": {teacher: 0.0}
        for teacher in ("keyframe", "odometry", "motion", "soon", "contrast")
    },
    **{f"with-{teacher}": {teacher: 1.0} for teacher in ("horizon", "dynamics", "reconstruction")},
}
"""What the `sight` study teaches the default encoder of images: weights that are not its own."""


def _sight(setting: str) -> Grid:
    """Teachers of the encoder, not of the paper: one added or left out each, on one task.

    Priors from scratch, short and of few data, each judged before RL.
    """
    names = list(_TEACHERS)[:2] if setting == "ci" else list(_TEACHERS)
    steps: Mapping[str, Mapping[str, Any]] = {
        "ci": {"steps": 2 * _TINY_STEPS, "batch_size": 16},
        "laptop": {"steps": 12_000, "sight_share": 0.25, "patience": 0},
        "paper": {"steps": 60_000, "sight_share": 0.25, "patience": 0},
    }
    options: Mapping[str, Mapping[str, Any]] = {
        name: {
            "kind": "flow",
            "encoder_options": [f"teachers={json.dumps(_TEACHERS[name])}"],
            **steps[setting],
        }
        for name in names
    }
    whole = _main(setting)
    return replace(
        whole,
        name="sight",
        tasks=GRASP_TASKS[2:3],
        methods=tuple(Method(name, prior=name) for name in names),
        data=(replace(whole.data[0], episodes=min(10_000, whole.data[0].episodes)),),
        rl_seeds=(0,),
        baseline_options=options,
        shared_encoder=False,
        env_steps=15_000 if setting == "laptop" else whole.env_steps,
        judge_episodes={"ci": 4}.get(setting, 300),
    )


def _of_prior(name: str) -> Method:
    steps = _PRIORS[name].get("horizon", 25 if name == "trajectory" else 1)
    label = name.replace("-", " ").capitalize()
    return Method(name, label, prior=name, settings={"gradient_steps": steps})


_STUDIES: Mapping[str, Callable[[str], Grid]] = MappingProxyType(
    {
        "main": _main,
        "data-size": _data_size,
        "mismatch": _mismatch,
        "agent": _agent,
        "exploration": _exploration,
        "packaged": _packaged,
        "priors": _priors,
        "sight": _sight,
        "safety": _safety,
        "information": behaviour_studies.information,
    }
)
STUDIES = tuple(_STUDIES)
"""Names of the studies."""


def study_grid(study: str, setting: str) -> Grid:
    """The grid of a study.

    Raises:
        UnknownNameError: No such study or setting; the nearest is named.

    Example:
        >>> grid = study_grid("main", "laptop")
        >>> len(grid.runs()), grid.runs()[0].id
        (168, 'ParrotGraspBar-v0/parrot/p0/r0')
    """
    require_known("study", [study], STUDIES)
    require_known("setting", [setting], SETTINGS)
    return _STUDIES[study](setting)


def _few(setting: str, tasks: tuple[str, ...]) -> tuple[str, ...]:
    """One task is enough to see whether it runs at all."""
    return (GRASP_TASKS[2],) if setting == "ci" else tasks
