"""Several hosts on one machine: a Ray cluster over network namespaces, with failures in the middle.

    python benchmarks/hosts.py

A head, where the commands run, and two workers: each has a network namespace, a name and a file
system of its own in the place of the scratch folder, so that they share nothing that is written. A
collection and a small grid go over such hosts. In the middle of each a worker process is killed by
`kill -9`, and then the link of the other host is cut. Both results have to equal those of one
process: shards byte by byte, rows but for their clocks, each once.

Needs Linux, root and `ip` of iproute2; exits with 77 where namespaces cannot be made.
"""

from __future__ import annotations

import argparse
import json
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
from typing import Any

import gymnasium as gym
from kill_scenarios import RL, without_clocks

from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig
from parrot_wrapper.types import ObservationSpec

CANNOT = 77
ENV_ID = "ParrotSequentialNavigation-v0"
PATIENCE = 1_500.0
"""Seconds for anything to happen."""
HEAD = "10.77.0.1:6379"
RAY = (sys.executable, "-m", "ray.scripts.scripts")
PARROT = (sys.executable, "-m", "parrot_wrapper")
_TRIES = 3
"""To start Ray on a host: it gives up where a machine is busy."""
_SOON = {"period_ms": 1_000, "timeout_ms": 5_000, "failure_threshold": 3}
"""When a host that does not answer counts as dead; Ray's own values make it a minute."""


