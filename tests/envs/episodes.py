"""Whole episodes as digests, for tests of exactness; light to import, for worker processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np

import parrot_envs

VARIANTS: dict[str, dict[str, Any]] = {
    "image": {},
    "image_proprio": {"obs": "image_proprio"},
    "state": {"obs": "state"},
    "camera": {"randomize": ["camera"]},
    "colors": {"randomize": ["colors"]},
    "light": {"randomize": ["light"]},
    "everything": {
        "randomize": ["camera", "colors", "light"],
        "obs": "image_proprio",
        "image_size": 64,
    },
}
"""Ways to make an env; each must be exact."""


def as_bytes(*parts: Any) -> bytes:
    """Observations, rewards, flags and infos, to the last bit."""
    pieces = []
    for part in parts:
        if isinstance(part, np.ndarray):
            pieces.append(part.tobytes())
        elif isinstance(part, dict) and all(isinstance(v, np.ndarray) for v in part.values()):
            pieces += [part[key].tobytes() for key in sorted(part)]
        else:
            pieces.append(json.dumps(part).encode())
    return b"".join(pieces)


def play(env: gym.Env, seed: int) -> str:
    """Digest of all that a half random, half scripted episode shows."""
    digest = hashlib.sha256(as_bytes(*env.reset(seed=seed)))
    expert = env.unwrapped.make_expert(np.random.default_rng(seed))
    actions = np.random.default_rng(seed + 1).uniform(-1, 1, (25, 7)).astype(np.float32)
    for step in range(25):
        digest.update(as_bytes(*env.step(actions[step] if step < 6 else expert.act())))
        digest.update(as_bytes(env.unwrapped.privileged_labels()))
    return digest.hexdigest()


def follow(env: gym.Env, actions: Iterable[np.ndarray]) -> str:
    """Digest of all that follows from here, and of the first sight of the next episode."""
    digest = hashlib.sha256()
    for action in actions:
        digest.update(as_bytes(*env.step(action)))
    digest.update(as_bytes(*env.reset()))
    return digest.hexdigest()


def play_all(seed: int) -> dict[str, str]:
    """Digest of an episode of every id, plain and with everything randomised."""
    kinds = [(i, VARIANTS[name]) for i in parrot_envs.ENV_IDS for name in ("image", "everything")]
    digests = {}
    for env_id, kwargs in [*kinds, ("ParrotPickPlace-v0", {"objects": "bullet"})]:
        env = gym.make(env_id, **kwargs)
        digests[f"{env_id} {kwargs}"] = play(env, seed)
        env.close()
    return digests


def restore_and_follow(env_id: str, saved: bytes, actions: list[np.ndarray]) -> str:
    """What `follow` gives after restoring a state in a new env."""
    env = gym.make(env_id, **VARIANTS["everything"]).unwrapped
    env.restore_state(saved)
    digest = follow(env, actions)
    env.close()
    return digest
