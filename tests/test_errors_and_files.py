"""The foundation: errors that both kinds of handlers catch, nearest names, whole files only."""

import json
import math
import os
import stat

import pytest

from parrot_wrapper import errors
from parrot_wrapper.errors import unknown_name
from parrot_wrapper.io.atomic_files import atomic_folder, atomic_path, write_json


@pytest.mark.parametrize(
    "error",
    [getattr(errors, name) for name in dir(errors) if name.endswith("Error")],
)
def test_every_error_is_ours_and_builtin(error):
    assert issubclass(error, errors.ParrotError)
    if error is not errors.ParrotError:
        assert issubclass(error, (ValueError, ImportError, NotImplementedError, OSError))


def test_unknown_name_points_to_the_nearest():
    error = unknown_name("prior", "parot-v0", ["parrot-v0", "hirl-v0"])
    assert isinstance(error, errors.UnknownNameError)
    assert str(error) == (
        "Unknown prior 'parot-v0'. Did you mean 'parrot-v0'? Known: hirl-v0, parrot-v0."
    )
    assert "Did you mean" not in str(unknown_name("prior", "zzz", ["parrot-v0"]))


def test_file_appears_whole(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with atomic_path(target) as partial:
        partial.write_text("whole")
        assert partial.parent == target.parent
        assert not target.exists()
    assert target.read_text() == "whole"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert os.listdir(target.parent) == ["file.txt"]


def test_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="killed"), atomic_path(target) as partial:
        partial.write_text("half")
        raise RuntimeError("killed")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_folder_appears_whole_and_replaces_the_old_one(tmp_path):
    target = tmp_path / "folder"
    for content in ("first", "second"):
        with atomic_folder(target) as partial:
            (partial / f"{content}.txt").write_text(content)
            assert not (target / f"{content}.txt").exists()
        assert os.listdir(target) == [f"{content}.txt"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("exists", [False, True])
def test_failure_keeps_the_old_folder_and_leaves_nothing_else(tmp_path, exists):
    target = tmp_path / "folder"
    if exists:
        target.mkdir()
        (target / "old.txt").write_text("old")
    with pytest.raises(RuntimeError, match="killed"), atomic_folder(target) as partial:
        (partial / "half.txt").write_text("half")
        raise RuntimeError("killed")
    assert os.listdir(tmp_path) == (["folder"] if exists else [])
    if exists:
        assert os.listdir(target) == ["old.txt"]


def test_json_is_whole_or_not_at_all(tmp_path):
    target = tmp_path / "file.json"
    write_json(target, {"a": [1, 2.5, None]})
    assert json.loads(target.read_text()) == {"a": [1, 2.5, None]}
    for content in ({"a": math.nan}, {"a": math.inf}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(target, content)
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(target, {"a": object()})
    assert json.loads(target.read_text()) == {"a": [1, 2.5, None]}
    assert os.listdir(tmp_path) == ["file.json"]
