"""The modes of torch under which solutions are found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["without_graph"]


@contextmanager
def without_graph(device: torch.device) -> Iterator[None]:
    """Compute without a graph, without autocast, and outside inference mode, whose tensors no solver could train on."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield
