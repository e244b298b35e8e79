"""How the training episodes of a run went, one JSON object each, continued by resumed runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from parrot_wrapper.checks import as_path
from parrot_wrapper.errors import CheckpointError
from parrot_wrapper.rl.checkpoint import list_checkpoints, read_header
from parrot_wrapper.rl.run_log import read_log
from parrot_wrapper.wrappers.chunk import executed_steps

EPISODES_FILE = "episodes.jsonl"
STEPS_KEY = "env_steps"


class EpisodeLogCallback(BaseCallback):
    """Append a row to `episodes.jsonl` whenever an episode of the one training env ends.

    Args:
        run_folder: Folder of the run.
    """

    def __init__(self, run_folder: Path) -> None:
        super().__init__()
        self._path = run_folder / EPISODES_FILE
        self._succeeded = False

    def _on_step(self) -> bool:
        [info] = self.locals["infos"]
        for _, step_info in executed_steps(0.0, info):
            self._succeeded |= bool(step_info.get("is_success", False))
        if self.locals["dones"][0]:
            row = {
                STEPS_KEY: self.num_timesteps,
                "success": bool(info.get("is_success", False)),
                "success_once": self._succeeded,
                "return": info["episode"]["r"],
            }
            self._succeeded = False
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
        return True


def read_episodes(run_folder: str | Path) -> list[dict[str, Any]]:
    """The finished training episodes of a run, oldest first; none where it has not begun.

    Returns:
        For each: "env_steps" of the run at its end, "success" on its last step, "success_once" on
        any, and "return", the undiscounted sum of the env's rewards.
    """
    return read_log(as_path("run_folder", run_folder) / EPISODES_FILE)


def training_seconds(run_folder: str | Path) -> float:
    """Wall-clock time of a run's training up to its last checkpoint, all parts of it together.

    What a killed part did after its last checkpoint, which the next part does again, counts once.

    Raises:
        CheckpointError: No checkpoint there, or a damaged one.
    """
    checkpoints = list_checkpoints(as_path("run_folder", run_folder) / "checkpoints")
    if not checkpoints:
        raise CheckpointError(f"{run_folder}: expected a checkpoint of the run, found none yet.")
    return float(read_header(checkpoints[-1])["seconds"])
