"""`parrot train-baseline`: fit what a baseline of the paper learns from data before RL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from parrot_wrapper.baselines.config import SIZES, recipe
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.torch_threads import DEFAULT_THREADS

_SETTINGS = ("steps", "batch_size", "learning_rate", "entropy", "jacobian", "max_seconds")


@dataclass(frozen=True)
class TrainBaselineCommand:
    """Fit what a baseline of the paper learns from data; the same command goes on after a kill.

    The folder is then the prior of `parrot train --prior FOLDER`, or for bc the actor to start
    from. Options left out take the preset's values.

    Attributes:
        method: hirl, trajrl, bc or vae-features; or flow, PARROT itself on a shared encoder.
        data: Folder of the data set.
        out: Folder of the run.
        encoder: Prior whose frozen encoder is shared; "none" to learn from pixels, as in the paper.
        preset: "laptop" (minutes on one core) or "paper" (its steps, rates and sizes).
        steps: Gradient steps.
        batch_size: Rows in a step.
        learning_rate: Peak of Adam's step size.
        beta: Weight of the KL divergence, of hirl, trajrl and vae-features.
        entropy: Weight of the entropy, of bc.
        jacobian: Weight of the squared derivative of actions by latents, of flow.
        episodes: Use only the first so many; 0 for all.
        max_seconds: Stop after so much time in training, 0 for no limit.
        cache: Folder in which features are kept, for all methods and seeds.
        seed: Of first weights, batches and the held-out split.
        device: Torch device, or "auto".
        threads: Torch's CPU threads, 0 for torch's own number; more pay on idle cores only.
        progress: Show progress bars.
    """

    method: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="METHOD")]
    data: Path
    out: Path
    encoder: str = "parrot-v0"
    preset: str = "laptop"
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    beta: float | None = None
    entropy: float | None = None
    jacobian: float | None = None
    episodes: int = 0
    max_seconds: float | None = None
    cache: Path = Path("runs/features")
    seed: int = 0
    device: str = "auto"
    threads: int = DEFAULT_THREADS
    progress: bool = True

    def run(self) -> None:
        """Fit, save, and say how it went."""
        from parrot_wrapper.baselines.train import REPORT_FILE, BaselineJob, train_baseline  # torch

        given = {name: getattr(self, name) for name in _SETTINGS}
        settings: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        config = recipe(
            self.method,
            self.preset,
            seed=self.seed,
            device=self.device,
            threads=self.threads,
            **settings,
        )
        if self.beta is not None and self.method == "bc":
            raise InvalidArgumentError(
                f"bc has no KL divergence: expected no beta, got {self.beta}; leave it out."
            )
        if self.jacobian is not None and self.method != "flow":
            raise InvalidArgumentError(
                f"{self.method} has no penalty on its Jacobian: expected no jacobian, got "
                f"{self.jacobian}; leave it out."
            )
        beta = {} if self.beta is None else {"beta": self.beta}
        job = BaselineJob(
            method=self.method,
            data=self.data,
            out=self.out,
            config=config,
            sizes={**SIZES[self.preset].get(self.method, {}), **beta},
            encoder=None if self.encoder.lower() == "none" else self.encoder,
            episodes=self.episodes,
            cache=self.cache,
        )
        finished = (self.out / REPORT_FILE).exists()
        report = train_baseline(job, progress=self.progress)
        if finished:
            print(f"{self.out}: was trained before; another --out, or a new folder, trains anew.")
        losses = ", ".join(f"{name} {value:.4g}" for name, value in report.validation.items())
        print(
            f"{self.out}: {self.method} after {report.steps} steps in {report.seconds:.0f} s; "
            f"validation at step {report.best_step}: {losses}."
        )
