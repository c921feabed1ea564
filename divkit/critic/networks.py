"""Critic networks made from a factory: the event shapes of a sample to a module that maps its parts to (n,) scores."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor, nn

from divkit.data.measure import Measure

__all__ = ["Factory", "build", "restore"]

Factory = Callable[..., nn.Module]  # (*event_shapes) -> module; module(*parts) -> (n,) or (n, 1)

_lock = threading.Lock()  # held while the global generator has a network's seed


def restore(factory: Factory, x: Measure, weights: dict[str, Tensor]) -> nn.Module:
    """Return the network for points like x's with its trained weights, ready to evaluate."""
    network = _initialised(factory, x, 0)
    network.load_state_dict(weights)
    return network.eval()


def build(factory: Factory, x: Measure, seed: int, *, features: bool = False) -> nn.Module:
    """Return the network for points like x's, initialised from `seed`; global generators are left as they were.

    Raises
    ------
    ValueError
        If its output is not one finite number per point (with `features`, one row per point), or has no gradient.
    """
    network = _initialised(factory, x, seed)
    with torch.enable_grad():
        few = [part[:2] for part in x.parts]
        network.eval()
        scores = network(*few)
    n = len(few[0])
    fits = isinstance(scores, Tensor) and (scores.shape in ((n,), (n, 1)) or (features and scores.shape[:-1] == (n,)))
    if not fits:
        shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        expected = f"one row of features per point, shape ({n}, k)" if features else f"one number per point, shape ({n},)"
        raise ValueError(f"critic must return {expected}; got {shape}.")
    if not bool(torch.isfinite(scores).all()):
        raise ValueError("critic returned NaN or infinity on the first points, before any training.")
    if not scores.requires_grad:
        raise ValueError("critic's output has no gradient with respect to its parameters; do not detach it.")
    return network


def _initialised(factory: Factory, x: Measure, seed: int) -> nn.Module:
    """Return the network for points like x's, of their dtype and on their device."""
    with _lock, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # networks are made on the CPU; torch.manual_seed would visit every device
        return factory(*x.event_shapes).to(dtype=x.dtype, device=x.device)
