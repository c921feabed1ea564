"""The one stateful object: a divergence as the loss of a training loop, its inner solution kept warm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from divkit.core import registry
from divkit.core.divergence import Divergence
from divkit.core.estimate import Solution, Status
from divkit.core.graph import without_graph
from divkit.data.measure import pair

__all__ = ["Criterion"]

NUMBERS = ("steps", "error", "lower", "upper")  # of a solution


class Criterion:
    """A loss ``criterion(x, y) -> scalar`` whose potentials and critics carry over from call to call.

    Not an `nn.Module`, so that a critic's parameters never enter ``model.parameters()``.

    Parameters
    ----------
    divergence : str, Divergence, or what makes one
        A name, a divergence, or a record, dual or kernel.
    **fields
        Set on a divergence given by name.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> criterion = dk.Criterion("sinkhorn", epsilon=0.1)
    >>> mu = torch.zeros(2, requires_grad=True)
    >>> x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    >>> loss = criterion(x + 3, x + mu)
    >>> loss.backward()
    >>> bool((mu.grad < 0).all())
    True
    """

    def __init__(self, divergence: str | Divergence, **fields: Any) -> None:
        _, self.divergence = registry.named(divergence, **fields)
        self.solution: Solution | None = None
        self._ascending = False

    def __call__(self, x: Any, y: Any) -> Tensor:
        """Advance the inner solution on these samples, then return what a model descends."""
        p, q = pair(x, y)
        self.divergence.require(p, q)
        with without_graph(p.device):
            self.solution = self.divergence.advance(p.detach(), q.detach(), self.solution)
        if self._ascending:
            p, q = p.detach(), q.detach()
        return self.divergence.loss_of(p, q, self.solution)

    @contextmanager
    def ascending(self) -> Iterator[None]:
        """Inside, calls only improve the inner solution (extra critic batches); what they return has no graph."""
        before, self._ascending = self._ascending, True
        try:
            yield
        finally:
            self._ascending = before

    def to(self, *args: Any, **kwargs: Any) -> Criterion:
        """Move and cast the state, as `torch.Tensor.to` does; integer tensors keep their dtype."""
        if self.solution is not None:
            self.solution = _rebuild(_dump(self.solution), lambda t: _move(t, *args, **kwargs))
        return self

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and strings only: loads with ``torch.load(…, weights_only=True)``."""
        return {"solution": None if self.solution is None else _dump(self.solution)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`."""
        if "solution" not in state:
            raise ValueError(
                f"not a Criterion's state: wanted the key 'solution', got {', '.join(map(str, state)) or 'nothing'}."
            )
        saved = state["solution"]
        self.solution = None if saved is None else _rebuild(saved, torch.Tensor.clone)

    def __repr__(self) -> str:
        return f"Criterion({self.divergence!r})"


def _dump(solution: Solution) -> dict[str, Any]:
    """Return a solution as tensors, numbers and words."""
    numbers = {key: getattr(solution, key) for key in NUMBERS}
    notes = {str(key): note for key, note in solution.notes.items()}
    return {"state": _map(solution.state, torch.Tensor.clone), "status": solution.status.name, "notes": notes, **numbers}


def _rebuild(saved: Mapping[str, Any], move: Any) -> Solution:
    """Return the solution that `_dump` wrote, its tensors moved."""
    numbers = {key: saved[key] for key in NUMBERS}
    notes = saved.get("notes", {})  # states of before have none
    return Solution(state=_map(saved["state"], move), status=Status[saved["status"]], notes=notes, **numbers)


def _map(state: Any, move: Any) -> Any:
    """Return a nested state with `move` applied to its tensors."""
    if isinstance(state, Tensor):
        return move(state.detach())
    if isinstance(state, Mapping):
        return {key: _map(value, move) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [_map(value, move) for value in state]
    return state


def _move(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return a tensor moved and cast as `Tensor.to` does, whole numbers not cast."""
    if tensor.dtype == torch.uint8:  # the state of a generator stays on the CPU
        return tensor
    moved = tensor.to(*args, **kwargs)
    return moved if tensor.is_floating_point() else moved.to(tensor.dtype)
