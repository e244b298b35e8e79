"""The `parrot` command: a table of subcommands, each loaded only when it is called."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Protocol

from parrot_wrapper.errors import (
    InvalidArgumentError,
    ParrotError,
    UnreadDataWarning,
    UntaughtWarning,
    needed_extra,
    require_known,
)
from parrot_wrapper.io.atomic_files import is_refusal

COMMANDS: dict[str, tuple[str, str]] = {
    "collect": ("collect:CollectCommand", "Record demonstrations of a scripted expert."),
    "record": ("record:RecordCommand", "Record your own demonstrations by keyboard or gamepad."),
    "data": ("data:DataCommand", "Show, import and export data sets."),
    "train-prior": ("train_prior:command", "Fit a prior of any kind to a data set."),
    "eval-prior": ("eval_prior:EvalPriorCommand", "Judge a prior before spending RL on it."),
    "train": ("train:command", "Train stock SAC in the latent space of a prior."),
    "refit": ("refit:RefitCommand", "Refit a prior to what agents learned behind it."),
    "evaluate": ("evaluate:EvaluateCommand", "Measure the success of a trained agent."),
    "experiment": ("experiment:ExperimentCommand", "Run a study, or a grid of your own."),
    "report": ("report:ReportCommand", "Turn result rows into tables, figures and one HTML page."),
    "watch": ("watch:WatchCommand", "Show a policy in an env, in a window or as a GIF."),
    "demo": ("demo:DemoCommand", "Learn a new task with the packaged prior and show it."),
    "info": ("info:InfoCommand", "Show versions, env ids and priors, or the card of a folder."),
}
"""Subcommand to ("module:Class" below `parrot_wrapper.cli`, what it does).

In place of a class there may be a function from the arguments to it.
"""
_TOLD = (UnreadDataWarning, UntaughtWarning)
_FORMER = {
    "train-baseline": "`parrot train-prior --kind KIND`, where hirl is cvae, trajrl is trajectory, "
    "vae-features is features, and --encoder is --encoder-of",
}
"""Former subcommand to what it is called now."""

_USER_ERRORS = (("gymnasium.error", "Error"), ("parrot_envs.errors", "ParrotEnvError"))


class Command(Protocol):
    """A frozen dataclass whose fields are the options of a subcommand."""

    def run(self) -> None:
        """Do it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: Arguments after the program's name; those of this process where left out.

    Returns:
        The exit code: 0, 2 after a user's mistake (with one line on stderr), 130 after Ctrl-C.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        with _data_warnings_told():
            code = _dispatch(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        _end_bars()
        print("parrot: stopped. The same command goes on where it can.", file=sys.stderr)
        return 130
    except Exception as error:
        _end_bars()
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            return 0
        known = isinstance(error, (ParrotError, *_foreign_user_errors()))
        if not known and not is_refusal(error):
            raise
        print(f"parrot: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


@contextmanager
def _data_warnings_told() -> Iterator[None]:
    """One line on stderr about what data lack or is not looked at, whatever Python's -W says."""
    with warnings.catch_warnings():
        for told in _TOLD:
            warnings.simplefilter("always", told)
        show = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *where: Any, **to: Any) -> None:
            if issubclass(category, _TOLD):
                print(f"parrot: {message}", file=sys.stderr)
            else:
                show(message, category, *where, **to)

        warnings.showwarning = tell
        yield


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if args[0] == "--version":
        from parrot_wrapper import __version__

        print(__version__)
        return 0
    name, *rest = args
    if name in _FORMER:
        raise InvalidArgumentError(f"`parrot {name}` is now {_FORMER[name]}.")
    require_known("command", [name], COMMANDS)
    try:
        _parse(name, rest).run()
    except SystemExit as leave:  # tyro ends --help and its own errors this way
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return 0


def _parse(name: str, args: list[str]) -> Command:
    with needed_extra("cli", "The parrot command needs tyro"):
        import tyro
    from parrot_wrapper.cli.arguments import expand_home

    module, _, attribute = COMMANDS[name][0].partition(":")
    command: Any = getattr(import_module(f"{__name__}.{module}"), attribute)
    words = [expand_home(word) for word in args]
    if not isinstance(command, type):
        command = command(words)
    parsed: Command = tyro.cli(
        command,
        args=words,
        prog=f"parrot {name}",
        config=(tyro.conf.OmitSubcommandPrefixes,),
    )
    return parsed


def _end_bars() -> None:
    """Leave the line of a progress bar that an exception has cut short."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is not None:
        for bar in list(getattr(tqdm.tqdm, "_instances", ())):
            bar.close()


def _reader_is_gone() -> bool:
    """Whether it is our output that nobody reads (`parrot info | head`); it is then dropped."""
    try:
        print(flush=True)  # a write that failed has left nothing to flush
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: parrot COMMAND [options]",
            "",
            *lines,
            "",
            "`parrot COMMAND --help` lists the options of a command.",
        ]
    )


def _foreign_user_errors() -> tuple[type[Exception], ...]:
    """Users' mistakes that other packages name; only those already imported can be in flight."""
    return tuple(
        getattr(sys.modules[module], name) for module, name in _USER_ERRORS if module in sys.modules
    )
