"""`parrot report` from made-up rows: tables, figures, the page's text, and bad input."""

import base64
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.errors import DataError, DataFileError
from parrot_wrapper.experiments import figure_style, tables
from parrot_wrapper.experiments.artifacts import PriorData
from parrot_wrapper.experiments.figure_style import variant_colors
from parrot_wrapper.experiments.figures import plates, save_figures
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.judged_priors import ranking_table, spent_table
from parrot_wrapper.experiments.methods import AGENTS, Method
from parrot_wrapper.experiments.page import find_films, report_markdown, report_page
from parrot_wrapper.experiments.studies import study_grid
from parrot_wrapper.experiments.study import Study, Variant, load_studies, mismatch_rows
from parrot_wrapper.experiments.tables import cautions, findings
from tests.experiments.synthetic_rows import (
    TASKS,
    agent_rows,
    data_size_rows,
    exploration_rows,
    main_rows,
    mismatched_rows,
    row,
    share,
    write_rows,
)

MAKERS = {
    "main": main_rows,
    "data-size": data_size_rows,
    "mismatch": mismatched_rows,
    "agent": agent_rows,
    "exploration": exploration_rows,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("results")
    return {name: write_rows(place / f"{name}-laptop", make()) for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def studies(folders: dict[str, Path]) -> dict[str, Study]:
    return {study.grid: study for study in load_studies(list(folders.values()))}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[Study]:
    """The same studies with two tasks and two seeds: quick to draw."""
    place, tasks = tmp_path_factory.mktemp("small"), TASKS[4:6]
    rows = {
        "main": main_rows(2, tasks),
        "data-size": (r for r in data_size_rows(2) if r["task"] in tasks),
        "mismatch": mismatched_rows(2, tasks),
        "agent": agent_rows(2, tasks),
        "exploration": exploration_rows(tasks),
    }
    return load_studies([write_rows(place / name, list(made)) for name, made in rows.items()])


def few(tmp_path: Path, rows, name: str = "few") -> Study:
    (study,) = load_studies([write_rows(tmp_path / name, list(rows))])
    return study


def test_studies_are_sorted_by_what_is_compared(studies):
    assert [variant.method for variant in studies["main"].variants] == [
        method.name for method in AGENTS
    ]
    assert studies["main"].tasks[0] == "ParrotGraspBar-v0"
    assert sorted(studies["main"].tasks) == sorted(TASKS)
    sizes = [variant.data_episodes for variant in studies["data-size"].variants]
    assert sizes == [5_000, 10_000, 25_000, 50_000, None]
    names = [variant.name for variant in studies["mismatch"].variants]
    assert names[-1] == "PARROT + remedy, grasp-only"


def test_a_new_method_is_shown_as_its_grid_says(tmp_path: Path):
    own = Method("hirl+ours", "Ours", "#123456", prior="cvae")
    rows = [row(TASKS[5], name, seed) for name in ("parrot", "hirl+ours") for seed in (0, 1)]
    folder = write_rows(tmp_path / "rows", rows)
    grid = Grid("main", "laptop", (TASKS[5],), ("parrot", own), data=(PriorData(9, folder="d"),))
    (folder / "grid.json").write_text(json.dumps(grid.to_dict()))
    [study] = load_studies([folder])
    assert [v.name for v in study.variants] == ["PARROT", "Ours + ours"]
    assert list(variant_colors(study.variants).values()) == ["#0072b2", "#123456"]
    assert {line[0] for line in tables.method_table(study).rows} == {"PARROT", "Ours + ours"}


def test_method_table(studies):
    table = tables.method_table(studies["main"])
    assert table.rows[0][0] == "PARROT"
    scores = [row.success.value for row in studies["main"].rows if row.method == "parrot"]
    middle = np.mean(np.sort(scores)[6:-6])
    best = dict(zip(table.header, table.rows[0], strict=True))
    assert best["IQM success"].startswith(f"{middle:.2f} [")
    assert best["runs"] == "24"
    assert re.fullmatch(r"\d+,000 \(24/24\)|\d+,500 \(24/24\)", best["steps to 50 %"])
    worst = dict(zip(table.header, table.rows[-1], strict=True))
    assert (worst["method"], worst["steps to 80 %"]) == ("SAC", "- (0/24)")


def test_task_and_steps_tables_have_a_cell_for_each(studies):
    for make in (tables.task_table, tables.steps_table):
        table = make(studies["mismatch"])
        assert len(table.rows) == len(TASKS)
        by_name = dict(zip(table.header, zip(*table.rows, strict=True), strict=True))
        told = dict(zip(by_name["task"], by_name["grasp-only + remedy"], strict=True))
        assert told["Grasp cup"] == "-"
        assert told["Place can in pan"] != "-"


def test_markdown_survives_a_name_with_a_bar():
    table = tables.Table(("method", "x"), (("a|b", "1"),))
    assert "a\\|b" in table.markdown()


def test_findings(studies):
    first, second, third = findings(studies["main"])
    assert re.match(r"PARROT: 0\.9\d \[0\.\d\d, 0\.\d\d\] of held-out episodes end in", first)
    assert "8 tasks, 24 runs, 25,000 env steps each" in first
    assert "Next: HIRL" in first and "the intervals do not overlap" in first
    assert second.startswith("With PARROT, 8 of 8 tasks at 0.5 or above")
    assert "minutes of training" in third
    assert "with 5,000 demonstrations" in findings(studies["data-size"])[0]
    assert findings(studies["data-size"])[1].endswith(
        "with no demonstrations (interquartile mean of success)."
    )
    assert "anything lifted in 0.79" in findings(studies["exploration"])[0]
    for study in studies.values():
        assert cautions(study) == []


def test_mismatch_is_seen_from_the_task(studies):
    rows = mismatch_rows(studies["mismatch"])
    groups = {(row.kind, row.name): row.group for row in rows}
    assert groups == {
        ("grasp", "both"): "matched",
        ("grasp", "grasp-only"): "matched",
        ("grasp", "place-only"): "mismatched",
        ("place", "both"): "matched",
        ("place", "grasp-only"): "mismatched",
        ("place", "place-only"): "matched",
        ("place", "grasp-only + remedy"): "remedy",
    }
    share_won = re.search(r"the remedy wins (\d+) % of the", findings(studies["mismatch"])[1])
    assert 50 <= int(share_won[1]) <= 80


def test_what_ranks_priors_before_rl(tmp_path):
    """Five priors: one measure in SAC's order, one against it, one that is not always there."""
    worth = [0.1, 0.3, 0.5, 0.7, 0.9]
    rows = [
        row(TASKS[0], "parrot", 0, grid="judged")
        | {
            "method": f"prior-{index}",
            "success": share(value),
            "judged": {"samples": value, "nll": value, "clone": value if index else None},
        }
        for index, value in enumerate(worth)
    ]
    [study] = load_studies([write_rows(tmp_path / "all", rows)])
    table = ranking_table(study)
    assert table.rows == (("likelihood", "-1.00"), ("samples that succeed", "1.00"))
    assert "| samples that succeed | 1.00 |" in report_markdown([study]).replace("  ", "")
    assert "What tells before RL" in report_page([study])
    [few] = load_studies([write_rows(tmp_path / "few", rows[1:])])
    assert ranking_table(few) is None and "rank correlation" not in report_markdown([few])


def test_what_agents_paid_is_told_where_it_is_known(tmp_path):
    paid = {"kl": 2.0, "unsafe_per_1000": None}
    rows = [row(TASKS[0], "parrot", 0), row(TASKS[0], "sac", 0)]
    study = few(tmp_path, [rows[0] | {"spent": paid}, rows[1]])
    assert [cells[1:3] for cells in spent_table(study).rows] == [("2.00", "-"), ("-", "-")]
    assert "unsafe in 1,000" in report_markdown([study])
    assert "What agents paid" in report_page([study])
    assert spent_table(few(tmp_path, rows, "silent")) is None


def test_fastest_is_by_wall_clock(tmp_path):
    slow = {**row(TASKS[0], "parrot", 0), "wall_seconds": 1_000.0}
    quick = {**row(TASKS[0], "parrot", 1), "wall_seconds": 10.0}
    never = {**row(TASKS[0], "sac", 0), "wall_seconds": 1.0}
    study = few(tmp_path, [slow, quick, never])
    found, seconds = tables.fastest(study)
    assert found.rl_seed == 1 and 0 < seconds < 10.0
    assert tables.fastest(few(tmp_path, [never], "never")) is None


def test_tables_are_turned_where_that_is_narrower(studies):
    for make in (tables.task_table, tables.steps_table):
        table = make(studies["agent"])
        assert (len(table.header), len(table.rows)) == (3, 8)
        assert [cells[0] for cells in table.rows][:2] == ["PARROT", "a-setting-0"]


def test_configurations_part_what_differs_from_what_is_common(studies):
    table = dict(tables.differences(studies["main"]).rows)
    assert set(re.findall(r"(\w+): ", table["PARROT"])) == {
        *("prior", "raw_actions", "explore", "initial_actor")
    }
    assert "raw_actions.explore: 0.9" in table["Prior-explore"]
    assert table["HIRL"] == "prior: artifacts/hirl"
    shared = dict(tables.common(studies["main"]).rows)
    assert shared["gamma"] == "0.95" and "seed" not in shared and "env_id" not in shared


def test_a_row_without_a_setting_has_its_default(tmp_path):
    old, new = row(TASKS[0], "parrot", 0), row(TASKS[0], "parrot+x", 0)
    new["config"] = {**new["config"], "replay": {"kind": "rewarded", "share": 0.5}}
    table = dict(tables.differences(few(tmp_path, [old, new])).rows)
    assert table == {
        "PARROT": "replay: uniform, replay.share: -",
        "x": "replay: rewarded, replay.share: 0.5",
    }


@pytest.mark.parametrize("name", MAKERS)
def test_figures_are_drawn(studies, name, tmp_path):
    paths = save_figures(studies[name], tmp_path)
    assert [path.stem for path in paths] == [
        f"{name}-laptop-{plate.name}" for plate in plates(studies[name])
    ]
    from matplotlib.image import imread

    for path in paths:
        pixels = imread(path)[..., :3]
        assert pixels.shape[1] == 1_440
        assert np.ptp(pixels) > 0.5  # something is on it


def test_a_method_has_one_colour_in_all_studies(studies):
    in_main = figure_style.variant_colors(studies["main"].variants)
    in_data = figure_style.variant_colors(studies["data-size"].variants)
    assert in_main[Variant("parrot")] == in_data[Variant("parrot", 50_000)]
    assert in_main[Variant("sac")] == in_data[Variant("sac")]
    assert len(set(in_main.values())) == len(in_main)
    strange = figure_style.variant_colors([Variant("mine"), Variant("yours"), Variant("sac")])
    assert len(set(strange.values())) == 3


def shown_texts(figure):
    """Every text of a figure, with its box in pixels."""
    from matplotlib.text import Text

    figure.canvas.draw()
    texts = [
        text
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible()
        if text.axes is None or text.axes.get_visible()
    ]
    return [(text.get_text(), Text.get_window_extent(text)) for text in texts]


@pytest.mark.parametrize("width", [figure_style.WIDE, figure_style.NARROW])
@pytest.mark.parametrize("name", MAKERS)
def test_no_text_of_a_figure_overlaps_another_or_is_cut_off(small, name, width):
    (study,) = (study for study in small if study.grid == name)
    with figure_style.drawing(width):
        for plate in plates(study):
            whole = len(plate.panels) < 2 or width == figure_style.WIDE
            panels = map(figure_style.panel_figure, plate.panels[:3])
            drawn = [plate.draw(study)] if whole else panels
            for figure in drawn:
                boxes = shown_texts(figure)
                for (one, first), (two, second) in itertools.combinations(boxes, 2):
                    assert not first.shrunk(0.9, 0.9).overlaps(second.shrunk(0.9, 0.9)), (one, two)
                for text, box in boxes:
                    assert box.x0 > -2 and box.x1 < figure.bbox.x1 + 2, text
                    assert box.y0 > -2 and box.y1 < figure.bbox.y1 + 2, text


@pytest.mark.parametrize("name", MAKERS)
def test_a_panel_has_few_lines_and_colours_tell_them_apart(small, name):
    (study,) = (study for study in small if study.grid == name)
    with figure_style.drawing():
        for plate in plates(study):
            for panel in plate.panels:
                axes = figure_style.panel_figure(panel).axes[0]
                colors = [line.get_color() for line in axes.lines]
                assert 1 <= len(colors) == len(set(colors)) <= 7
                assert panel.named or len(colors) == 2


def test_unfinished_grid_says_what_is_missing(tmp_path):
    rows = list(main_rows(seeds=1))[:20]
    folder = write_rows(tmp_path / "main-laptop", rows)
    grid = study_grid("main", "laptop")
    for told in rows:
        told["data_episodes"] = 30_000  # the features that plain SAC sees are learned from data
    write_rows(folder, rows)
    (folder / "grid.json").write_text(json.dumps(grid.to_dict()), encoding="utf-8")
    (study,) = load_studies([folder])
    notes = " ".join(cautions(study))
    assert "Unfinished: 20 of 168 runs are done." in notes
    assert "PARROT 16, " in notes and "BC-SAC 20" in notes and "TrajRL 24" in notes
    assert "One run a task: there are no intervals." in notes
    assert "Not all methods have runs of all tasks" in notes
    assert "BC-SAC (4 of 8 tasks)" in [cells[0] for cells in tables.method_table(study).rows]
    assert "Unfinished" in report_page([study])


def test_runs_without_curves_or_success(tmp_path):
    """A grid in the ci setting: one bin of one task, no success at all."""
    rows = [
        {**row(TASKS[5], method, 0), "curve": curve, "success": share(0.0, 2), "env_steps": 75}
        for method, curve in [("parrot", [[75, 0.0]]), ("sac", [[75, 0.0]]), ("hirl", [])]
    ]
    study = few(tmp_path, rows)
    page = report_page([study])
    assert "HIRL" in page and "0.00" in page
    assert save_figures(study, tmp_path / "figures")
    bare = few(tmp_path, [{**rows[0], "curve": []}], "bare")
    assert {plate.name for plate in plates(bare)} == {"success"}
    assert "steps to 50 %" not in report_page([bare])


def test_two_folders_of_one_grid_are_one_study(tmp_path):
    rows = list(main_rows(seeds=2, tasks=TASKS[:2]))
    parts = [write_rows(tmp_path / "a", rows[:10]), write_rows(tmp_path / "b", rows[10:])]
    (study,) = load_studies(parts)
    assert len(study.rows) == len(rows)
    write_rows(tmp_path / "b", rows[9:])
    with pytest.raises(DataError, match="one row for each run, got 2 for .*two folders"):
        load_studies(parts)


class Reader(HTMLParser):
    """Notes every address and whether tags are closed in order."""

    VOID = frozenset(("meta", "link", "img", "br", "hr", "path", "use"))

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action")]
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page_is_well_formed_and_names_nothing_outside(small):
    page = report_page(small, commands=["parrot report results/main-laptop"])
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert {address[:1] for address in reader.addresses} <= {"#", "d"}
    assert all(a.startswith(("#", "data:")) for a in reader.addresses)
    assert "@import" not in page and "url(http" not in page
    assert len(set(reader.ids)) == len(reader.ids)
    targets = {a[1:] for a in reader.addresses if a.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]*)\)", page))
    assert targets <= set(reader.ids)
    assert report_page(small[-1:]) == report_page(small[-1:])


