"""What every test runs under: one torch thread, no leaking torch randomness, no GPU needed."""

from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)  # tests run in several processes; more threads only get in the way


@pytest.fixture(autouse=True)
def forked_torch_generator() -> Iterator[None]:
    """Each test starts from the same torch seed and leaves the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)
