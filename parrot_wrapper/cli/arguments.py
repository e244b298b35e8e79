"""Words of a command line before they are parsed, and options that follow from dataclasses."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, fields, is_dataclass, make_dataclass
from typing import Annotated, Any, NoReturn, Union, get_args, get_origin, get_type_hints

import docstring_parser
import tyro

from parrot_wrapper.errors import InvalidArgumentError, UnknownNameError

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


def require_known_options(name: str, command: type[Any], args: Sequence[str]) -> None:
    """Refuse the first option that a command does not have.

    Args:
        name: Of the command.
        command: Its dataclass.
        args: The words after its name.

    Raises:
        UnknownNameError: With the nearest option.
    """
    known = {"help", *_option_names(command)}
    former = getattr(command, "FORMER", {})
    for word in args:
        option = word.partition("=")[0].removeprefix("--").replace("_", "-")
        if not word.startswith("--") or not option or option in known:
            continue
        group = [other for other in sorted(known) if other.startswith(f"{option}.")]
        current = [former[option]] if option in former else group
        if current:
            raise UnknownNameError(f"'--{option}' is now --{', --'.join(current)}.")
        nearest = difflib.get_close_matches(option, sorted(known), n=1, cutoff=0.5)
        hint = f" Did you mean '--{nearest[0]}'?" if nearest else ""
        raise UnknownNameError(
            f"Unknown option '--{option}' of parrot {name}.{hint} `parrot {name} --help` lists "
            "all of them."
        )


def _option_names(command: type[Any]) -> Iterator[str]:
    """Names of all options, as tyro makes them of our dataclasses.

    Those of groups are `group.option`; nested ones have no prefix where one was chosen, or taken
    away by a name.
    """
    hints = get_type_hints(command, include_extras=True)
    for entry in fields(command):
        hint, notes = _unwrapped(hints[entry.name])
        parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        kinds = [_unwrapped(part)[0] for part in parts]
        nested = [kind for kind in kinds if is_dataclass(kind)]
        prefix = f"{entry.name}.".replace("_", "-") if nested == [hint] and not notes else ""
        for kind in nested:
            names = _option_names(kind)  # type: ignore[arg-type]
            yield from (f"no-{prefix}{n[3:]}" if n[:3] == "no-" else prefix + n for n in names)
        if nested or tyro.conf.Positional in notes:
            continue
        named = [getattr(note, "name", None) for note in notes]
        option = str(next(filter(None, named), entry.name)).replace("_", "-")
        yield option
        if bool in kinds:
            yield f"no-{option}"


def _unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type inside Annotated, and the notes to it."""
    if get_origin(hint) is not Annotated:
        return hint, ()
    kind, *notes = get_args(hint)
    return kind, tuple(notes)


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
