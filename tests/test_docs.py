"""Every code block of the README and of docs/ runs; ids, commands, metrics and links are right.

A comment `<!-- tiny: old -> new | old -> new -->` before a Python block replaces text in the test.
Console blocks run in this process, with the small numbers of `SMALL` appended. A Python block that
begins with `# NAME.py` is also saved under that name, for commands and imports.
"""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import gymnasium as gym
import pytest

import parrot_envs
from parrot_wrapper.cli import COMMANDS, main
from tests.experiments.headless_browser import browser_page, find_browser
from tests.project_file import optional_dependencies

pytest.importorskip("pybullet")

ROOT = Path(__file__).parents[1]
COMMAND_PAGE = ROOT / "docs" / "commands.md"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    COMMAND_PAGE,  # makes the data and the runs that commands of later pages use
    *sorted(set((ROOT / "docs").glob("*.md")) - {COMMAND_PAGE}),
]
FILE = re.compile(r"# (\w+)\.py\n")
"""How a Python block begins that is to be saved under this name."""
NEEDS = re.compile(r"<!-- needs: (.*) -->")
"""Modules that a page's Python blocks need beside those of the checks; else it is left out."""
BLOCK = re.compile(r"(?:<!-- tiny: (?P<tiny>.*?) -->\n)?```(?P<kind>\w+)\n(?P<code>.*?)```", re.S)
SMALL = {
    "collect": "--episodes 8 --shard-attempts 16 --workers 1 --no-progress",
    "data": "",
    "train-prior": "--steps 4 --batch-size 16 --no-progress",
    "eval-prior": "--episodes 1 --expert-episodes 5 --gif-episodes 1 --trajectories 1 "
    "--no-progress",
    "train": "--total-steps 300 --episodes 1 --no-progress --device cpu",
    "experiment": "--dry-run",
    "evaluate": "--episodes 1 --gif 1 --no-progress",
    "info": "",
    "watch": "--episodes 1",
}
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def blocks(page: Path, kind: str) -> Iterator[tuple[str, str]]:
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if found["kind"] == kind:
            yield found["code"], found["tiny"] or ""


def with_blocks(kind: str) -> list[Path]:
    return [page for page in PAGES if any(blocks(page, kind))]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a reader of all pages works: with the files that they say to save."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    ids = set(gym.registry)
    for code in (code for page in PAGES for code, _ in blocks(page, "python")):
        if named := FILE.match(code):
            sys.modules.pop(named[1], None)
            (tmp_path / f"{named[1]}.py").write_text(code, encoding="utf-8")
    yield tmp_path
    for env_id in set(gym.registry) - ids:
        del gym.registry[env_id]


def test_generated_tables_are_those_of_the_code_and_the_rows() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_tables.py"))
    used: set[str] = set()
    for page in script["PAGES"]:
        text = page.read_text(encoding="utf-8")
        assert script["rewritten"](text) == text, "run python docs/make_tables.py"
        names = [found["name"] for found in script["SECTION"].finditer(text)]
        assert text.count("<!-- made by") == text.count("<!-- end -->") == len(names), page.name
        used.update(names)
        if page.stem == "results":  # what is not of the rows does not stay
            assert script["rewritten"](text.replace("0.9", "0.1")) != text.replace("0.9", "0.1")
    assert used == set(script["MAKERS"])


@pytest.mark.parametrize("page", with_blocks("python"), ids=lambda page: page.stem)
def test_python_blocks(page: Path, workplace: Path) -> None:
    for needed in NEEDS.findall(page.read_text(encoding="utf-8")):
        for module in needed.split(", "):
            pytest.importorskip(module)
    names: dict[str, object] = {}
    for code, tiny in blocks(page, "python"):
        for pair in filter(None, tiny.split(" | ")):
            old, _, new = pair.partition(" ->")
            assert old in code, f"{page.name}: {old!r} is not in the block"
            code = code.replace(old, new.strip())
        if named := FILE.match(code):
            code = f"import {named[1]}"
        exec(compile(code, page.name, "exec"), names)


