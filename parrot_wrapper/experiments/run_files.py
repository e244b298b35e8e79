"""What a run's folder tells about its training."""

from __future__ import annotations

import shutil
from pathlib import Path

from parrot_wrapper.io.strict_json import parse_json
from parrot_wrapper.rl.logs import EPISODES_FILE, STEPS_KEY, read_episodes

ROW_FILE = "row.json"
"""Where a run's process leaves the row, for its parent to append."""
_TAIL_BYTES = 4096


def success_curve(
    run_folder: Path, *, env_steps: int, bin_steps: int = 1_000
) -> list[tuple[int, float]]:
    """Success of training episodes in consecutive bins of env steps.

    Args:
        run_folder: Folder of a run.
        env_steps: Env steps of the whole run; where the last bin ends.
        bin_steps: Env steps of a bin.

    Returns:
        For each bin in which episodes end, its end and the share of them that ended successful.
    """
    bins: dict[int, list[bool]] = {}
    for episode in read_episodes(run_folder):
        end = -(-int(episode[STEPS_KEY]) // bin_steps) * bin_steps
        bins.setdefault(min(end, env_steps), []).append(bool(episode["success"]))
    return [(end, sum(won) / len(won)) for end, won in sorted(bins.items())]


def steps_so_far(run_folder: Path) -> int:
    """Env steps of training so far, to the end of the last episode; 0 before the first."""
    try:
        with (run_folder / EPISODES_FILE).open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return 0
    for line in reversed(lines):
        try:
            return int(parse_json(line)[STEPS_KEY])
        except (ValueError, KeyError, TypeError):
            continue  # torn, or the first half is before the tail
    return 0


def remove_replay(run_folder: Path) -> None:
    """Free the disk of what only an unfinished run needs; its agent stays usable."""
    for path in run_folder.glob("checkpoints/*/replay.safetensors"):
        path.unlink()
    for stray in run_folder.glob("checkpoints/.*.partial"):
        shutil.rmtree(stray, ignore_errors=True)
