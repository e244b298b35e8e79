"""The documentation site is built without a warning, and needs no network to be read."""

import os
import re
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("pybullet")
pytest.importorskip("myst_nb")
from tests.experiments.headless_browser import browser_page, find_browser

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
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    built = subprocess.run(
        [*command, "-d", str(out / "doctrees"), str(DOCS), str(out / "html")],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
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
