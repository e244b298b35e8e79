"""Grids: order, ids, what runs need, JSON, and what is refused; the studies are such grids."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parrot_wrapper.errors import DataFileError, ParrotError
from parrot_wrapper.experiments.artifacts import PriorData
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.grid_folders import GRID_FILE, Places, read_grid
from parrot_wrapper.experiments.methods import AGENTS, EXPLORERS, METHODS, Method, run_config
from parrot_wrapper.experiments.rows import read_rows
from parrot_wrapper.experiments.studies import (
    GRASP_TASKS,
    PLACE_TASKS,
    SETTINGS,
    STUDIES,
    study_grid,
)
from parrot_wrapper.priors.encoders.teachers import DEFAULT_WEIGHTS
from parrot_wrapper.rl.config import RawActions, RLConfig
from parrot_wrapper.rl.replay.settings import DemonstrationReplay

RESULTS = Path(__file__).parents[2] / "results"
DATA = PriorData(10, folder="data")
PARROT = METHODS["parrot"]


def grid(**fields: Any) -> Grid:
    values: dict[str, Any] = {
        "name": "mine",
        "setting": "quick",
        "tasks": ("A-v0", "B-v0"),
        "methods": ("parrot", "hirl"),
        "data": (DATA,),
    }
    return Grid(**{**values, **fields})


def test_rl_seeds_are_outermost_then_methods_then_tasks() -> None:
    ids = [run.id for run in grid(rl_seeds=(0, 1)).runs()]
    assert ids == [
        "A-v0/parrot/p0/r0",
        "B-v0/parrot/p0/r0",
        "A-v0/hirl/p0/r0",
        "B-v0/hirl/p0/r0",
        "A-v0/parrot/p0/r1",
        "B-v0/parrot/p0/r1",
        "A-v0/hirl/p0/r1",
        "B-v0/hirl/p0/r1",
    ]


def test_what_does_not_depend_on_data_is_listed_once() -> None:
    sizes = (PriorData(5, "few", collect={}), PriorData(9, "many", collect={}))
    pixels = grid(
        tasks=("A-v0",),
        methods=("parrot", "sac"),
        prior="",
        data=sizes,
        prior_seeds=(0, 1),
        rl_seeds=(0,),
        rl={"observation": "image"},
    )
    assert [(run.id, run.data_episodes) for run in pixels.runs()] == [
        ("A-v0/parrot/few/p0/r0", 5),
        ("A-v0/parrot/many/p0/r0", 9),
        ("A-v0/sac/p0/r0", None),
        ("A-v0/parrot/few/p1/r0", 5),
        ("A-v0/parrot/many/p1/r0", 9),
    ]
    given = replace(pixels, prior="parrot-v0", rl={})
    assert [run.id for run in given.runs()] == ["A-v0/parrot/few/p0/r0", "A-v0/sac/few/p0/r0"]


def test_artifacts_stand_behind_what_they_are_made_from() -> None:
    sizes = (PriorData(5, "few", collect={}), PriorData(9, "many", collect={}))
    whole = grid(methods=("parrot", "bc-sac", "vae-features"), prior="", data=sizes)
    found = {artifact.name: artifact for artifact in whole.artifacts(whole.runs())}
    assert list(found) == [
        "data-few",
        "prior-few-p0",
        "prior-many-p0",
        "bc-few-p0",
        "bc-many-p0",
        "features-few-p0",
        "features-many-p0",
    ]
    assert found["data-few"].episodes == 9  # the larger of those that share it
    assert found["prior-few-p0"].episodes == 5
    assert found["bc-many-p0"].encoder == "prior-many-p0"
    assert found["features-many-p0"].encoder == "none"
    first = [whole.runs()[0]]
    assert [a.name for a in whole.artifacts(first)] == ["data-few", "prior-few-p0"]
    own = replace(whole, shared_encoder=False)
    assert {a.encoder for a in own.artifacts(own.runs())} == {"none"}


def test_given_prior_and_data_need_nothing_but_heads() -> None:
    given = grid()
    [hirl] = given.artifacts(given.runs())
    assert (hirl.name, hirl.data, hirl.encoder) == ("cvae-p0", "data", "parrot-v0")
    assert given.runs()[0].needs == {"prior": "parrot-v0"}


def test_agents_that_are_shown_demonstrations_need_the_data() -> None:
    replay = {"kind": "demonstrations", "share": 0.5}
    collected = PriorData(10, "few", collect={})
    shown = grid(methods=(PARROT.variant("demos", replay=replay),), data=(collected,))
    run = shown.runs()[0]
    assert run.needs == {"prior": "parrot-v0", "data": "data-few"}
    assert [artifact.name for artifact in shown.artifacts([run])] == ["data-few"]
    config = run_config(run, {"prior": "P", "data": "there"})
    assert config.replay == DemonstrationReplay("there", share=0.5)
    assert replace(shown, data=(DATA,)).runs()[0].needs["data"] == "data"


def test_how_often_the_prior_acts_is_open() -> None:
    parts = {"prior": "P", "bc": "B"}
    settings = {"raw_actions": {"kind": "raw", "explore": 0.5}}
    chosen = [replace(METHODS[name], settings=settings) for name in ("prior-explore", "bc-sac")]
    one: dict[str, Any] = {"tasks": ("A-v0",), "rl_seeds": (0,)}
    runs = grid(methods=tuple(chosen), **one).runs()
    assert [run_config(run, parts).raw for run in runs] == [RawActions(0.5), RawActions(0.5, "B")]
    [run] = grid(methods=("prior-explore",), rl=settings, **one).runs()
    assert run_config(run, parts).raw.explore == 0.5


def test_every_method_is_one_rl_config() -> None:
    parts = {"prior": "P", "cvae": "H", "trajectory": "T", "bc": "B", "features": "V"}

    def facts(method: str, **fields: Any) -> tuple[Any, ...]:
        run = grid(methods=(method,), **fields).runs()[0]
        assert set(run.needs) == set(run.method.parts(from_pixels="preset" in fields))
        config = run_config(run, parts)
        assert (config.env_id, config.total_steps) == ("A-v0", 25_000)
        raw = config.raw
        named = (config.prior, not config.latent_actions, raw.initial_actor)
        return (*named, raw.explore, config.observation)

    features = {method.name: facts(method.name) for method in AGENTS}
    assert features == {
        "parrot": ("P", False, None, 0.0, "features"),
        "sac": ("P", True, None, 0.0, "features"),
        "bc-sac": ("P", True, "B", 0.0, "features"),
        "vae-features": ("V", True, None, 0.0, "features"),
        "trajrl": ("T", False, None, 0.0, "features"),
        "hirl": ("H", False, None, 0.0, "features"),
        "prior-explore": ("P", True, None, 0.9, "features"),
    }
    pixels = {m.name: facts(m.name, preset="paper") for m in AGENTS}
    assert pixels == {
        "parrot": ("P", False, None, 0.0, "image"),
        "sac": (None, True, None, 0.0, "image"),
        "bc-sac": (None, True, "B", 0.0, "image"),
        "vae-features": ("V", True, None, 0.0, "features"),
        "trajrl": ("T", False, None, 0.0, "image"),
        "hirl": ("H", False, None, 0.0, "image"),
        "prior-explore": ("P", True, None, 0.9, "image"),
    }


def test_variants_have_settings_of_their_own() -> None:
    varied = grid(
        methods=(
            replace(PARROT, settings={"kl": 3.0}),
            PARROT.variant("eager", kl=3.0, gradient_steps=4),
        ),
        rl={"gamma": 0.9},
    )
    plain, eager = (run_config(run, {"prior": "P"}) for run in varied.runs()[::2][:2])
    assert (plain.gamma, plain.kl, plain.gradient_steps) == (0.9, 3.0, 1)
    assert (eager.gamma, eager.kl, eager.gradient_steps) == (0.9, 3.0, 4)


def test_a_method_of_a_study_is_one_value() -> None:
    own = Method("ours", "Ours", "#123456", prior="cvae", settings={"gamma": 0.8}, data=("few",))
    sizes = (PriorData(5, "few", folder="data"), PriorData(9, "many", folder="data"))
    made = grid(methods=("parrot", own, own.variant("kl", kl=2.0)), data=sizes, rl={"gamma": 0.9})
    ours = [run for run in made.runs() if run.method == own]
    assert ours[0].id == "A-v0/ours/few/p0/r0"
    assert (ours[0].needs, len(ours)) == ({"cvae": "cvae-few-p0"}, 2 * 3)
    assert [a.kind for a in made.artifacts(ours)] == ["cvae"]
    config = run_config(ours[0], {"cvae": "C"})
    assert (config.prior, config.latent_actions, config.gamma) == ("C", True, 0.8)
    content = json.loads(json.dumps(made.to_dict()))
    assert content["methods"][0] == "parrot"
    assert content["methods"][2]["name"] == "ours+kl"
    assert Grid.from_dict(content) == made


def test_a_method_that_is_given_by_name_does_not_outdo_the_grid() -> None:
    named = grid(methods=("trajrl",), rl={"gradient_steps": 4})
    assert named.methods[0].settings == {}
    assert named.runs()[0].rl == {"gradient_steps": 4}
    assert Grid.from_dict(named.to_dict()) == named


def test_a_method_may_be_for_some_of_the_data() -> None:
    remedy = grid(
        methods=("parrot", PARROT.variant("broad", ("grasps",), kl=3.0)),
        prior="",
        data=(replace(DATA, name="grasps"), replace(DATA, name="both", episodes=20)),
    )
    ids = [run.id for run in remedy.runs() if run.task == "A-v0" and run.rl_seed == 0]
    expected = ["parrot/grasps/p0/r0", "parrot/both/p0/r0", "parrot+broad/grasps/p0/r0"]
    assert ids == [f"A-v0/{rest}" for rest in expected]
    assert Grid.from_dict(json.loads(json.dumps(remedy.to_dict()))) == remedy


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"methods": ("parot",)}, "Did you mean 'parrot'"),
        ({"methods": ("sac+x",)}, "a variant as a Method, or as its fields, got 'sac\\+x'"),
        ({"methods": ("parrot", "parrot")}, "methods as a list of different texts"),
        ({"methods": ("uniform",)}, "Unknown method 'uniform'"),
        ({"methods": (Method("a", prior="cva"),)}, "Did you mean 'cvae'"),
        ({"methods": (Method("a", data=("b",)),)}, "Unknown data of a 'b'"),
        ({"kind": "explore"}, "Did you mean 'exploration'"),
        ({"kind": "exploration", "methods": ("sac",)}, "method of an exploration grid 'sac'"),
        ({"tasks": ()}, "tasks as a list of different texts, at least one"),
        ({"tasks": "A-v0"}, "tasks as a list, got 'A-v0'"),
        ({"rl_seeds": (0, -1)}, "rl_seeds as a list of different integers"),
        ({"rl_seeds": (0, 0)}, "rl_seeds as a list of different integers"),
        ({"env_steps": 0}, "env_steps >= 1, got 0"),
        ({"env_steps": "many"}, "env_steps >= 1, got .many."),
        ({"name": "a/b"}, "name of letters"),
        ({"preset": "papr"}, "Did you mean 'paper'"),
        ({"rl": {"gama": 0.9}}, "Did you mean 'gamma'"),
        ({"rl": {"gamma": 2.0}}, "gamma=2.0"),
        ({"rl": {"seed": 1}}, "leaves open, got seed"),
        ({"rl": {"raw_actions": True}}, "leaves open, got raw_actions beside its explore"),
        ({"rl": {"raw_actions": {"initial_actor": "x"}}}, "got raw_actions beside its explore"),
        ({"rl": [1]}, "rl as a mapping of options"),
        ({"baseline_options": {"cva": {}}}, "Did you mean 'cvae'"),
        ({"prior": 3}, "prior as text"),
        ({"shared_encoder": 1}, "shared_encoder as true or false"),
        ({"env_kwargs": {"a": {1}}}, "env_kwargs to be JSON-able"),
        ({"data": ()}, "data to learn from, got none"),
        ({"data": (DATA, DATA)}, "data that differ in name"),
        ({"data": (DATA, replace(DATA, name="x"))}, "got A-v0/hirl/x/p0/r0 and A-v0/hirl/p0/r0"),
    ],
)
def test_bad_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ParrotError, match=message):
        grid(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a/b"}, "method.name of letters"),
        ({"label": 3}, "label of Method as str"),
        ({"colour": "blue"}, "#rrggbb, got 'blue'"),
        ({"sees": "feature"}, "Did you mean 'features'"),
        ({"raw": 1}, "raw of Method as bool"),
        ({"settings": [1]}, "settings of Method as Mapping"),
        ({"settings": {"seed": 1}}, "leaves open, got seed"),
        ({"data": "few"}, "data of Method as tuple"),
    ],
)
def test_bad_methods_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ParrotError, match=message):
        Method(**{"name": "mine", **fields})
    with pytest.raises(ParrotError, match=message):
        Grid.from_dict({**grid().to_dict(), "methods": [{"name": "mine", **fields}]})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"episodes": 0}, "data.episodes >= 1"),
        ({"name": "../x"}, "data.name of letters"),
        ({"folder": ""}, "folder of data or how to collect"),
        ({"collect": 3}, "collect of PriorData as Mapping"),
        ({"labels": {"a": 1}}, "labels of PriorData as Mapping"),
        ({"folder": None}, "folder of PriorData as str"),
    ],
)
def test_bad_data_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ParrotError, match=message):
        PriorData(**{"episodes": 10, "folder": "data", **fields})


def test_grid_file(tmp_path: Path) -> None:
    path = tmp_path / "my.json"
    path.write_text(json.dumps(grid().to_dict()))
    assert read_grid(path) == grid()
    path.write_text('{"name": "mine", "setting": "x", "tasks": ["A-v0"], "methods": ["sac"]}')
    assert read_grid(path).rl_seeds == (0, 1, 2)
    for text, message in {
        "{": "expected a grid's JSON",
        "[]": "Expected grid as a mapping",
        '{"name": "mine"}': "with setting, tasks, methods, which it lacks",
        '{"task": []}': "Unknown field of grid 'task'. Did you mean 'tasks'",
        json.dumps({**grid().to_dict(), "data": {}}): "data as a list",
        json.dumps({**grid().to_dict(), "methods": [{"nam": 3}]}): "field of method 'nam'",
        json.dumps({**grid().to_dict(), "data": [{"episode": 3}]}): "field of data 'episode'",
    }.items():
        path.write_text(text)
        with pytest.raises(DataFileError, match=r"my\.json: .*"):
            read_grid(path)
        with pytest.raises(DataFileError, match=message):
            read_grid(path)


def test_folders_of_other_settings_are_refused(tmp_path: Path) -> None:
    places = Places(tmp_path / "results", tmp_path / "runs")
    places.claim(grid())
    places.claim(grid(rl_seeds=(5,), tasks=("C-v0",)))  # a grid may grow
    with pytest.raises(ParrotError, match="env_steps: 25000 there, 7 given"):
        places.check(grid(env_steps=7))


def test_variants_may_be_added_and_not_changed(tmp_path: Path) -> None:
    def variants(**settings: dict[str, float]) -> Grid:
        made = (PARROT.variant(name, **own) for name, own in settings.items())
        return grid(methods=(PARROT, *made))

    places = Places(tmp_path / "results", tmp_path / "runs")
    places.claim(variants(tight={"kl": 2.0}))
    places.claim(variants(tight={"kl": 2.0}, eager={"gradient_steps": 2}))
    with pytest.raises(ParrotError, match=r"parrot\+tight kl: 2.0 there, 3.0 given"):
        places.check(variants(tight={"kl": 3.0}))


@pytest.mark.parametrize("folder", sorted(RESULTS.glob("*/grid.json")), ids=lambda p: p.parent.name)
def test_published_studies_go_on_in_their_folders(folder: Path) -> None:
    old = read_grid(folder)
    Places(folder.parent, folder.parent).check(study_grid(old.name, old.setting))
    for row in read_rows(folder.parent):
        if not row.explores:
            config = RLConfig.from_dict(row.config)
            assert RLConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("study", ["agent", "mismatch"])
def test_a_published_grid_goes_on_though_its_settings_had_other_names(
    tmp_path: Path, study: str
) -> None:
    published = Path(__file__).parents[2] / "results" / f"{study}-laptop"
    old, places = read_grid(published / GRID_FILE), Places(tmp_path, tmp_path)
    places.claim(old)
    places.check(replace(old, methods=study_grid(study, "laptop").methods))
    for row in read_rows(published):
        config = RLConfig.from_dict(row.config)
        assert RLConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("study", STUDIES)
def test_studies_are_whole_grids(study: str, setting: str) -> None:
    found = study_grid(study, setting)
    assert found.folder == f"{study}-{setting}"
    assert Grid.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert len(found.runs()) < (9 if setting == "ci" else 169)


def test_studies_are_the_papers() -> None:
    envs = pytest.importorskip("parrot_envs")
    main = study_grid("main", "paper")
    assert set(main.tasks) == set(envs.PAPER_TASKS) == {*GRASP_TASKS, *PLACE_TASKS}
    assert main.methods == AGENTS
    assert (main.env_steps, main.prior_options["steps"]) == (500_000, 500_000)
    assert [d.episodes for d in study_grid("data-size", "paper").data] == [
        5_000,
        10_000,
        25_000,
        50_000,
    ]
    assert study_grid("exploration", "laptop").methods == EXPLORERS
    labels = [d.labels["prior_data"] for d in study_grid("mismatch", "laptop").data]
    assert labels == ["grasp-only", "place-only", "both"]
    with pytest.raises(ParrotError, match="Did you mean 'main'"):
        study_grid("mian", "ci")
    with pytest.raises(ParrotError, match="Did you mean 'laptop'"):
        study_grid("main", "labtop")


def test_likelihood_alone_is_without_all_teachers() -> None:
    options = study_grid("sight", "laptop").baseline_options
    (text,) = options["likelihood-alone"]["encoder_options"]
    assert json.loads(text.removeprefix("teachers=")) == {
        name: 0.0 for name, weight in DEFAULT_WEIGHTS.items() if weight
    }
