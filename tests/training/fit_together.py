"""What `torchrun` starts in the tests: fits in each of the folders that it is given."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from parrot_wrapper.data import ShardStream
from parrot_wrapper.priors import FlowPrior
from parrot_wrapper.training import feature_cache
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.ranks import ranks
from tests.training.test_prior_training import (
    QUICK,
    image_data,
    image_prior,
    state_data,
    state_prior,
)

PARTS = replace(QUICK, sight_share=0.5)


def two_parts(folder: Path, name: str, data: Any) -> None:
    """An encoder first; and how many features this process has computed."""
    computed: list[int] = []
    features = FlowPrior.features

    def counted(prior: FlowPrior, seen: Any) -> Any:
        computed.append(len(seen))
        return features(prior, seen)

    FlowPrior.features = counted
    prior = image_prior()
    fit_prior(prior, data, PARTS, run_folder=folder / name, progress=False)
    FlowPrior.features = features
    prior.save(folder / f"{name}-rank{ranks().rank}")
    (folder / f"{name}-rank{ranks().rank}.json").write_text(json.dumps(sum(computed)))


if __name__ == "__main__":
    feature_cache._AT_ONCE = 4
    images, *folders = map(Path, sys.argv[1:])
    for folder in folders:
        prior = state_prior()
        fit_prior(prior, state_data(), QUICK, run_folder=folder / "run", progress=False)
        prior.save(folder / f"rank{ranks().rank}")
    two_parts(folders[0], "parts", image_data())
    two_parts(folders[0], "stream", ShardStream(images, window=2))
