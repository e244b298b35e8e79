"""A real Slurm on one machine: jobs, an array, and a node that dies in the middle.

    python benchmarks/slurm.py

A controller and two nodes are started here. A collection goes over them by `--engine slurm`, and
when its first shard is there one of the nodes is killed with all that runs on it; then the same
collection is made by an array and put together by `parrot data gather`. Both have to equal that of
one process, byte by byte.

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

from hosts import CANNOT, ENV_ID, PARROT, PATIENCE, same_shards, wait_for

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
            "PYTHONPATH": str(Path(__file__).parents[1]),
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
        for node in NODES:  # whose processes end with it
            alone = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
            self._start(node, *alone, "slurmd", "-D", "-N", node)
        wait_for(self._idle, "both nodes", self._running["slurmctld"])
        return self

    def _start(self, name: str, *command: str) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command, env=self.env, stdout=log, stderr=subprocess.STDOUT
            )

    def _idle(self) -> list[str]:
        told = subprocess.run(
            ("sinfo", "-h", "-N", "-o", "%T"), env=self.env, capture_output=True, text=True
        )
        time.sleep(0.5)
        return ["idle"] if told.stdout.split() == ["idle"] * len(NODES) else []

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
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and clear up
    amount = ("--episodes", str(args.episodes), "--shard-attempts", str(args.shard_attempts))
    collection = (*PARROT, "collect", "--env-id", ENV_ID, *amount, "--no-progress", "--out")
    rows = []
    with tempfile.TemporaryDirectory() as name, Slurm(Path(name)) as slurm:
        os.chdir(name)

        def run(*command: str) -> None:
            subprocess.run(command, check=True, env=slurm.env, timeout=PATIENCE)

        def by_engine() -> None:
            far = (*collection, "far", "--engine", "slurm", "--workers", "2")
            with subprocess.Popen(far, env=slurm.env) as running:
                wait_for(lambda: list(Path("far").glob("shard-*.json")), "a shard", running)
                slurm.lose("n2")
            assert not running.returncode, running.returncode

        def by_array() -> None:
            part = shlex.join((*collection, "parts", "--world-size", "2", "--workers", "1"))
            run("sbatch", "--wait", "--array", "0-1", "--wrap", part)
            run(*PARROT, "data", "gather", "parts")
            Path("far").rename("engine")
            Path("parts").rename("far")

        run(*collection, "near", "--workers", "1")
        for how, work in (("--engine slurm, a node lost", by_engine), ("an array", by_array)):
            begun = time.perf_counter()
            work()
            what, holds = same_shards(Path())
            rows.append([how, what, "yes" if holds else "NO", f"{time.perf_counter() - begun:.0f}"])
    print(markdown_table(["how", "made", "as one process", "s"], rows))
    return int(any(row[2] != "yes" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
