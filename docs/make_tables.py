"""Write the generated parts of the README and of docs/*.md: `python docs/make_tables.py`.

Those of environments come from the table of ids, the class's docstring and signature, the live
spaces and the lists of things; those of results from the rows in results/. Each stands between
`<!-- made by docs/make_tables.py: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import get_args

import gymnasium as gym
import numpy as np

import parrot_envs
from parrot_envs.containers import novel_containers, training_containers
from parrot_envs.env import ManipulationEnv, ObservationMode
from parrot_envs.novel_objects import novel_objects
from parrot_envs.registration import PAPER_TASKS, TABLE
from parrot_envs.scene_sets import SCENE_SETS, SceneSet
from parrot_envs.training_objects import TRAINING_FAMILIES, VARIANTS_PER_FAMILY
from parrot_wrapper.experiments.figure_style import drawing, save_png
from parrot_wrapper.experiments.figures import plates
from parrot_wrapper.experiments.rows import ResultRow, Share
from parrot_wrapper.experiments.statistics import estimate_iqm
from parrot_wrapper.experiments.studies import GRASP_TASKS, PLACE_TASKS, study_grid
from parrot_wrapper.experiments.study import Study, Variant, load_studies

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
SECTION = re.compile(
    r"(?P<head><!-- made by docs/make_tables.py: (?P<name>\w+) -->\n).*?(?P<tail><!-- end -->)",
    re.S,
)


def table(header: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ids() -> str:
    """One row for each registered id."""
    header = ["id", "task", "target", "objects on the table", "container", "in the paper"]
    rows = []
    for env_id, entry in TABLE.items():
        scene = SCENE_SETS[entry.scene]
        task = "grasp or place" if entry.task == "any" else entry.task
        container = _one_of([thing.name for thing in scene.containers])
        paper = "yes" if env_id in PAPER_TASKS else ""
        objects = _objects(scene, entry.target)
        rows.append([f"`{env_id}`", task, entry.target or "any", objects, container, paper])
    return table(header, rows)


def interface() -> str:
    """What the class's docstring says before its arguments, without the summary line."""
    body = inspect.getdoc(ManipulationEnv).split("\nArgs:\n")[0]
    return body.split("\n", 1)[1].strip()


def spaces() -> str:
    """The spaces of an env as it is made by default, and in each observation mode."""
    rows = []
    for mode in get_args(ObservationMode):
        env = gym.make(parrot_envs.ENV_IDS[0], obs=mode)
        space = env.observation_space
        parts = space.spaces if isinstance(space, gym.spaces.Dict) else {"": space}
        for key, box in parts.items():
            shape = f"`{box.shape}` {box.dtype}, {box.low.min():g} to {box.high.max():g}"
            rows.append([f'`obs="{mode}"`', f"`{key}`" if key else "", shape])
        env.close()
    return table(["mode", "key", "`env.observation_space`"], rows)


def options() -> str:
    """Every argument of `gym.make` with its default, from the signature and the docstring."""
    defaults = inspect.signature(ManipulationEnv).parameters
    arguments = inspect.getdoc(ManipulationEnv).split("\nArgs:\n")[1].split("\n\n")[0]
    told = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", arguments, re.S | re.M)
    assert [name for name, _ in told] == [*defaults], "the docstring names other arguments"
    return table(
        ["option", "default", "meaning"],
        [[f"`{n}`", f"`{defaults[n].default!r}`", " ".join(text.split())] for n, text in told],
    )


def things() -> str:
    """The names of all objects and containers that are built from primitives."""
    first = next(iter(TRAINING_FAMILIES))
    lists = {
        f"Training families, {VARIANTS_PER_FAMILY} variants of each, `{first}-0` to "
        f"`{first}-{VARIANTS_PER_FAMILY - 1}`": TRAINING_FAMILIES,
        "Novel objects": novel_objects(),
        "Training containers": [thing.name for thing in training_containers()],
        "Novel containers": novel_containers(),
    }
    return "\n".join(f"- {told}: {', '.join(names)}." for told, names in lists.items())


