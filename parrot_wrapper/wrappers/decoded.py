"""What became of the agent's u, and how wrappers tell of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from parrot_wrapper.types import AnyArray, FloatArray


class Decoded(NamedTuple):
    """What became of a batch of u.

    Attributes:
        action: (B, A), chunks (B, H, A), clipped to the env's box and of its dtype.
        latent: Base noise z (B, Z) float32.
        clipped: (B,) bool, whether the prior's action, any of a chunk, was outside the box.
    """

    action: AnyArray
    latent: FloatArray
    clipped: AnyArray

    def info(self, index: int) -> dict[str, Any]:
        """The keys that wrappers add to the info of env `index`; arrays are copies.

        What became of a chunk's actions is told by who executed them.
        """
        told = {} if self.action.ndim > 2 else {"parrot/action": self.action[index].copy()}
        return {
            **told,
            "parrot/latent": self.latent[index].copy(),
            "parrot/clipped": bool(self.clipped[index]),
        }

    def infos(self, done: AnyArray) -> dict[str, Any]:
        """The same keys for all envs in Gymnasium's vector format: values, and whose they are.

        Args:
            done: (B,) bool, the envs that executed their action; zeros for the others.
        """
        told: dict[str, Any] = {}
        for name, values in self._asdict().items():
            if values.ndim > 2:  # a chunk's actions, as in `info`
                continue
            mask = done.reshape(-1, *(1,) * (values.ndim - 1))
            told[f"parrot/{name}"] = np.where(mask, values, values.dtype.type(0))
            told[f"_parrot/{name}"] = done.copy()
        return told
