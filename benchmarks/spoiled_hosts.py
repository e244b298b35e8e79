"""What goes wrong with one of several hosts: each fault gives one error that names it.

    python benchmarks/spoiled_hosts.py

A collection of which one shard is done goes on over hosts as those of `hosts.py`, the second of
which is spoiled: its disk is full, a package or the module with the envs is missing, a version is
another one. It has to end with one line that names that host and what to do, and the shard has to
stay as it is. In the end the clock of that host is an hour behind, and a second command wants the
same folder: the first one has to give what one process gives.

Needs Linux, root and `ip` of iproute2; exits with 77 where namespaces cannot be made.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import held
import ray
from held_commands import PATIENCE, held_collection
from hosts import HEAD, RAY, Hosts

import parrot_wrapper
from parrot_wrapper.evaluation.report import markdown_table


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a host.

    Attributes:
        name: In words.
        shell: What spoils it, in the shell that starts Ray there.
        told: Words that have to be told.
    """

    name: str
    shell: str
    told: tuple[str, ...]


def changed(folder: Path, change: str) -> str:
    """Shell lines that change a copy of a folder which this host alone sees."""
    kept = "rm -rf up work; mkdir up work; mount -t overlay overlay -o "
    return f"{kept}lowerdir={folder},upperdir=up,workdir=work {folder} && cd {folder} && {change}"


REPOSITORY = Path(__file__).parents[1]
FAULTS = (
    Fault(
        "its disk is full",
        "mkdir -p tiny; mount -t tmpfs -o size=64k none tiny; export TMPDIR=$PWD/tiny",
        ("host2: ", "the disk is full", "Make room"),
    ),
    Fault(
        "a package is missing",
        changed(Path(h5py.__file__).parents[1], "rm -r h5py"),
        ("10.77.0.3: ", "h5py", "pip install"),
    ),
    Fault(
        "the module with the envs is missing",
        f"export PYTHONPATH={REPOSITORY}",
        ("host2: ", "held"),
    ),
    Fault(
        "another version of parrot-wrapper",
        changed(
            Path(parrot_wrapper.__file__).parent,
            "sed -i 's/^__version__ = .*/__version__ = \"0.0\"/' __init__.py",
        ),
        ("host2: ", "'0.0'", "Install the same versions"),
    ),
)
ANOTHER_RAY = changed(
    Path(ray.__file__).parent, "sed -i 's/^version = .*/version = \"2.0\"/' _version.py"
)


BEHIND = """
cat >sitecustomize.py <<'END'
import time
now, now_ns = time.time, time.time_ns
time.time = lambda: now() - 3_600
time.time_ns = lambda: now_ns() - 3_600_000_000_000
END
export PYTHONPATH=$PWD:$PYTHONPATH
"""
"""Shell lines that set the clock that Python reads an hour back (libfaketime stops its threads)."""


class Trial:
    """A collection on hosts one of which is spoiled.

    Args:
        hosts: With Ray on the first one.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts, self._folder = hosts, hosts.folder(0)
        self._command = held_collection(30, 10)
        self._begin = self._folder / "far" / "shard-000000.h5"
        self.ended("collect.log", *held_collection(5, 10).alone("far"))
        self._kept = self._begin.read_bytes()

    def start(self, log: str, address: str = HEAD) -> subprocess.Popen[bytes]:
        """Start the command on the first host."""
        far = (*self._command.making("far"), "--engine", "ray", "--address", address)
        return self._hosts.run(0, *far, "--workers", "1", log=log)

    def ended(self, log: str, *command: str) -> tuple[int, str]:
        """The exit code of a command, and its last line."""
        code = self._hosts.run(0, *command, log=log).wait(PATIENCE)
        return code, (self._folder / log).read_text().splitlines()[-1]

    def failed(self, log: str, words: Sequence[str], address: str = HEAD) -> tuple[str, bool]:
        """The last line of a command that has to fail, and whether all is as it should be."""
        code = self.start(log, address).wait(PATIENCE)
        line = (self._folder / log).read_text().splitlines()[-1]
        kept = self._begin.read_bytes() == self._kept
        return line, bool(code) and kept and all(word in line for word in words)

    def spoiled(self, fault: Fault) -> tuple[str, bool]:
        """What is told where the second host has a fault."""
        self._hosts.spoil[2] = fault.shell
        self._hosts.begin_worker(2)
        found = self.failed(f"{fault.name}.log", fault.told)
        self._hosts.clear(2)
        return found

    def another_ray(self) -> tuple[str, bool]:
        """What Ray says on a host that has another version of it."""
        self._hosts.spoil[2] = ANOTHER_RAY
        join = (*RAY, "start", "--address", HEAD, "--num-cpus=1", "--node-ip-address", "10.77.0.3")
        code = self._hosts.run(2, *join, log="another.log").wait(PATIENCE)
        lines = (self._hosts.folder(2) / "another.log").read_text().splitlines()
        told = " ".join(line.strip() for line in lines[-7:])
        self._hosts.clear(2)
        return told, bool(code) and "Version mismatch" in told and "Ray: 2.0" in told

    def in_the_end(self) -> list[tuple[str, str, bool]]:
        """Two commands at one folder, and a host whose clock is behind."""
        self._hosts.spoil[2] = BEHIND
        self._hosts.hold(2)
        self._hosts.begin_worker(2)
        with self.start("first.log") as first:
            self._hosts.wait(2, first)
            second = self.failed("second.log", ("far", "another process", "on host0", "Wait"))
            held.release(self._hosts.folder(2), "host2")
        self.ended("near.log", *self._command.alone("near"))
        what, same = self._command.same(self._folder)
        told = f"{what}, {'' if same else 'not '}those of one process"
        return [
            ("two commands at one folder", *second),
            ("its clock is an hour behind", told, same and not first.returncode),
        ]


def main() -> int:
    """Do it, and print the table; 1 where something else is told."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and clear up
    scratch = Path(tempfile.mkdtemp(prefix="hosts-"))
    try:
        with Hosts(scratch) as hosts:
            hosts.begin_head()
            trial = Trial(hosts)
            found = [(fault.name, *trial.spoiled(fault)) for fault in FAULTS]
            found.append(("another version of Ray", *trial.another_ray()))
            nobody = trial.failed("nobody.log", ("nothing answers",), "10.77.0.9:6379")
            found.append(("nobody at the address", *nobody))
            found += trial.in_the_end()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    rows = [[name, told, "yes" if good else "NO"] for name, told, good in found]
    print(markdown_table(["what is wrong", "what is told", "as it should be"], rows))
    return int(not all(good for *_, good in found))


if __name__ == "__main__":
    sys.exit(main())
