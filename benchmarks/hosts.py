"""Several hosts on one machine: a Ray cluster over network namespaces, with failures in the middle.

    python benchmarks/hosts.py

A head, where the commands run, and two workers: each has a network namespace, a name and a file
system of its own in the place of the scratch folder, so that they share nothing that is written. A
collection and a small grid go over such hosts. When both workers are in the middle of a task, where
`held.py` lets them wait, a process of the first one is killed by `kill -9`; when that host has done
something, the link of the second one is cut. Both results have to equal those of one process:
shards byte by byte, rows but for their clocks, each once.

Needs Linux, root and `ip` of iproute2; exits with 77 where namespaces cannot be made.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import held
from held_commands import PATIENCE, HeldCommand, held_collection, held_study, wait_for

from parrot_wrapper.evaluation.report import markdown_table

CANNOT = 77
HEAD = "10.77.0.1:6379"
RAY = (sys.executable, "-m", "ray.scripts.scripts")
_TRIES = 3
"""To start Ray on a host: it gives up where a machine is busy."""
_SOON = {"period_ms": 1_000, "timeout_ms": 10_000, "failure_threshold": 3}
"""When a host that does not answer counts as dead; Ray's own values make it a minute."""
_AHEAD = 10
"""By how much Ray itself goes before its workers: a machine that is busy should not look dead."""


