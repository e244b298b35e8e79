"""Write the generated parts of docs/environments.md: `python docs/make_tables.py`.

They come from the table of ids, the class's docstring and signature, the live spaces and the lists
of things. Each stands between `<!-- made by docs/make_tables.py: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import gymnasium as gym

import parrot_envs
from parrot_envs.containers import novel_containers, training_containers
from parrot_envs.env import ManipulationEnv, ObservationMode
from parrot_envs.novel_objects import novel_objects
from parrot_envs.registration import PAPER_TASKS, TABLE
from parrot_envs.scene_sets import SCENE_SETS, SceneSet
from parrot_envs.training_objects import TRAINING_FAMILIES, VARIANTS_PER_FAMILY

PAGE = Path(__file__).with_name("environments.md")
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


def rewritten(text: str) -> str:
    """The page with all generated parts made anew."""
    makers = {maker.__name__: maker for maker in (ids, interface, spaces, options, things)}
    return SECTION.sub(lambda m: m["head"] + makers[m["name"]]() + "\n" + m["tail"], text)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
