"""Damaged files of every kind: a typed error or what was written; `benchmarks/fuzz_loaders.py`
does the same by the ten thousand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parrot_wrapper.errors import ParrotError
from parrot_wrapper.io.strict_json import parse_json, seal_of
from tests.loaders.cases import Target
from tests.loaders.specimens import make_specimens

KINDS = (
    "prior", "cloned actor", "data set", "feature cache", "prior training", "RL checkpoint",
    "run settings", "run logs", "grid", "result rows", "row of a run", "recipe of a part",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
QUICK = settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    root = tmp_path_factory.mktemp("specimens")
    specimens = make_specimens(root)
    parts = [path.read_bytes() for specimen in specimens for path in specimen.files()]
    return {s.name: Target(s, root / "executed", parts) for s in specimens}


def test_every_kind_is_here(targets: dict[str, Target]) -> None:
    assert set(targets) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_mutations(targets: dict[str, Target], kind: str) -> None:
    for seed in range(1_000_000, 1_000_030):
        outcome = targets[kind].mutate(seed)
        assert outcome.good, outcome


@pytest.mark.parametrize("kind", KINDS)
def test_anything_in_place_of_a_file(targets: dict[str, Target], kind: str) -> None:
    """Any JSON value and any bytes at all: typed error, or read as such a file may be."""
    target = targets[kind]

    @QUICK
    @given(st.sampled_from(target.files), JSON.map(json.dumps) | st.binary(max_size=200))
    def hold(path: Path, content: str | bytes) -> None:
        whole = path.read_bytes()
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            target.specimen.load()
        except ParrotError:
            return
        finally:
            path.write_bytes(whole)

    hold()


@QUICK
@given(JSON)
def test_json_comes_back_or_is_refused(value: Any) -> None:
    text = json.dumps(value)
    try:
        found = parse_json(text)
    except ValueError:
        assert "NaN" in text or "Infinity" in text or "\\ud" in text
        return
    assert found == value
    assert seal_of({"a": value}) == seal_of({"a": found})


@pytest.mark.parametrize(
    "text", ["[" * 100, "[" * 100_000, "1" * 5_000, "NaN", "1e999", '"\\ud800"', "\ufeff1", ""]
)
def test_json_that_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text.encode())