def ip(*words: str) -> str:
    """What `ip` says; an error where it fails."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


class Hosts:
    """Three hosts at a switch.

    Args:
        scratch: Where each host sees a folder of its own.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch, self._tag = scratch, f"parrot{os.getpid()}"
        self._env = {
            **os.environ,
            **{f"RAY_health_check_{name}": str(value) for name, value in _SOON.items()},
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": "300",  # machines may be busy
            "RAY_worker_niceness": "0",
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
            (self._scratch / f"host{host}").mkdir()
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

    def run(self, host: int, *command: str, log: str) -> subprocess.Popen[bytes]:
        """Start a command on a host; its output goes to a file in the host's folder."""
        own = self._scratch / f"host{host}"
        inside = (
            f"hostname host{host}; mount --make-rprivate /; mount --bind {own} {self._scratch}; "
            f'cd {self._scratch}; exec "$@"'
        )
        there = ["ip", "netns", "exec", f"{self._tag}h{host}", "unshare", "--mount", "--uts"]
        with (own / log).open("ab") as file:
            return subprocess.Popen(
                [*there, "bash", "-c", inside, "host", *command],
                env=self._env, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def ray(self, host: int, *words: str) -> None:
        """Start Ray on a host."""
        common = ("--node-ip-address", f"10.77.0.{host + 1}", "--object-store-memory=100000000")
        for _ in range(_TRIES):
            if not self.run(host, *RAY, "start", *words, *common, log="ray.log").wait(PATIENCE):
                return
            self.clear(host)
        raise SystemExit((self._scratch / f"host{host}" / "ray.log").read_text())

    def begin(self) -> None:
        """Start a head without cores, and two workers with one each."""
        self.ray(0, "--head", "--port=6379", "--num-cpus=0", "--include-dashboard=false")
        for host in (1, 2):
            self.ray(host, "--address", HEAD, "--num-cpus=1")

    def tasks(self, host: int) -> list[int]:
        """Worker processes that have a task."""
        pids = ip("netns", "pids", f"{self._tag}h{host}").split()
        names = {int(pid): _command(pid) for pid in pids}
        return [
            pid for pid, name in names.items() if name.startswith(("ray::shard", "ray::Parrot"))
        ]

    def kill(self, host: int, running: subprocess.Popen[bytes]) -> None:
        """Kill the process of a task in its middle."""
        found = wait_for(lambda: self.tasks(host), f"a task on host {host}", running)
        time.sleep(0.3)
        os.kill(found[0], signal.SIGKILL)

    def cut(self, host: int, running: subprocess.Popen[bytes]) -> None:
        """Cut a host off while it has a task."""
        wait_for(lambda: self.tasks(host), f"a task on host {host}", running)
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


def wait_for(
    what: Callable[[], list[Any]], name: str, running: subprocess.Popen[bytes]
) -> list[Any]:
    """What `what` finds, as soon as it finds something while the command runs."""
    end = time.monotonic() + PATIENCE
    while not (found := what()):
        if running.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"Waited in vain for {name}; the command: {running.poll()}.")
        time.sleep(0.05)
    return found


def with_failures(hosts: Hosts, command: Sequence[str], folder: Path, done: str) -> float:
    """Run a command over all hosts, kill a worker, cut a link; seconds that it took.

    Args:
        hosts: With both workers there.
        command: Without engine and address.
        folder: The head's.
        done: Files by which one sees that some of the work is done.
    """
    begun = time.perf_counter()
    far = ("--engine", "ray", "--address", HEAD, "--workers", "2", "--no-progress")
    running = hosts.run(0, *command, *far, log="command.log")
    hosts.kill(1, running)
    wait_for(lambda: list(folder.glob(done)), done, running)
    hosts.cut(2, running)
    if running.wait(PATIENCE):
        raise SystemExit((folder / "command.log").read_text())
    return time.perf_counter() - begun


def alone(hosts: Hosts, command: Sequence[str], folder: Path) -> float:
    """The same in one process, without Ray; seconds that it took."""
    for host in range(3):
        hosts.clear(host)
    begun = time.perf_counter()
    one = hosts.run(0, *command, "--workers", "1", "--no-progress", log="command.log")
    if one.wait(PATIENCE):
        raise SystemExit((folder / "command.log").read_text())
    return time.perf_counter() - begun


def same_shards(folder: Path) -> tuple[str, bool]:
    """How many shards there are, and whether they are those of one process."""
    files = [sorted((folder / name).glob("shard-*")) for name in ("far", "near")]
    # who is many may have begun shards that turned out not to be needed
    same = all((folder / "far" / one.name).read_bytes() == one.read_bytes() for one in files[1])
    return f"{len(files[1]) // 2} shards", bool(files[1]) and same


def same_rows(folder: Path) -> tuple[str, bool]:
    """How many rows there are, and whether they are those of one process."""
    found = []
    for name in ("far", "near"):
        lines = (folder / f"{name}-rows" / "rows.jsonl").read_text().splitlines()
        found.append(sorted(json.dumps(without_clocks(json.loads(line))) for line in lines))
    return f"{len(found[0])} rows", found[0] == found[1]


def tiny_grid(prior: Path, *, seeds: int, methods: Sequence[str], env_steps: int) -> Grid:
    """Short runs of a point mass; their prior, which has learned nothing, is written to `prior`."""
    [size] = gym.make(ENV_ID, obs="state").observation_space.shape or ()
    FlowPrior(FlowPriorConfig(ObservationSpec(state=size), 2, "state")).save(prior)
    return Grid(
        "hosts", "tiny", (ENV_ID,), tuple(methods), rl_seeds=tuple(range(seeds)),
        env_kwargs={"obs": "state"}, prior=str(prior), env_steps=env_steps,
        evaluation_episodes=2, rl={**RL, "net_arch": [16]},
    )  # fmt: skip


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
    amount = ("--episodes", str(args.episodes), "--shard-attempts", str(args.shard_attempts))
    collection = (*PARROT, "collect", "--env-id", ENV_ID, *amount)
    study = (*PARROT, "experiment", "--grid", "grid.json", "--device", "cpu")
    rows: list[list[str]] = []
    ways = {
        "episodes": (collection, ("--out", "{}"), "far/shard-*.json", same_shards),
        "seeds": (study, ("--out", "{}-rows", "--runs", "{}"), "far/*/*", same_rows),
    }
    for command, option, done, same in (way for n, way in ways.items() if getattr(args, n)):
        scratch = Path(tempfile.mkdtemp(prefix="hosts-"))
        folder = scratch / "host0"
        try:
            with Hosts(scratch) as hosts:
                grid = tiny_grid(
                    folder / "prior", seeds=args.seeds or 1, methods=("parrot", "sac"),
                    env_steps=args.env_steps,
                )  # fmt: skip
                (folder / "grid.json").write_text(json.dumps({**grid.to_dict(), "prior": "prior"}))
                hosts.begin()
                far, near = ([*command, *(o.format(n) for o in option)] for n in ("far", "near"))
                seconds = with_failures(hosts, far, folder, done), alone(hosts, near, folder)
                what, holds = same(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        name = command[len(PARROT)]
        rows.append([name, what, "yes" if holds else "NO", *(f"{s:.0f}" for s in seconds)])
    header = ["command", "made", "as one process", "s with two failures", "s of one process"]
    print(markdown_table(header, rows))
    return int(any(row[2] != "yes" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
