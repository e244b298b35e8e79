"""Nothing on disk is executed, no code evaluates text, and nothing reaches for the network."""

from __future__ import annotations

import ast
import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from parrot_wrapper.data import load_dataset, save_dataset
from parrot_wrapper.errors import ParrotError
from parrot_wrapper.rl.evaluation import evaluate_run
from tests.loaders.cases import Target
from tests.loaders.mutations import Bomb, seal_again
from tests.loaders.specimens import make_specimens, toy_data
from tests.test_architecture import imported, modules, named, parsed
from tests.training.toy_rl import ReachEnv, toy_config, toy_train

ROOT = Path(__file__).parents[2]

UNSAFE_MODULES = {
    "pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml", "pty",
    "socket", "ssl", "http", "urllib", "ftplib", "smtplib", "xmlrpc", "requests", "httpx",
    "aiohttp", "huggingface_hub", "telnetlib",
}  # fmt: skip
UNSAFE_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "torch.save",
    "np.save", "pd.read_pickle", "yaml.load", "ast.literal_eval", "shutil.unpack_archive",
    "SAC.load", "PPO.load", "torch.hub.load", "torch.jit.load",
}  # fmt: skip
IMPORTERS = {
    "parrot_wrapper", "parrot_envs", "parrot_wrapper.cli", "parrot_wrapper.lazy_names",
    "parrot_wrapper.registry",
}  # fmt: skip
"""Modules that import by name: their own parts, commands, and what a user named to register ids."""

CONNECTS = {
    "parrot_wrapper.io.ray_engine": {"socket"},
    "parrot_wrapper.priors.hub": {"huggingface_hub"},
}
"""Asks whether anybody listens at the address that a user gave; loads what a user named."""


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


@pytest.mark.parametrize("path", modules(), ids=named)
def test_no_unsafe_code(path: Path) -> None:
    allowed = CONNECTS.get(named(path), set())
    assert not (UNSAFE_MODULES - allowed) & {name.split(".")[0] for name in imported(path)}
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        where = f"{named(path)}, line {node.lineno}: {name}"
        assert name not in UNSAFE_CALLS, where
        keywords = {word.arg: word.value for word in node.keywords}
        assert "shell" not in keywords, where
        for word, right in (("allow_pickle", False), ("weights_only", True)):
            told = keywords.get(word)
            assert told is None or (isinstance(told, ast.Constant) and told.value is right), where
        if name in ("importlib.import_module", "import_module"):
            assert named(path) in IMPORTERS, where


IMPORT_ALL = """
import socket, sys
def refuse(*_, **__):
    raise OSError("the network was reached for")
class Deaf(socket.socket):
    def connect(self, *_): refuse()
    connect_ex = bind = sendto = connect
socket.socket = Deaf
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse
import importlib, pkgutil
import parrot_envs, parrot_wrapper
count = 0
for package in (parrot_wrapper, parrot_envs):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            count += 1
print(count)
"""


def test_importing_everything_needs_no_network() -> None:
    for extra in ("pybullet", "stable_baselines3", "tyro", "matplotlib", "jinja2", "imageio"):
        pytest.importorskip(extra)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 150


def test_a_bomb_goes_off_where_it_is_unpickled(tmp_path: Path) -> None:
    """So that the tests below can fail."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


def test_malicious_pickles_do_nothing_in_any_place(tmp_path: Path) -> None:
    """In place of every file that is read back, with and without checksums put right."""
    mark = tmp_path / "mark"
    for specimen in make_specimens(tmp_path / "specimens"):
        for outcome in Target(specimen, mark, [b""]).explode():
            assert outcome.good, outcome
    assert not mark.exists()


def test_the_file_for_sb3_is_never_opened(tmp_path: Path) -> None:
    """`model.zip` is SB3's format, which holds pickles; it is written for users and not read."""
    toy_train(toy_config(prior=None, total_steps=40, checkpoint_every=0), tmp_path / "run")
    bomb = pickle.dumps(Bomb(tmp_path / "mark"))
    (tmp_path / "run" / "model.zip").write_bytes(bomb)
    result = evaluate_run(tmp_path / "run", make_env=lambda *_: ReachEnv(), episodes=1)
    assert len(result.episodes) == 1
    toy_train(toy_config(prior=None, total_steps=50, checkpoint_every=0), tmp_path / "run")
    assert not (tmp_path / "mark").exists()


def test_a_folder_cannot_point_outside_itself(tmp_path: Path) -> None:
    """A link or an external file inside HDF5 that leads elsewhere is refused."""
    save_dataset(toy_data(), tmp_path / "data")
    (tmp_path / "secret").write_bytes(b"\x01" * 1000)
    path = tmp_path / "data" / "shard-000000.h5"

    def external(file: h5py.File) -> None:
        shape = file["actions"].shape
        del file["actions"]
        where = [(str(tmp_path / "secret"), 0, 1000)]
        file.create_dataset("actions", shape, "f4", external=where)

    def linked(file: h5py.File) -> None:
        del file["actions"]
        file["actions"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/actions")

    def soft(file: h5py.File) -> None:
        del file["labels/goal"]
        file["labels/goal"] = h5py.SoftLink("/observations/state")

    whole = path.read_bytes()
    for change, message in ((external, "stored in a way"), (linked, "link"), (soft, "link")):
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            change(file)
        seal_again(path)
        with pytest.raises(ParrotError, match=message):
            load_dataset(tmp_path / "data")
