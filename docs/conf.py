"""How Sphinx builds the site: `make docs`. Everything is on this machine; nothing is fetched."""

from __future__ import annotations

import re
import typing
from typing import Any

from numpy.typing import ArrayLike
from sphinx.util.inspect import TypeAliasForwardRef
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
nb_execution_timeout = 1200  # seconds for a cell that takes one or two, however busy the machine is
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {
    name: name
    for name in (
        "AgentObservation", "AnyArray", "FloatArray", "ImageArray", "Observations", "Runs", "Values"
    )
}  # fmt: skip
TypeAliasForwardRef.__repr__ = lambda alias: alias.name  # within other types it shows this
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # of dataclasses, mostly
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True

# `Names` in docstrings are links where they lead somewhere, and code everywhere else. Types of
# other packages, and those that the API pages leave out, are named without a link.
default_role = "py:obj"
_FOREIGN = "collections|dataclasses|gym|gymnasium|numpy|pathlib|stable_baselines3|torch"
_ARRAY_LIKE = stringify_annotation(ArrayLike, "smart")
_ALIASES = "|".join(
    [*autodoc_type_aliases, "ArrayLike", "ResetNeeded", "Path", "VecEnv", "VectorEnv"]
)
_INTERNAL = (
    r"parrot_envs\.(robot\.Robot|scene\.Scene)|parrot_wrapper\.[\w.]+\._\w+|DriverOptions"
    r"|parrot_wrapper\.wrappers\.driver\.Driven\w*|parrot_wrapper\.priors\.encoders\.base\.ActingEncoder"
    r"|parrot_wrapper\.[\w.]+\.(RemotePath|Manifest|ShardInfo|KeyOptions|QuantileChart|Ranks)"
)
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


def tidy_signature(
    app: Any, what: str, name: str, subject: Any, options: Any, signature: Any, returns: Any
) -> tuple[Any, Any]:
    """Protocols are not called; `ArrayLike` is better known by its name than by all it means."""
    if what == "class" and getattr(subject, "_is_protocol", False):
        return "", None
    if signature:  # "<factory>" is no Python, and keeps Sphinx from understanding the rest
        signature = signature.replace(_ARRAY_LIKE, "ArrayLike").replace("<factory>", "...")
    return signature, returns


def tidy_bases(app: Any, name: str, subject: Any, options: Any, bases: list[Any]) -> None:
    """Name bases without their type arguments, and public ones for private ones."""
    plain = [typing.get_origin(base) or base for base in bases]
    bases[:] = [  # NamedTuple is a function
        next(kind for kind in getattr(base, "__mro__", [base]) if not kind.__name__.startswith("_"))
        for base in plain
    ]


def keep_links_inside(app: Any, page: str, content: list[str]) -> None:
    """Let links to a text outside of docs/ lead to the page that includes it."""
    for outside, inside in _INCLUDED.items():
        content[0] = content[0].replace(f"]({outside})", f"]({inside})")


_INCLUDED = {
    f"../parrot_wrapper/assets/priors/{name}/README.md": f"{name}.md"
    for name in ("parrot-v0", "parrot-v1")
}


def setup(app: Any) -> None:
    """Connect all of the above."""
    app.connect("source-read", keep_links_inside)
    app.connect("autodoc-process-docstring", restore_colon, priority=600)  # Napoleon has 500
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("autodoc-process-signature", tidy_signature)
    app.connect("autodoc-process-bases", tidy_bases)
