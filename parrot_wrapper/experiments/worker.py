"""The process of one job: `python -m parrot_wrapper.experiments.worker`.

The job comes as the first line of its standard input. A further line asks it to stop at the next
moment from which it can go on later; the end of the input means that the parent is gone, killed
maybe, and ends the process at once. Pipes do this on every system, and without races.
"""

from __future__ import annotations

import _thread
import os
import runpy
import signal
import sys
import threading

from parrot_wrapper.experiments.job import CommandJob, from_line

STOPPED = 130
"""Exit code of a process that stopped because it was asked to."""
_COMMAND_MODULE = "parrot_wrapper.cli"


def main() -> int:
    """Do the job; the exit code is 0, that of a command, or `STOPPED`."""
    # a parent in the background of a shell passes on that Ctrl-C is ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # unbuffered: a thread that waits in a buffered stream breaks the interpreter's end
    with open(0, "rb", buffering=0, closefd=False) as stream:
        line = stream.readline()
    threading.Thread(target=_obey, daemon=True).start()
    try:
        job = from_line(line.decode())
        if isinstance(job, CommandJob):
            return _run_command(job.words)
        from parrot_wrapper.experiments.run_worker import train_and_score  # needs SB3

        train_and_score(job)
    except KeyboardInterrupt:
        return STOPPED
    return 0


def _obey() -> None:
    while os.read(0, 4096):
        _interrupt_main()
    os._exit(1)


def _interrupt_main() -> None:
    main_thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main_thread is not None:
        signal.pthread_kill(main_thread, signal.SIGINT)  # wakes it where it waits
    else:
        _thread.interrupt_main()


def _run_command(words: tuple[str, ...]) -> int:
    sys.argv = ["parrot", *words]
    try:
        runpy.run_module(_COMMAND_MODULE, run_name="__main__", alter_sys=True)
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