@pytest.mark.slow
def test_console_blocks(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In order: later commands use what earlier ones left."""
    for page in with_blocks("console"):
        for line in "".join(code for code, _ in blocks(page, "console")).splitlines():
            run_line(line)
    capsys.readouterr()
    metrics = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = (workplace / "runs/place/log.jsonl").read_text(encoding="utf-8").splitlines()
    for key in json.loads(rows[-1]):
        assert f"`{key}`" in metrics
    report = json.loads((workplace / "runs/prior/report.json").read_text(encoding="utf-8"))
    judgement = json.loads(
        (workplace / "runs/eval-prior/judgement.json").read_text(encoding="utf-8")
    )
    logged = report["history"][-1]
    measures = {"uniform", "samples", "on_data", "on_expert", "cloning", "reachability", "probe"}
    assert measures <= set(judgement)
    shown = [*logged["training"], *logged["validation"], *measures, *judgement["on_expert"]]
    for key in set(shown) - {"steps"}:
        assert f"`{key}`" in metrics


def run_line(line: str) -> None:
    program, *args = shlex.split(line)
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert args[0] in targets
    elif program == "pip":
        check_pip(args)
    elif program == "torchrun":
        small = SMALL[args[args.index("parrot_wrapper") + 1]].split()
        together = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        subprocess.run([*together, *args, *small], check=True, env={**os.environ, **ONE_THREAD})
    elif program == "python":
        assert (ROOT / args[0]).is_file()
    else:
        assert program == "parrot"
        assert main([*args, *SMALL[args[0]].split()]) == 0, line


def check_pip(args: list[str]) -> None:
    for extra in re.findall(r"\[(\w+)\]", " ".join(args)):
        assert extra in optional_dependencies()
    assert (ROOT / args[args.index("-c") + 1]).is_file()


def test_table_of_environments_has_every_id() -> None:
    text = (ROOT / "docs/environments.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(Parrot\w+-v\d+)`", text, re.M)) == set(parrot_envs.ENV_IDS)


def test_table_of_commands_has_every_command() -> None:
    text = COMMAND_PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `parrot ([\w-]+)`", text, re.M)) == set(COMMANDS)


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


pytest.importorskip("pybullet")

DOCS = Path(__file__).parents[1] / "docs"
PUBLIC = (
    "parrot_wrapper",
    "parrot_wrapper.priors",
    "parrot_wrapper.data",
    "parrot_wrapper.evaluation",
    "parrot_wrapper.latent",
    "parrot_wrapper.priors.encoders",
    "parrot_wrapper.record.collect",
    "parrot_envs",
)
"""Modules whose `__all__` is a promise."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` does, with every notebook executed."""
    pytest.importorskip("myst_nb")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    built = subprocess.run(
        [*command, "-d", str(out / "doctrees"), str(DOCS), str(out / "html")],
        capture_output=True,
        text=True,
        env={**os.environ, **ONE_THREAD},
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return out / "html"


@pytest.mark.slow
def test_the_site_is_built_and_asks_for_nothing_on_the_network(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert {"index.html", "quickstart.html", "concepts.html"} <= {page.name for page in pages}
    for page in pages:
        loaded = r"<(?:script|link|img|iframe)[^>]*\b(?:src|href)=\"(https?:[^\"]*)\""
        assert not re.findall(loaded, page.read_text(encoding="utf-8")), page.name
    quickstart = (site / "quickstart.html").read_text(encoding="utf-8")
    assert quickstart.count('class="cell_output') >= 7  # the notebook was executed
    assert "TypeAliasForwardRef" not in (site / "api/data.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_pages_look_right_in_a_browser(site: Path) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("no Chromium on this machine")
    for name, width in (("index", 1280), ("concepts", 400), ("api/wrappers", 1280)):
        with browser_page(browser) as page:
            page.show(width)
            page.open(site / f"{name}.html")
            assert not [address for address in page.requests if not address.startswith("file:")]
            assert not page.complaints
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            broken = "[...document.images].filter(image => !image.naturalWidth).length"
            assert page.evaluate(broken) == 0, name


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_in_the_api(module: str) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.rst"))
    entries = re.findall(r"^\.\. auto(?:class|function|data):: [\w.]*?(\w+)$", text, re.M)
    missing = set(import_module(module).__all__) - set(entries)
    if "automodule:: parrot_wrapper.errors" in text:
        missing -= {"ParrotError"}
    assert not missing, f"add to docs/api/: {sorted(missing)}"


def test_the_pictures_of_the_concepts_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    runpy.run_path(str(DOCS / "make_concept_pictures.py"))["main"]([str(tmp_path)])
    names = {path.name for path in tmp_path.glob("*.png")}
    assert names == {"chart.png", "kl-budget.png"}
    assert names <= {path.name for path in (DOCS / "images").glob("*.png")}
