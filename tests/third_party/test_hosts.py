"""Several hosts on one machine: as root, with PARROT_TEST_HOSTS=1, since it takes minutes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOSTS = Path(__file__).parents[2] / "benchmarks" / "hosts.py"


@pytest.mark.skipif("PARROT_TEST_HOSTS" not in os.environ, reason="it takes minutes")
def test_several_hosts_do_what_one_process_does() -> None:
    """Over network namespaces, with a worker killed and a link cut."""
    pytest.importorskip("ray")
    few = "--episodes 80 --shard-attempts 20 --seeds 1 --env-steps 80"
    script = [sys.executable, str(HOSTS), *few.split()]
    done = subprocess.run(script, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "| collect    | 4 shards | yes " in done.stdout
    assert "| experiment | 2 rows   | yes " in done.stdout
