"""The abstraction: solve something without gradient, then evaluate a differentiable expression at the solution."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from divkit.core.estimate import Bias, ConvergenceWarning, Estimate, Solution, Terms
from divkit.core.graph import without_graph
from divkit.core.notes import Note
from divkit.data.arrays import NonFinite
from divkit.data.measure import Measure, pair
from divkit.support.checks import enough
from divkit.support.warnings import caution

__all__ = ["Divergence", "describe"]

RESCALE = "divide the data by a constant first"


@dataclass(frozen=True)
class Divergence(ABC):
    """A divergence or distance D(P‖Q) between empirical measures: the specification, without hidden state.

    A subclass is a frozen dataclass that defines `terms`, and `solve` where there is an inner problem. By the envelope
    theorem the gradient of `terms` at a fixed solution is the gradient of the divergence.
    """

    minimum: ClassVar[int] = 1  # samples needed on each side
    quadratic: ClassVar[bool] = True  # time grows as n·m or faster: `compare` subsamples large data

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    @abstractmethod
    def bias(self) -> Bias:
        """The sign of the estimator's systematic error."""

    @property
    def problem(self) -> Hashable:
        """A description of the inner problem: equal problems on the same data are solved once."""
        return self

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        """Return the solution of the inner problem, found from `start` where that helps."""
        return Solution()

    def advance(self, x: Measure, y: Measure, solution: Solution | None) -> Solution:
        """Return a fresher solution within a training step."""
        return self.solve(x, y, solution)

    @abstractmethod
    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        """Return one number per sample, differentiable in points and weights, at a fixed solution."""

    def settled(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        """Return `terms` for the very points that were solved, without gradient: the solution may hold them already."""
        return self.terms(x, y, solution)

    def descend(self, x: Measure, y: Measure, solution: Solution) -> Tensor:
        """Return what a model minimises: the value of `terms`, unless a surrogate has the better gradient."""
        return self.terms(x, y, solution).value(x, y)

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:  # labels: (B, N) bool, True for x -> (B,)
        """Return the values under relabellings of the pooled sample; the first row is the observed labelling."""
        values = torch.empty(len(labels), dtype=torch.float64, device=labels.device)
        for b, label in enumerate(labels):
            x, y = pooled.take(label.nonzero()[:, 0]), pooled.take((~label).nonzero()[:, 0])
            values[b] = self.terms(x, y, self.solve(x, y)).value(x, y)
        return values

    @final
    def loss(self, x: Any, y: Any, solution: Solution | None = None) -> Tensor:
        """Return the value as a differentiable scalar, in the dtype of the input.

        Examples
        --------
        >>> import divkit as dk, torch
        >>> x = torch.zeros(2, 1, requires_grad=True)
        >>> dk.get("w2").loss(x, torch.ones(2, 1)).backward()
        >>> x.grad.flatten().tolist()
        [-1.0, -1.0]
        """
        p, q = pair(x, y)
        self.require(p, q)
        return self.loss_of(p, q, solution)

    @final
    def loss_of(self, x: Measure, y: Measure, solution: Solution | None = None) -> Tensor:
        """Return the loss of two measures that have come through the door."""
        if torch.is_inference_mode_enabled():  # whose tensors no solver could train on
            with without_graph(x.device):
                return self.loss_of(x.detach(), y.detach(), solution)
        with torch.autocast(x.device.type, enabled=False):
            if solution is None:
                with torch.no_grad():
                    solution = self.solve(x.detach(), y.detach())
            value = self.descend(x, y, solution)
        loss = value.to(torch.promote_types(x.source_dtype, y.source_dtype))
        if bool(loss.isinf()) and solution.converged:
            number = f"{float(value.detach()):g}"
            raise NonFinite(f"the {self.name} of these samples, {number}, overflows {loss.dtype}; {RESCALE}.")
        return loss

    def __call__(self, x: Any, y: Any) -> Tensor:
        return self.loss(x, y)

    @final
    def estimate(self, x: Any, y: Any, *, solution: Solution | None = None, name: str | None = None) -> Estimate:
        """Return the value with its standard error, bias and the measured state of the inner problem.

        Parameters
        ----------
        x, y : Measure or array-like (n, *event), (m, *event)
        solution : Solution, optional
            The solution of an equal `problem` on the same data.
        name : str, optional
            A name for the estimate; the divergence's own by default.

        Warns
        -----
        ConvergenceWarning
            Where the inner problem was not solved.
        SaturatedBound
            Where a bound is as large as samples of this size can make it.
        UnreliableEstimate
            Where the samples say that value or standard error cannot be trusted.
        """
        p, q = pair(x, y)
        self.require(p, q)
        return self.assess(p, q, solution, name)

    @final
    def assess(self, x: Measure, y: Measure, solution: Solution | None = None, name: str | None = None) -> Estimate:
        """Return the estimate of two measures that have come through the door; warnings as `estimate` gives them."""
        with without_graph(x.device):
            x, y = x.detach(), y.detach()
            if solution is None:
                solution = self.solve(x, y)
                terms = self.settled(x, y, solution)
            else:
                terms = self.terms(x, y, solution)
            e = Estimate.of(name or self.name, x, y, terms, solution, bias=self.bias, settings=self.settings)
        if not solution.converged:
            state = f"{solution.status.value} (error {solution.error:.3g} after {solution.steps} steps)"
            caution(f"{e.name}: {state}.", ConvergenceWarning)
        elif not (math.isfinite(e.value) and not math.isinf(e.stderr)):
            raise ValueError(f"the value of these samples is {e.value} ± {e.stderr}: it overflows; {RESCALE}.")
        for note in Note:
            if note.warning is not None and note in e.notes:
                caution(f"{e.name}: {e.notes[note]}", note.warning)
        return e

    @property
    def settings(self) -> Mapping[str, Any]:
        """The fields of the divergence that `repr` shows, ready for JSON."""
        return {f.name: describe(getattr(self, f.name)) for f in fields(self) if f.repr}

    def require(self, x: Measure, y: Measure) -> None:
        """Refuse samples too small for this estimator."""
        for name, measure in (("x", x), ("y", y)):
            enough(name, measure.n, self.minimum)


def describe(value: Any) -> Any:
    """Return a field's value, ready for JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Enum):
        return value.name.lower()
    if hasattr(value, "name") and isinstance(value.name, str) and not isinstance(value, torch.nn.Module):
        return value.name
    if is_dataclass(value) and not isinstance(value, type):
        inner = ", ".join(f"{f.name}={describe(getattr(value, f.name))}" for f in fields(value))
        return f"{type(value).__name__}({inner})"
    if isinstance(value, tuple):
        return [describe(v) for v in value]
    return getattr(value, "__name__", repr(value))
