"""Words of a command line before they are parsed, and options that follow from dataclasses."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, make_dataclass
from typing import Annotated, Any, NoReturn

import docstring_parser
import tyro

from parrot_wrapper.errors import InvalidArgumentError

_HOME = re.compile(r"(--[\w-]+=|agent:|prior:)?(~.*)", re.DOTALL)
"""A word that begins with the home folder; shells leave it alone after = and in quotes."""


def expand_home(word: str) -> str:
    """A word with `~` replaced by the home folder, in front or after `--option=`.

    Example:
        >>> expand_home("--out=a~b")
        '--out=a~b'
    """
    match = _HOME.fullmatch(word)
    return word if match is None else (match[1] or "") + os.path.expanduser(match[2])


Option = tuple[str, Any, Any]
"""Name, type and field of an option, as `dataclasses.make_dataclass` takes them."""


def chosen(args: Sequence[str], **defaults: str) -> dict[str, str]:
    """What a command line says of the few options that decide what the others are."""
    parser = _Silent(add_help=False, allow_abbrev=False)
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", f"--{name}", default=default)
    return vars(parser.parse_known_args(args)[0])


class _Silent(argparse.ArgumentParser):
    """Leaves what is wrong with the arguments to those who parse all of them."""

    def error(self, message: str) -> NoReturn:
        raise InvalidArgumentError(f"{message}.")


def helps(*documented: type | Callable[..., Any]) -> dict[str, str]:
    """What docstrings say of fields and arguments; the last one counts."""
    told: dict[str, str] = {}
    for each in documented:
        parsed = docstring_parser.parse(each.__doc__ or "")
        told |= {p.arg_name: " ".join((p.description or "").split()) for p in parsed.params}
    return told


def option(name: str, hint: Any, default: Any, told: str = "") -> Option:
    """An option; mappings are given as key=value."""
    if isinstance(default, Mapping):
        default, hint = tuple(f"{k}={v}" for k, v in default.items()), tuple[str, ...]
    return name, Annotated[hint, tyro.conf.arg(help=told)], field(default=default)


def group(name: str, options: Sequence[Option]) -> Option:
    """Options in a dataclass of their own, `--name.option` on the command line."""
    made = make_dataclass(name.title(), options, frozen=True)
    return name, made, field(default=made())


def nesting(command: type[Any], *options: Option, **nested: Any) -> type[Any]:
    """A command with options beside its own, and with those of dataclasses.

    Args:
        command: A dataclass.
        options: Single ones.
        **nested: Dataclasses whose values are the defaults, by the names of their fields.
    """
    fields_of_nested = [
        (name, Annotated[type(default), tyro.conf.arg(name="")], field(default=default))
        for name, default in nested.items()
    ]
    return make_dataclass(
        command.__name__,
        [*options, *fields_of_nested],
        bases=(command,),
        namespace={"__doc__": command.__doc__},
        frozen=True,
    )
