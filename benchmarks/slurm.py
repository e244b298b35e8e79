"""A real Slurm on one machine: jobs, an array, and a node that dies in the middle.

    python benchmarks/slurm.py

A controller and two nodes are started here. A collection and a small grid go over them by `--engine
slurm`. When the first node has done something, and the second one is in the middle of a task, where
`held.py` lets it wait, the second one is killed with all that runs on it. Then the same collection
is made by an array and put together by `parrot data gather`. All has to equal what one process
makes: shards byte by byte, rows but for their clocks, each once.

Needs Linux, root and Debian's slurmctld, slurmd, slurm-client and munge, with ports 26817 to 26819
free; exits with 77 where they are not there.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import held
from held_commands import (
    PARROT,
    PATIENCE,
    HeldCommand,
    held_collection,
    held_study,
    same_rows,
    same_shards,
    wait_for,
)
from hosts import CANNOT

from parrot_wrapper.evaluation.report import markdown_table

NODES = ("n1", "n2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIG = """
ClusterName=parrot
SlurmctldHost={host}
AuthInfo=socket={folder}/socket
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SlurmctldPort=26817
SlurmdTimeout=15
ReturnToService=1
SlurmdParameters=config_overrides
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=26818 CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=26819 CPUs=1
PartitionName=all Nodes=n1,n2 Default=YES
"""


class Slurm:
    """A controller and two nodes with one core each; a node counts as dead after 15 seconds.

    Args:
        folder: For all that Slurm writes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.env = {
            **os.environ,
            "HELD_AT": str(folder),
            "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2])),
            "SLURM_CONF": str(folder / "slurm.conf"),
        }

    def __enter__(self) -> Slurm:
        if os.geteuid() or not all(map(shutil.which, PROGRAMS)):
            print(f"Expected root, and {', '.join(PROGRAMS)} installed.", file=sys.stderr)
            sys.exit(CANNOT)
        settings = CONFIG.format(host=platform.node(), folder=self._folder)
        (self._folder / "slurm.conf").write_text(settings)
        (self._folder / "state").mkdir()
        (self._folder / "key").write_bytes(os.urandom(1024))
        (self._folder / "key").chmod(0o600)
        files = ("key-file", "socket", "pid-file", "log-file", "seed-file")
        names = [f"--{file}={self._folder / file.replace('-file', '')}" for file in files]
        self._start("munged", "munged", "--foreground", "--force", *names)
        self._start("slurmctld", "slurmctld", "-D")
        self.begin()
        return self

    def begin(self) -> None:
        """Start the nodes that are not there, and wait until nothing runs on any."""
        for node in NODES:  # whose processes end with it
            alone = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
            if node not in self._running:
                self._start(node, *alone, "slurmd", "-D", "-N", node)
        wait_for(self._idle, "both nodes", self._running["slurmctld"])

    def _start(self, name: str, *command: str) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command, env=self.env, stdout=log, stderr=subprocess.STDOUT
            )

    def _idle(self) -> bool:
        told = subprocess.run(
            ("sinfo", "-h", "-N", "-o", "%T"), env=self.env, capture_output=True, text=True
        )
        time.sleep(0.5)
        return told.stdout.split() == ["idle"] * len(NODES)

    def run(self, *command: str) -> None:
        """Run a command to its end."""
        subprocess.run(command, check=True, env=self.env, timeout=PATIENCE)

    def with_a_loss(self, command: HeldCommand) -> None:
        """Make `far` on both nodes, and kill one in the middle of a task."""
        self.begin()
        held.hold(self._folder, "n2")
        far = (*command.making("far"), "--engine", "slurm", "--workers", "2")
        with subprocess.Popen(far, env=self.env) as running:
            wait_for(lambda: held.is_held(self._folder, "n2"), "a task on n2", running)
            wait_for(lambda: command.in_part_done(Path(), "far"), "what n1 does", running)
            self.lose("n2")
            held.release(self._folder, "n2")
        if running.returncode:
            raise SystemExit(f"The command ended with {running.returncode}.")

    def lose(self, name: str) -> None:
        """Kill a node, with all that runs there."""
        self._running[name].kill()
        self._running.pop(name).wait()

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            self.lose(name)


def main(argv: Sequence[str] | None = None) -> int:
    """Do it, and print the table; 1 where a result differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--episodes", type=int, default=160)
    parser.add_argument("--shard-attempts", type=int, default=20)
    parser.add_argument("--env-steps", type=int, default=300, help="of each of two runs")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and clear up
    rows = []
    with tempfile.TemporaryDirectory() as name, Slurm(Path(name)) as slurm:
        os.chdir(name)
        collection = held_collection(args.episodes, args.shard_attempts)
        study = held_study(Path(), seeds=1, env_steps=args.env_steps)

        def array() -> None:
            part = shlex.join((*collection.alone("parts"), "--world-size", "2"))
            slurm.run("sbatch", "--wait", "--array", "0-1", "--wrap", part)
            slurm.run(*PARROT, "data", "gather", "parts")
            Path("far").rename("engine")
            Path("parts").rename("far")

        for command in (collection, study):
            slurm.run(*command.alone("near"))
        for how, work, same in (
            ("collect, a node lost", lambda: slurm.with_a_loss(collection), same_shards),
            ("experiment, a node lost", lambda: slurm.with_a_loss(study), same_rows),
            ("collect, an array", array, same_shards),
        ):
            begun = time.perf_counter()
            work()
            what, holds = same(Path())
            rows.append([how, what, "yes" if holds else "NO", f"{time.perf_counter() - begun:.0f}"])
    print(markdown_table(["how", "made", "as one process", "s"], rows))
    return int(any(row[2] != "yes" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
