"""Checkpoints of an RL run: networks, optimisers, replay buffer and generators, without pickle.

A checkpoint is a folder `step-000005000` of `checkpoint.json`, `model.safetensors` and
`replay.safetensors`. It appears whole or not at all, and the one before it is removed only after.
Saved where an episode begins, it continues bit for bit as an unbroken run on the same CPU would;
saved elsewhere (`at_episode_start` false in its JSON), the resumed run starts a new episode.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors import numpy as safetensors_numpy
from safetensors import torch as safetensors_torch
from stable_baselines3 import SAC
from torch import Tensor

from parrot_wrapper.errors import CheckpointError
from parrot_wrapper.io.atomic_files import atomic_folder, clear_strays, write_json
from parrot_wrapper.io.strict_json import read_stamped, sealed
from parrot_wrapper.rl.jax_agents import in_jax, model_arrays, restore_arrays
from parrot_wrapper.rl.prior_explore import PriorExploreSAC
from parrot_wrapper.rl.replay.buffers import replay_arrays, restore_replay

FORMAT_VERSION = 1
_TYPE = "parrot-rl"
_HEADER, _MODEL, _REPLAY = "checkpoint.json", "model.safetensors", "replay.safetensors"
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "format_version": int,
    "type": str,
    "step": int,
    "updates": int,
    "episodes": int,
    "episode": int,
    "at_episode_start": bool,
    "seconds": (int, float),
    "recent_episodes": list,
    "recent_successes": list,
    "generators": dict,
    "sha256": dict,
}
_OF_LATER_CHECKPOINTS = {"seconds": 0.0}
"""What the first checkpoints did not have."""
_MISFITS = (
    safetensors.SafetensorError,
    AttributeError,
    LookupError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What restoring another network's, or an altered, state brings."""


