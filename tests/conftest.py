"""What all tests share: seeds, devices, threads."""

from __future__ import annotations

import os

import hypothesis
import numpy as np
import pytest
import threadpoolctl
import torch

hypothesis.settings.register_profile("divkit", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("divkit")


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:  # one thread per worker and its children: more would fight for the same cores
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        threadpoolctl.threadpool_limits(1)
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """A test that forgets its generator is still the same test each time."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device there is."""
    return torch.device(request.param)