def _objects(scene: SceneSet, target: str | None) -> str:
    names = [thing.name for thing in scene.objects if thing.name != target]
    if target is None:
        return f"two of {len(names)}, {scene.colors} colours"
    return f"{target}, {_one_of(names)}"


def _one_of(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"one of {len(names)}"


_STUDY_TASKS = (*GRASP_TASKS, *PLACE_TASKS)
_METHODS = {
    "parrot": "PARROT",
    "hirl": "HIRL",
    "prior-explore": "Prior-explore",
    "trajrl": "TrajRL",
    "bc-sac": "BC-SAC",
    "vae-features": "VAE-features",
    "sac": "SAC, same features",
}
_MISMATCH = {
    "prior of grasping only": {"data": "grasp-only"},
    "of pick-and-place only": {"data": "place-only"},
    "of both": {"data": "both"},
}
_WAYS_OUT = {
    "grasp-only prior": "parrot",
    "with `BroadMixture`": "parrot+broad",
    "with `RedirectedMixture`": "parrot+redirected",
    "with both": "parrot+redirected-broad",
}
Runs = Sequence[ResultRow]


@cache
def _study(name: str) -> Study:
    (study,) = load_studies([ROOT / "results" / f"{name}-laptop"])
    return study


def _iqm(study: str, variant: Variant) -> str:
    return str(estimate_iqm(_study(study).scores(variant)))


def _chosen(study: str, task: str = "", method: str = "", data: str = "", size: int = 0) -> Runs:
    """Rows in order of seed."""
    return [
        row
        for row in sorted(_study(study).rows, key=lambda row: row.rl_seed)
        if task in ("", row.task)
        and method in ("", row.method)
        and data in ("", row.labels.get("prior_data", ""))
        and size in (0, row.data_episodes)
    ]


def _seeds(runs: Runs) -> str:
    return ", ".join(f"{row.score.value:.2f}" for row in runs)


def _interval(share: Share) -> str:
    return f"{share.value:.2f} [{share.low:.2f}, {share.high:.2f}]"


def _mean(runs: Runs) -> str:
    return f"{np.mean([row.score.value for row in runs]):.2f}"


def _in_training(runs: Runs, after: int = 0) -> str:
    """Mean success of training episodes in the bins that end after some env step."""
    return f"{np.mean([rate for row in runs for step, rate in row.curve if step > after]):.2f}"


def _ever(task: str) -> str:
    return f"{_chosen('exploration', task, 'parrot')[0].success_once.value:.2f}"


def _by_task(
    tasks: Iterable[str], columns: Mapping[str, Callable[[str], str]], first: str = "task"
) -> str:
    rows = [[f"`{task}`", *(cell(task) for cell in columns.values())] for task in tasks]
    return table([first, *columns], rows)


def samples() -> str:
    """What samples of the packaged prior do in each task."""

    def share(name: str, task: str) -> str:
        return _interval(getattr(_chosen("exploration", task, "parrot")[0], name))

    names = {
        "any lifted": "lifted",
        "any placed": "placed",
        "the task, at some time": "success_once",
    }
    return _by_task(_STUDY_TASKS, {told: partial(share, name) for told, name in names.items()})


def main_seeds() -> str:
    """Success of each run of the main study."""
    columns = {
        name: lambda task, m=method: _seeds(_chosen("main", task, m))
        for method, name in _METHODS.items()
    }
    return _by_task(_STUDY_TASKS, {"samples of the prior, at some time": _ever, **columns})


def main_summary() -> str:
    """One row for each method of the main study, over all tasks."""
    rows = []
    for method, name in _METHODS.items():
        runs = _chosen("main", method=method)
        means = [np.mean([r.score.value for r in runs if r.task == task]) for task in _STUDY_TASKS]
        rows.append(
            [name, _iqm("main", Variant(method)), f"{np.mean(means):.2f}", f"{min(means):.2f}"]
        )
    return table(["method", "success, interquartile mean", "mean", "lowest task"], rows)


def packaged() -> str:
    """Success with each of the packaged priors."""
    columns = {
        "`parrot-v0`, three seeds": lambda task: _seeds(_chosen("main", task, "parrot")),
        "`parrot-v1`, one seed": lambda t: _interval(_chosen("packaged", t, "parrot")[0].score),
        "in training": lambda task: _in_training(_chosen("packaged", task, "parrot"), 20_000),
    }
    return _by_task(_STUDY_TASKS, columns)


def data_size() -> str:
    """Success of each run against the number of trajectories."""
    sizes = sorted({row.data_episodes for row in _study("data-size").rows})
    columns = {
        f"{n:,}": lambda task, n=n: _seeds(_chosen("data-size", task, size=n)) for n in sizes
    }
    return _by_task(GRASP_TASKS, columns, "task, by number of trajectories")


def data_size_summary() -> str:
    """The same over tasks, and at the end of training."""
    sizes = sorted({row.data_episodes for row in _study("data-size").rows})
    runs = [_chosen("data-size", size=size) for size in sizes]
    main = [row for row in _chosen("main", method="parrot") if row.task in GRASP_TASKS]
    at_that_time = [replace(row, curve=row.curve[:10]) for row in main]
    return table(
        ["", *(f"{size:,}" for size in sizes), "`parrot-v0` (main study)"],
        [
            [
                "success, interquartile mean",
                *(_iqm("data-size", Variant("parrot", size)) for size in sizes),
                "",
            ],
            [
                "success in training, 7,000 to 10,000 env steps",
                *(_in_training(part, 7_000) for part in (*runs, at_that_time)),
            ],
        ],
    )


def mismatch() -> str:
    """Success of each run of the mismatch study, the ways out aside."""
    columns = {
        name: lambda task, chosen=chosen: _seeds(_chosen("mismatch", task, "parrot", **chosen))
        for name, chosen in _MISMATCH.items()
    }
    return _by_task((GRASP_TASKS[2], *PLACE_TASKS), columns)


def ways_out() -> str:
    """Success of each run of the mismatch study with the prior of grasping only."""
    columns = {
        name: lambda task, m=method: _seeds(_chosen("mismatch", task, m, "grasp-only"))
        for name, method in _WAYS_OUT.items()
    }
    return _by_task((GRASP_TASKS[2], *PLACE_TASKS), columns)


def agent() -> str:
    """Success of each run of the study of the agent's settings, and in all of training."""
    tasks = {"grasp cap": GRASP_TASKS[3], "chair on checkerboard": PLACE_TASKS[2]}
    rows = []
    for method in study_grid("agent", "laptop").methods:
        if not _chosen("agent", method=method.name):
            continue  # a change that came later and has no rows yet
        cells = [method.name.partition("+")[2] or "none (the default)"]
        for task in tasks.values():
            runs = _chosen("agent", task, method.name)
            cells += [f"{_seeds(runs)} ({_mean(runs)})", _in_training(runs)]
        rows.append(cells)
    return table(["change", *(cell for task in tasks for cell in (task, "in training"))], rows)


MAKERS = {
    maker.__name__: maker
    for maker in (
        *(ids, interface, spaces, options, things),
        *(samples, main_seeds, main_summary, packaged, data_size, data_size_summary),
        *(mismatch, ways_out, agent),
    )
}


def rewritten(text: str) -> str:
    """A page with all generated parts made anew."""
    return SECTION.sub(lambda m: m["head"] + MAKERS[m["name"]]() + "\n" + m["tail"], text)


def write_picture() -> None:
    """Learning curves of the main study."""
    study = _study("main")
    with drawing():
        (curves,) = (plate for plate in plates(study) if plate.name == "task-curves")
        save_png(curves.draw(study), ROOT / "docs" / "images" / "main-task-curves.png")


if __name__ == "__main__":
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        if SECTION.search(before):
            page.write_text(rewritten(before), encoding="utf-8")
    write_picture()