def ip(*words: str) -> str:
    """What `ip` says; an error where it fails."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


class Hosts:
    """Three hosts at a switch.

    Args:
        scratch: Where each host sees a folder of its own.

    Attributes:
        spoil: For a host, shell lines that go before each command there.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch, self._tag = scratch, f"parrot{os.getpid()}"
        self.spoil: dict[int, str] = {}
        self._env = {
            **os.environ,
            **{f"RAY_health_check_{name}": str(value) for name, value in _SOON.items()},
            "HELD_AT": str(scratch),
            "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2])),
            "RAY_TMPDIR": str(scratch),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": "300",  # machines may be busy
            "RAY_worker_niceness": str(_AHEAD),
            "TMPDIR": str(scratch),
        }

    def __enter__(self) -> Hosts:
        try:
            self._lay_out()
        except (OSError, subprocess.CalledProcessError) as error:
            told = getattr(error, "stderr", "") or error
            print(f"Network namespaces cannot be made here: {told}", file=sys.stderr)
            sys.exit(CANNOT)
        return self

    def _lay_out(self) -> None:
        ip("netns", "add", self._tag)
        ip("-n", self._tag, "link", "add", "switch", "type", "bridge")
        ip("-n", self._tag, "link", "set", "switch", "up")
        for host in range(3):
            self.folder(host).mkdir()
            name, port = f"{self._tag}h{host}", f"port{host}"
            ip("netns", "add", name)
            far = ("peer", "name", "eth0", "netns", name)
            ip("-n", self._tag, "link", "add", port, "type", "veth", *far)
            ip("-n", self._tag, "link", "set", port, "master", "switch", "up")
            ip("-n", name, "addr", "add", f"10.77.0.{host + 1}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                ip("-n", name, "link", "set", device, "up")

    def __exit__(self, *_: object) -> None:
        for host in range(3):
            self.clear(host)
            ip("netns", "delete", f"{self._tag}h{host}")
        ip("netns", "delete", self._tag)

    def folder(self, host: int) -> Path:
        """What is at the scratch folder's place on a host."""
        return self._scratch / f"host{host}"

    def run(self, host: int, *command: str, log: str) -> subprocess.Popen[bytes]:
        """Start a command on a host; its output goes to a file in the host's folder."""
        own = self.folder(host)
        inside = (
            f"hostname host{host}; mount --make-rprivate /; mount --bind {own} {self._scratch}; "
            f'cd {self._scratch}\n{self.spoil.get(host, "")}\ncd {self._scratch}; exec "$@"'
        )
        there = ["ip", "netns", "exec", f"{self._tag}h{host}", "unshare", "--mount", "--uts"]
        with (own / log).open("ab") as file:
            return subprocess.Popen(
                [*there, "bash", "-c", inside, "host", *command],
                env=self._env, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def ray(self, host: int, *words: str) -> None:
        """Start Ray on a host."""
        first = ("nice", "-n", f"-{_AHEAD}", *RAY, "start", *words)
        common = ("--node-ip-address", f"10.77.0.{host + 1}", "--object-store-memory=100000000")
        for _ in range(_TRIES):
            if not self.run(host, *first, *common, log="ray.log").wait(PATIENCE):
                return
            self.clear(host)
        raise SystemExit((self.folder(host) / "ray.log").read_text())

    def begin_head(self) -> None:
        """Start Ray on the first host, without cores."""
        self.ray(0, "--head", "--port=6379", "--num-cpus=0", "--include-dashboard=false")

    def begin_worker(self, host: int) -> None:
        """Let a host join it with one core."""
        self.ray(host, "--address", HEAD, "--num-cpus=1")

    def tasks(self, host: int) -> list[int]:
        """Worker processes that have a task."""
        pids = ip("netns", "pids", f"{self._tag}h{host}").split()
        names = {int(pid): _command(pid) for pid in pids}
        return [pid for pid, name in names.items() if name.startswith(("ray::shard", "ray::Held"))]

    def hold(self, host: int) -> None:
        """Let what begins on a host wait in its middle."""
        held.hold(self.folder(host), f"host{host}")

    def wait(self, host: int, running: subprocess.Popen[bytes]) -> None:
        """Wait until something waits there."""
        folder, name = self.folder(host), f"host{host}"
        wait_for(lambda: held.is_held(folder, name), f"a task on {name}", running)

    def kill(self, host: int) -> None:
        """Kill the process of a task that waits; the next one does not."""
        os.kill(self.tasks(host)[0], signal.SIGKILL)
        held.release(self.folder(host), f"host{host}")

    def cut(self, host: int) -> None:
        """Cut a host off."""
        ip("-n", self._tag, "link", "set", f"port{host}", "down")

    def clear(self, host: int) -> None:
        """Kill all that runs on a host."""
        for pid in ip("netns", "pids", f"{self._tag}h{host}").split():
            if _command(pid):
                os.kill(int(pid), signal.SIGKILL)


def _command(pid: str) -> str:
    try:
        return Path("/proc", pid, "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def with_failures(hosts: Hosts, command: HeldCommand, folder: Path) -> float:
    """Run a command over all hosts, kill a worker, cut a link; seconds that it took.

    Args:
        hosts: With both workers there.
        command: What to do.
        folder: The head's.
    """
    begun = time.perf_counter()
    for host in (1, 2):
        hosts.hold(host)
    far = (*command.making("far"), "--engine", "ray", "--address", HEAD, "--workers", "2")
    running = hosts.run(0, *far, log="command.log")
    for host in (1, 2):
        hosts.wait(host, running)
    hosts.kill(1)
    wait_for(lambda: command.in_part_done(folder, "far"), "what host 1 does", running)
    hosts.cut(2)
    if running.wait(PATIENCE):
        raise SystemExit((folder / "command.log").read_text())
    return time.perf_counter() - begun


def alone(hosts: Hosts, command: HeldCommand, folder: Path) -> float:
    """The same in one process, without Ray; seconds that it took."""
    for host in range(3):
        hosts.clear(host)
    begun = time.perf_counter()
    if hosts.run(0, *command.alone("near"), log="command.log").wait(PATIENCE):
        raise SystemExit((folder / "command.log").read_text())
    return time.perf_counter() - begun


def main(argv: Sequence[str] | None = None) -> int:
    """Do it, and print the table; 1 where a result differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--episodes", type=int, default=400, help="of the collection; 0 for none")
    parser.add_argument("--shard-attempts", type=int, default=50)
    parser.add_argument(
        "--seeds", type=int, default=3, help="of the grid, two runs each; 0 for none"
    )
    parser.add_argument("--env-steps", type=int, default=300, help="of each run")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and clear up
    rows: list[list[str]] = []
    ways: dict[str, Callable[[Path], HeldCommand]] = {}
    if args.episodes:
        ways["collect"] = lambda _: held_collection(args.episodes, args.shard_attempts)
    if args.seeds:
        ways["experiment"] = lambda folder: held_study(folder, args.seeds, args.env_steps)
    for name, make in ways.items():
        scratch = Path(tempfile.mkdtemp(prefix="hosts-"))
        try:
            with Hosts(scratch) as hosts:
                folder = hosts.folder(0)
                command = make(folder)
                hosts.begin_head()
                for host in (1, 2):
                    hosts.begin_worker(host)
                seconds = with_failures(hosts, command, folder), alone(hosts, command, folder)
                what, holds = command.same(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        rows.append([name, what, "yes" if holds else "NO", *(f"{s:.0f}" for s in seconds)])
    header = ["command", "made", "as one process", "s with two failures", "s of one process"]
    print(markdown_table(header, rows))
    return int(any(row[2] != "yes" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
