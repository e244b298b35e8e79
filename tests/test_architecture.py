"""Imports point one way, files stay small, and importing the package needs no extra."""

import ast
import importlib
import inspect
import pydoc
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("parrot_wrapper", "parrot_envs", "parrot_table")
MAX_LINES = 450

# Folders and files of parrot_wrapper from the lowest on: each imports from those above it in this
# list only, and of other distributions what stands beside it; None: whatever an extra brings.
LAYERS: dict[str, set[str] | None] = {
    "errors": set(),
    "types": {"numpy"},
    "surroundings": {"numpy", "torch"},
    "lazy_names": set(),
    "registry": set(),
    "image_layout": {"numpy"},
    "checks": {"numpy"},
    "io": {"filelock", "fsspec", "ray", "submitit", "wandb"},
    "latent": {"numpy", "scipy"},
    "priors": {"numpy", "scipy", "torch", "safetensors", "lerobot", "huggingface_hub"},
    "data": {"numpy", "h5py", "minari", "pyarrow", "av", "PIL"},
    "wrappers": {"numpy", "gymnasium", "stable_baselines3", "typing_extensions"},
    "record": {"numpy", "gymnasium", "tqdm"},
    "training": {"numpy", "torch", "safetensors", "tqdm", "tensorboard"},
    "evaluation": None,
    "rl": None,
    "rl_zoo": None,
    "experiments": None,
    "cli": None,
    "__main__": set(),
}
ABOVE_SB3 = ("wrappers/vec_wrapper", "wrappers/stateful_observations")
"""Of the wrappers, these alone may name Stable-Baselines3."""
OF_THE_TABLE = re.compile(r"container|gripper|redirected", re.IGNORECASE)
MAY_NAME_THE_TABLE = {"evaluation/recordings", "experiments/studies"}
"""What our envs call the label of a hand, methods of our own studies."""
PLUG_IN_MAY_IMPORT = {"numpy", "torch", "parrot_wrapper"}
PARTS_FOR_PLUG_INS = {"errors", "types", "surroundings", "checks", "priors"}
ENVS_MAY_IMPORT = {"gymnasium", "numpy", "pybullet", "pybullet_data", "pybullet_utils"}


def modules() -> list[Path]:
    return sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))


