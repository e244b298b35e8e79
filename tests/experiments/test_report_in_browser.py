"""The page in a real browser: no complaints, nothing asked for outside, readable on any screen."""

import numpy as np
import pytest

from parrot_wrapper.evaluation.pictures import save_gif
from parrot_wrapper.experiments.page import report_page
from parrot_wrapper.experiments.study import load_studies
from tests.experiments.headless_browser import browser_page, find_browser
from tests.experiments.synthetic_rows import (
    TASKS,
    exploration_rows,
    main_rows,
    mismatched_rows,
    write_rows,
)

BROWSER = find_browser()

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="needs Chromium or Chrome (Debian: apt-get install chromium)"
)

SHOWN = """
[...document.querySelectorAll('svg, img')].filter(e => e.parentElement.offsetParent)
    .map(e => [e.tagName, e.getBoundingClientRect().width, e.getBoundingClientRect().height,
               e.tagName == 'IMG' ? e.naturalWidth : 1])
"""
LUMINANCE = """
(s => { const c = getComputedStyle(document.querySelector(s[0]))[s[1]].match(/\\d+/g).map(Number);
        return (0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]) / 255; })
"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    place = tmp_path_factory.mktemp("page")
    tasks = TASKS[4:7]
    rows = [main_rows(2, tasks), mismatched_rows(2, tasks), exploration_rows(tasks)]
    made = [write_rows(place / str(i), list(part)) for i, part in enumerate(rows)]
    studies = load_studies(made)
    run = place / "runs" / "ParrotGraspCup-v0" / "parrot" / "p0" / "r0"
    rng = np.random.default_rng(0)
    save_gif(run / "film.gif", list(rng.integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)))
    path = place / "report.html"
    path.write_text(report_page(studies, film_folders=[place / "runs"]), encoding="utf-8")
    return path


def test_page_in_a_browser(page_file):
    with browser_page(BROWSER) as page:
        page.show(1_100)
        page.open(page_file)
        assert page.requests == [page_file.resolve().as_uri()]
        assert page.evaluate("document.title") == "PARROT results"
        for width in (1_100, 390):
            page.show(width)
            shown = page.evaluate(SHOWN)
            assert {kind for kind, *_ in shown} == {"svg", "IMG"}
            for _, wide, high, natural in shown:
                assert wide > 100 and high > 60 and natural > 0
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            small = page.evaluate(
                "Math.min(...[...document.querySelectorAll('svg text')]"
                ".map(t => t.getBoundingClientRect().height).filter(h => h > 0))"
            )
            assert small >= 9  # the smallest text of a figure, in CSS pixels
        for dark in (False, True):
            page.show(1_100, dark=dark)
            ground = page.evaluate(f"{LUMINANCE}(['body', 'backgroundColor'])")
            ink = page.evaluate(f"{LUMINANCE}(['svg text', 'fill'])")
            assert (ground < 0.2) if dark else (ground > 0.9)
            assert abs(ground - ink) > 0.4
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.complaints == []
        assert page.requests == [page_file.resolve().as_uri()]
