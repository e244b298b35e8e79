"""Several hosts on one machine: as root, with PARROT_TEST_HOSTS=1, since it takes minutes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.skipif("PARROT_TEST_HOSTS" not in os.environ, reason="it takes minutes")


def told(script: str, *options: str) -> str:
    """What a script prints that finds all as it should be."""
    pytest.importorskip("ray")
    command = [sys.executable, str(BENCHMARKS / script), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_several_hosts_do_what_one_process_does() -> None:
    """Over network namespaces, with a worker killed and a link cut."""
    few = "--episodes 40 --shard-attempts 10 --seeds 1 --env-steps 80"
    table = told("hosts.py", *few.split())
    assert "| collect    | 4 shards | yes " in table
    assert "| experiment | 2 rows   | yes " in table


def test_what_is_wrong_with_one_host_is_told() -> None:
    """A full disk, a missing package, other versions, two commands at one folder, a clock."""
    assert "| its clock is an hour behind " in told("spoiled_hosts.py")