def test_page_escapes_everything(tmp_path):
    evil = '<script>alert("x")</script>&'
    told = row(TASKS[0], "parrot", 0, setting=f"s{evil}", labels={"a": evil})
    told["config"] = {evil: evil, "gamma": 0.9}
    told["versions"] = {evil: evil}
    told["machine"] = {"processor": evil}
    told["task"] = f"Parrot{evil}-v0"
    others = [{**told, "rl_seed": 1, "method": f"m{evil}", "labels": {"a": "b"}}]
    study = few(tmp_path, [told, *others])
    page = report_page([study], heading=evil, commands=[evil])
    assert "<script" not in page.lower()
    assert page.count("&lt;script&gt;") > 10
    Reader().feed(page)


def test_films_stand_in_the_page(small, tmp_path):
    study = small[0]
    folder = tmp_path / "ParrotGraspCup-v0" / "parrot" / "p0" / "r0"
    folder.mkdir(parents=True)
    (folder / "held-out.gif").write_bytes(b"GIF89a" + bytes(100))
    other = tmp_path / "ParrotGraspCup-v0" / "sac" / "p0" / "r0"
    other.mkdir(parents=True)
    (other / "film.mp4").write_bytes(bytes(50))
    films, left_out = find_films(study, [tmp_path])
    assert [film.label for film in films] == ["Grasp cup: PARROT", "Grasp cup: SAC"]
    assert [film.is_video for film in films] == [False, True] and left_out == 0
    content = base64.b64decode(films[0].source.partition(",")[2])
    assert content == b"GIF89a" + bytes(100)
    films, left_out = find_films(study, [tmp_path], max_bytes=60)
    assert [film.label for film in films] == ["Grasp cup: SAC"] and left_out == 1
    page = report_page([study], film_folders=[tmp_path])
    assert "data:image/gif;base64," in page and "<video controls" in page


