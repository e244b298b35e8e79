"""How Sphinx builds the site: `make docs`. Everything is on this machine; nothing is fetched."""

from __future__ import annotations

import re
from typing import Any

from numpy.typing import ArrayLike
from sphinx.util.typing import stringify_annotation

import parrot_wrapper

project = "parrot-wrapper"
author = "PARROT wrapper contributors"
release = version = parrot_wrapper.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

# Pages are plain Markdown that GitHub shows too; links between them may go to headings.
myst_heading_anchors = 3

# Pages with code cells are run anew in every build, and must not fail.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {
    name: name
    for name in (
        "AgentObservation", "AnyArray", "FloatArray", "ImageArray", "Observations", "Runs", "Values"
    )
}  # fmt: skip
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True

# `Names` in docstrings are links where they lead somewhere, and code everywhere else. Types that the
# API pages lack are listed here; what other packages define is named without a link.
default_role = "py:obj"
_FOREIGN = "collections|gym|gymnasium|numpy|pathlib|stable_baselines3|torch"
_ARRAY_LIKE = stringify_annotation(ArrayLike, "smart")
_ALIASES = "|".join([*autodoc_type_aliases, "ArrayLike", "ResetNeeded"])
_INTERNAL = r"parrot_envs\.(robot\.Robot|scene\.Scene)|parrot_wrapper\.[\w.]+\._\w+"
nitpick_ignore_regex = [
    ("py:obj", ".*"),
    ("py:(class|exc)", rf"({_FOREIGN})\..*|{_ALIASES}|{_INTERNAL}"),
]


def restore_colon(
    app: Any, what: str, name: str, subject: Any, options: Any, lines: list[str]
) -> None:
    """Undo Napoleon's reading of a property's "Z: its length" as a type and a text."""
    kind = next((line for line in lines if line.startswith(":type:")), None)
    if what in ("attribute", "data", "property") and kind is not None:
        lines.remove(kind)
        lines[0] = f"{kind.removeprefix(':type:').strip()}: {lines[0]}"


def escape_bars(
    app: Any, what: str, name: str, subject: Any, options: Any, lines: list[str]
) -> None:
    """Keep |z| in docstrings from being read as a substitution, except in examples."""
    example = False
    for index, line in enumerate(lines):
        example = line.lstrip().startswith((">>>", "...")) or (example and bool(line.strip()))
        if not example:
            lines[index] = re.sub(r"(?<!\\)\|", r"\\|", line)


def name_aliases(
    app: Any, what: str, name: str, subject: Any, options: Any, signature: Any, returns: Any
) -> tuple[Any, Any]:
    """Write aliases by their names where Sphinx writes how it stands for them, or all they mean."""

    def named(text: str | None) -> str | None:
        if text is None:
            return None
        text = re.sub(r"~?[\w.]*TypeAliasForwardRef\('([\w.]+)'\)", r"\1", text)
        return text.replace(_ARRAY_LIKE, "ArrayLike")

    return named(signature), named(returns)


def keep_links_inside(app: Any, page: str, content: list[str]) -> None:
    """Let links to a text outside of docs/ lead to the page that includes it."""
    for outside, inside in _INCLUDED.items():
        content[0] = content[0].replace(f"]({outside})", f"]({inside})")


_INCLUDED = {"../parrot_wrapper/assets/priors/parrot-v0/README.md": "parrot-v0.md"}


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", keep_links_inside)
    app.connect("autodoc-process-docstring", restore_colon, priority=600)  # Napoleon has 500
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("autodoc-process-signature", name_aliases)