def named(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path, tree: ast.AST | None = None) -> Iterator[str]:
    """Dotted names that a file imports anywhere, functions included."""
    package = named(path).split(".") if path.name == "__init__.py" else named(path).split(".")[:-1]
    for node in ast.walk(tree or parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *filter(None, [node.module])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def foreign(path: Path) -> set[str]:
    tops = {name.split(".")[0] for name in imported(path)}
    return tops - set(sys.stdlib_module_names) - {named(path).split(".")[0]}


def parts_used(path: Path) -> set[str]:
    """Parts of parrot_wrapper that a file imports, such as "priors"."""
    names = (name.split(".") for name in imported(path))
    return {name[1] for name in names if name[0] == "parrot_wrapper" and len(name) > 1}


@pytest.mark.parametrize("path", modules(), ids=named)
def test_imports_point_one_way(path):
    package, *rest = named(path).split(".")
    if package == "parrot_envs":
        assert foreign(path) <= ENVS_MAY_IMPORT
        return
    if package == "parrot_table":
        assert foreign(path) <= PLUG_IN_MAY_IMPORT
        assert parts_used(path) <= PARTS_FOR_PLUG_INS
        return
    assert "parrot_table" not in foreign(path)
    if not rest:
        return  # the package itself names everything, lazily; the bare import below holds it
    below = list(LAYERS)[: list(LAYERS).index(rest[0]) + 1]
    assert parts_used(path) - {"__version__"} <= set(below)
    allowed = LAYERS[rest[0]]
    assert allowed is None or foreign(path) - {"parrot_wrapper"} <= allowed
    assert rest[0] == "cli" or "parrot_envs" not in foreign(path)
    if rest[0] == "wrappers" and "/".join(rest) not in ABOVE_SB3:
        assert "stable_baselines3" not in foreign(path)


@pytest.mark.parametrize("path", sorted((ROOT / "parrot_wrapper").rglob("*.py")), ids=named)
def test_what_knows_the_table_stands_beside(path):
    place = path.relative_to(ROOT / "parrot_wrapper").with_suffix("").as_posix()
    found = OF_THE_TABLE.search(path.read_text(encoding="utf-8"))
    assert found is None or place in MAY_NAME_THE_TABLE, found


def test_no_import_cycles():
    known = {named(path): path for path in modules()}
    ahead: dict[str, set[str]] = {}
    for name, path in known.items():
        top = ast.Module([node for node in parsed(path).body if not isinstance(node, ast.If)], [])
        targets = set(imported(path, top)) & set(known) - {name}
        # `from package import module` needs the package only where it names something else.
        ahead[name] = {t for t in targets if not any(u.startswith(f"{t}.") for u in targets)}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in ahead[name]:
                visit(target, (*trail, name))
            done.add(name)

    done: set[str] = set()
    for name in known:
        visit(name, ())


def test_files_stay_small_and_libraries_print_nothing():
    for path in modules():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES, named(path)
        calls = (node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call))
        printed = any(getattr(call.func, "id", "") == "print" for call in calls)
        assert not printed or ".cli" in named(path), named(path)


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_bare_import_needs_no_extra():
    extras = (
        "pybullet stable_baselines3 h5py tyro tqdm rich tensorboard matplotlib imageio PIL minari "
        "pyarrow av lerobot"
    )
    blocked = f"import sys; sys.modules.update(dict.fromkeys({extras.split()!r}))\n"
    refused = run(
        f"{blocked}import parrot_wrapper as p\n"
        "from parrot_wrapper.errors import MissingExtraError\n"
        "for name in p.__all__:\n"
        "    try: getattr(p, name)\n"
        '    except MissingExtraError as e: print(name, "\'parrot-wrapper[" in str(e))\n'
    )
    assert refused.split()[1::2] == ["True"] * 11
    assert refused.split()[::2] == [
        "BehavioralPriorVecWrapper",
        "DemonstrationDictReplayBuffer",
        "DemonstrationReplayBuffer",
        "EpisodeDataset",
        "RewardedDictReplayBuffer",
        "RewardedReplayBuffer",
        "ShardStream",
        "fit_prior",
        "judge_prior",
        "load_dataset",
        "save_dataset",
    ]


def test_the_rl_runner_needs_sb3_alone():
    blocked = (
        "import sys; sys.modules.update(dict.fromkeys(['h5py', 'pybullet', 'tyro', 'minari']))\n"
    )
    assert run(f"{blocked}import parrot_wrapper.rl.train; print('fine')") == "fine"


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("parrot_wrapper", "torch gymnasium scipy pybullet stable_baselines3 h5py"),
        ("parrot_envs", "pybullet parrot_envs.env"),
    ],
)
def test_importing_loads_nothing_heavy_and_every_public_name_has_its_home(package, heavy):
    loaded = run(f"import sys, {package}; print(*sys.modules)").split()
    assert package in loaded and not set(heavy.split()) & set(loaded)
    module = importlib.import_module(package)
    constants = {"ENV_IDS", "PAPER_TASKS", "POINT_MASS_IDS"} & set(module.__all__)
    assert set(module.__all__) <= set(dir(module))
    for name in set(module.__all__) - constants:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        module.Nothing  # noqa: B018


def test_help_is_a_summary_of_all_public_names():
    import parrot_wrapper

    text = pydoc.plain(pydoc.render_doc(parrot_wrapper))
    assert len(text.splitlines()) < 100
    words = set(re.findall(r"\w+", inspect.getdoc(parrot_wrapper)))
    listed = {name for name in parrot_wrapper.__all__ if name in words or f"{name}s" in words}
    assert listed == set(parrot_wrapper.__all__)