def test_command(folders, tmp_path, capsys):
    out, figures, text = tmp_path / "page.html", tmp_path / "figures", tmp_path / "tables.md"
    rows = list(main_rows(2, TASKS[:1]))
    places = [str(write_rows(tmp_path / "main-laptop", rows)), str(folders["exploration"])]
    args = ["--out", str(out), "--figures", str(figures), "--markdown", str(text)]
    named = ["--heading", "All of them", "--gym-packages", "parrot_envs", "gymnasium"]
    assert main(["report", *places, *args, *named]) == 0
    printed = capsys.readouterr().out
    assert "| PARROT " in printed and str(out) in printed
    assert text.read_text(encoding="utf-8") in printed
    assert {path.name for path in figures.iterdir()} == {
        "main-laptop-success.png",
        "main-laptop-mean-curves.png",
        "main-laptop-task-curves.png",
        "main-laptop-profiles.png",
        "main-laptop-improvement.png",
        "exploration-laptop-exploration.png",
    }
    page = out.read_text(encoding="utf-8")
    assert "parrot experiment main --setting laptop" in page
    assert f"--out {out}" in page
    again = "--heading &#39;All of them&#39; --gym-packages parrot_envs gymnasium"
    assert again in page  # what is typed again has all that was given


def test_command_names_mistakes(folders, tmp_path, capsys):
    def mistake(*args: str) -> str:
        assert main(["report", *args, "--out", str(tmp_path / "page.html")]) == 2
        assert not (tmp_path / "page.html").exists()
        return capsys.readouterr().err

    assert "one results folder at least" in mistake()
    assert "nowhere: expected a folder with the rows of" in mistake(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    assert "expected a folder with the rows of" in mistake(str(tmp_path / "empty"))
    good = str(folders["main"])
    assert "Expected a folder of runs" in mistake(good, "--runs", str(tmp_path / "nowhere"))
    assert "Expected --runs" in mistake(good, "--film")
    rows = [row(TASKS[0], "parrot", 0), row(TASKS[0], "parrot", 1, grid="mismatch")]
    told = mistake(str(write_rows(tmp_path / "mixed", rows)))
    assert "one grid in one setting, got main (laptop), mismatch (laptop)" in told


def test_torn_and_damaged_rows(tmp_path):
    folder = write_rows(tmp_path / "torn", [row(TASKS[0], "parrot", seed) for seed in range(2)])
    path = folder / "rows.jsonl"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + whole[:40], encoding="utf-8")  # killed while it wrote a third
    assert len(load_studies([folder])[0].rows) == 2
    path.write_text(whole[:40] + "\n" + whole, encoding="utf-8")
    with pytest.raises(DataFileError, match=r"rows\.jsonl, line 1"):
        load_studies([folder])
    path.write_text(whole, encoding="utf-8")
    (folder / "grid.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataFileError, match=r"grid\.json"):
        load_studies([folder])


ENV_ID = "ParrotGraspCup-v0"
