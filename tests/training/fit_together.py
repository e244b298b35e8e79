"""What `torchrun` starts in the tests: a fit in each of the folders that it is given."""

import sys
from pathlib import Path

from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.ranks import ranks
from tests.training.test_prior_training import QUICK, state_data, state_prior

if __name__ == "__main__":
    for folder in map(Path, sys.argv[1:]):
        prior = state_prior()
        fit_prior(prior, state_data(), QUICK, run_folder=folder / "run", progress=False)
        prior.save(folder / f"rank{ranks().rank}")
