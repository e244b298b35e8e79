"""Exact snapshots of an episode: where its draws began, and what was done since.

PyBullet's own snapshots leave out contact caches between clients, and need the very bodies that
were there. Playing the actions again from the same draws is exact wherever an episode is, and a
digest of the outcome proves it each time.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from parrot_envs.errors import EnvStateError

FORMAT = "parrot-env-state"
VERSION = 1


@dataclass(frozen=True)
class EpisodeState:
    """What is needed to play an episode up to where it was; JSON-able.

    Attributes:
        arguments: What decides the env's episodes beside its generator.
        rng_at_reset: State of the env's generator before the episode was drawn.
        rng_now: The same at the snapshot: what the next reset without seed draws from.
        actions: All actions so far, float64 (T, 7) as lists.
        outcome: Digest of the simulator's state that they led to.
    """

    arguments: dict[str, Any]
    rng_at_reset: dict[str, Any]
    rng_now: dict[str, Any]
    actions: list[list[float]]
    outcome: str

    def to_bytes(self) -> bytes:
        """JSON text in UTF-8; floats keep every bit."""
        content = asdict(self)
        head = {"format": FORMAT, "version": VERSION, "sha256": _digest(content)}
        return json.dumps({**head, "content": content}).encode()

    @classmethod
    def from_bytes(cls, saved: bytes) -> EpisodeState:
        """Read what `to_bytes` wrote."""
        if not isinstance(saved, bytes):
            raise EnvStateError(
                f"Expected the bytes that save_state() returned, got {type(saved).__name__}."
            )
        try:
            whole = json.loads(saved)
        except ValueError as error:
            raise EnvStateError(
                "Expected the bytes that save_state() returned; these are foreign or truncated."
            ) from error
        if not isinstance(whole, dict) or whole.get("format") != FORMAT:
            raise EnvStateError(f"Expected a state of the format {FORMAT!r}, got something else.")
        if whole.get("version") != VERSION:
            raise EnvStateError(
                f"Expected a state of version {VERSION}, got version {whole.get('version')!r}; "
                "restore it with the version of parrot_envs that saved it."
            )
        content = whole.get("content")
        if not isinstance(content, dict) or whole.get("sha256") != _digest(content):
            raise EnvStateError("The state was altered after it was saved.")
        return cls(**content)

    def check_arguments(self, arguments: dict[str, Any]) -> None:
        """Compare what decides an env's episodes with the env that was saved."""
        differences = [
            f"{name}: {reprlib.repr(saved)} there, {reprlib.repr(arguments.get(name))} here"
            for name, saved in self.arguments.items()
            if saved != arguments.get(name)
        ]
        if differences:
            raise EnvStateError(
                f"The state belongs to an env of other arguments ({'; '.join(differences)})."
            )

    def check_outcome(self, outcome: str) -> None:
        """Compare the digest of where the actions led with what was saved."""
        if outcome != self.outcome:
            raise EnvStateError(
                "Expected the saved actions to lead to the saved state, but they lead elsewhere: "
                "this is another version of parrot_envs or PyBullet, or another kind of machine."
            )


def generator_from(state: dict[str, Any]) -> np.random.Generator:
    """A generator of Gymnasium's kind that goes on from `state`."""
    bits = np.random.PCG64(0)
    bits.state = state  # type: ignore[assignment]  # numpy names its keys, JSON does not
    return np.random.Generator(bits)


def state_of(rng: np.random.Generator) -> dict[str, Any]:
    """The state of a generator, JSON-able."""
    state: dict[str, Any] = {**rng.bit_generator.state}
    if state["bit_generator"] != "PCG64":
        raise EnvStateError(
            f"Expected np_random to be Gymnasium's PCG64 generator, got {state['bit_generator']}."
        )
    return state


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
