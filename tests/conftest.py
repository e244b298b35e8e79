"""What every test runs under: one torch thread, no leaking torch randomness, no GPU needed."""

from collections.abc import Iterator

import pytest
import torch

from parrot_wrapper.priors import FlowPriorConfig
from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.types import ObservationSpec

torch.set_num_threads(1)  # tests run in several processes; more threads only get in the way


@pytest.fixture(autouse=True)
def forked_torch_generator() -> Iterator[None]:
    """Each test starts from the same torch seed and leaves the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def prior_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained prior that fits our envs, images and proprioception, on disk."""
    config = FlowPriorConfig(
        ObservationSpec(image=(48, 48, 3), proprio=8),
        action_dim=7,
        encoder="convolutional",
        hidden=16,
        action_low=(-1.0,) * 7,
        action_high=(1.0,) * 7,
    )
    folder = tmp_path_factory.mktemp("prior") / "untrained"
    FlowPrior(config).save(folder)
    return str(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)