def save_checkpoint(
    model: SAC,
    folder: Path,
    *,
    episode: int,
    at_episode_start: bool,
    seconds: float = 0.0,
) -> Path:
    """Write a checkpoint of `model` below `folder` and remove those before it.

    Args:
        model: SAC between two rollouts, so that its buffer and counters agree.
        folder: Where the run's checkpoints live.
        episode: Index of the episode that a resumed run has to start with.
        at_episode_start: Whether that episode has not been stepped yet.
        seconds: Time spent on training so far, all parts of the run together.

    Returns:
        The new checkpoint's folder.
    """
    target = folder / f"step-{model.num_timesteps:09d}"
    files = {
        _MODEL: safetensors_torch.save(_model_tensors(model)),
        _REPLAY: safetensors_numpy.save(replay_arrays(_replay_buffer(model))),
    }
    header = {
        "format_version": FORMAT_VERSION,
        "type": _TYPE,
        "step": model.num_timesteps,
        "updates": model._n_updates,
        "episodes": model._episode_num,
        "episode": episode,
        "at_episode_start": at_episode_start,
        "seconds": seconds,
        "recent_episodes": [
            {key: float(value) for key, value in episode.items()}
            for episode in model.ep_info_buffer or ()
        ],
        "recent_successes": [float(success) for success in model.ep_success_buffer or ()],
        "generators": _generator_states(model),
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    with atomic_folder(target) as partial:
        for name, content in files.items():
            (partial / name).write_bytes(content)
        write_json(partial / _HEADER, sealed(header))
    newest = list_checkpoints(folder)[-1]
    for old in set(folder.glob("step-*")) - {newest}:  # half removed ones as well
        shutil.rmtree(old)
    clear_strays(folder)
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """All whole checkpoints below `folder`, oldest first."""
    return sorted(path.parent for path in folder.glob(f"step-*/{_HEADER}"))


def read_header(checkpoint: Path) -> dict[str, Any]:
    """The checked JSON of a checkpoint."""
    path = checkpoint / _HEADER
    header = read_stamped(path, CheckpointError, newest=FORMAT_VERSION, type=_TYPE)
    content = {**_OF_LATER_CHECKPOINTS, **header}
    wrong = sorted(set(content) ^ set(_TYPES)) or [
        name for name, kind in _TYPES.items() if not isinstance(content[name], kind)
    ]
    if wrong:
        raise CheckpointError(f"{path}: missing, unknown or of a wrong type: {', '.join(wrong)}.")
    return content


def load_weights(model: SAC, checkpoint: Path) -> dict[str, Any]:
    """Restore networks, optimisers and entropy coefficient; enough to evaluate.

    Returns:
        The checkpoint's JSON.
    """
    header = read_header(checkpoint)
    content = _checked_bytes(checkpoint / _MODEL, header)
    try:
        _restore_model(model, safetensors_torch.load(content))
    except _MISFITS as error:
        raise CheckpointError(f"{checkpoint / _MODEL}: does not fit the run ({error}).") from error
    return header


def load_checkpoint(model: SAC, checkpoint: Path) -> dict[str, Any]:
    """Restore all of a checkpoint, the replay buffer, counters and generators included.

    Returns:
        The checkpoint's JSON; its "episode" is what the env has to start with.
    """
    header = load_weights(model, checkpoint)
    content = _checked_bytes(checkpoint / _REPLAY, header)
    try:
        restore_replay(_replay_buffer(model), safetensors_numpy.load(content))
    except _MISFITS as error:
        raise CheckpointError(f"{checkpoint / _REPLAY}: does not fit the run ({error}).") from error
    model.num_timesteps = header["step"]
    model._n_updates = header["updates"]
    model._episode_num = header["episodes"]
    window = model._stats_window_size
    model.ep_info_buffer = deque(header["recent_episodes"], maxlen=window)
    model.ep_success_buffer = deque(header["recent_successes"], maxlen=window)
    try:
        _restore_generators(model, header["generators"])
    except _MISFITS as error:
        raise CheckpointError(
            f"{checkpoint / _HEADER}: its generators do not fit the run ({error})."
        ) from error
    return header


def _replay_buffer(model: SAC) -> Any:
    if model.replay_buffer is None:
        raise CheckpointError("The model has no replay buffer; it was not set up.")
    return model.replay_buffer


def _checked_bytes(path: Path, header: Mapping[str, Any]) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: expected a file here ({error}).") from error
    digest, expected = hashlib.sha256(content).hexdigest(), header["sha256"].get(path.name)
    if digest != expected:
        raise CheckpointError(
            f"{path}: truncated or altered; expected SHA-256 {expected}, found {digest}."
        )
    return content


# Networks and optimisers --------------------------------------------------------------------------


def _optimizers(model: SAC) -> dict[str, torch.optim.Optimizer]:
    optimizers = {"actor": model.actor.optimizer, "critic": model.critic.optimizer}
    if model.ent_coef_optimizer is not None:
        optimizers["ent_coef"] = model.ent_coef_optimizer
    return optimizers


def _model_tensors(model: SAC) -> dict[str, Tensor]:
    if in_jax(model):
        return {name: torch.from_numpy(array) for name, array in model_arrays(model).items()}
    tensors = {f"policy/{name}": value for name, value in model.policy.state_dict().items()}
    for label, optimizer in _optimizers(model).items():
        for index, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimizer/{label}/{index}/{name}"] = torch.as_tensor(value)
    if model.log_ent_coef is not None:
        tensors["log_ent_coef"] = model.log_ent_coef
    tensors["torch_generator"] = torch.get_rng_state()
    if model.device.type == "cuda":
        tensors["cuda_generator"] = torch.cuda.get_rng_state(model.device)
    # Copies: safetensors refuses tensors that share memory.
    return {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}


def _restore_model(model: SAC, tensors: Mapping[str, Tensor]) -> None:
    if in_jax(model):
        restore_arrays(model, {name: tensor.numpy() for name, tensor in tensors.items()})
        return
    policy = {
        name.removeprefix("policy/"): value
        for name, value in tensors.items()
        if name.startswith("policy/")
    }
    model.policy.load_state_dict(policy, strict=True)
    for label, optimizer in _optimizers(model).items():
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith(f"optimizer/{label}/"):
                _, _, index, entry = name.split("/")
                state.setdefault(int(index), {})[entry] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    if model.log_ent_coef is not None:
        with torch.no_grad():
            model.log_ent_coef.copy_(tensors["log_ent_coef"])
    torch.set_rng_state(tensors["torch_generator"])
    if model.device.type == "cuda" and "cuda_generator" in tensors:
        torch.cuda.set_rng_state(tensors["cuda_generator"], model.device)


# Generators ---------------------------------------------------------------------------------------


def _generator_states(model: SAC) -> dict[str, Any]:
    # SB3 draws batches from NumPy's global generator and warm-up actions from the action space.
    state = dict(np.random.get_state(legacy=False))
    state["state"] = {**state["state"], "key": state["state"]["key"].tolist()}
    states = {"numpy": state, "actions": model.action_space.np_random.bit_generator.state}
    if isinstance(model, PriorExploreSAC):
        states["explore"] = model.explore_rng.bit_generator.state
    return states


def _restore_generators(model: SAC, states: Mapping[str, Any]) -> None:
    state = dict(states["numpy"])
    key = np.array(state["state"]["key"], dtype=np.uint32)
    np.random.set_state({**state, "state": {**state["state"], "key": key}})
    model.action_space.np_random.bit_generator.state = states["actions"]
    if isinstance(model, PriorExploreSAC):
        model.explore_rng.bit_generator.state = states["explore"]
