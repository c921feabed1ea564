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

from divkit.core.estimate import Bias, ConvergenceWarning, Estimate, SaturatedBound, Solution, Terms, UnreliableEstimate
from divkit.data.arrays import NonFinite
from divkit.data.measure import Measure, pair
from divkit.support.warnings import caution

__all__ = ["Divergence", "describe"]

RESCALE = "divide the data by a constant first"
CAUTIONS = {
    "saturated": SaturatedBound,
    "unreliable": UnreliableEstimate,
    "disagreement": UnreliableEstimate,
}  # notes that warn


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
        """Of the estimator."""

    @property
    def problem(self) -> Hashable:
        """Describe the inner problem: equal problems on the same data are solved once."""
        return self

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        """Solve the inner problem, from `start` where that helps."""
        return Solution()

    def advance(self, x: Measure, y: Measure, solution: Solution | None) -> Solution:
        """Refresh the solution within a training step."""
        return self.solve(x, y, solution)

    @abstractmethod
    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        """One number per sample, differentiable in points and weights, at a fixed solution."""

    def settled(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        """What `terms` gives at the very points that were solved, without gradient: the solution may hold it already."""
        return self.terms(x, y, solution)

    def descend(self, x: Measure, y: Measure, solution: Solution) -> Tensor:
        """What a model minimises: the value of `terms` unless a surrogate has the better gradient."""
        return self.terms(x, y, solution).value(x, y)

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:  # labels: (B, N) bool, True for x -> (B,)
        """Values under relabelling of the pooled sample; the first row is the observed labelling."""
        values = torch.empty(len(labels), dtype=torch.float64, device=labels.device)
        for b, label in enumerate(labels):
            x, y = pooled.take(label.nonzero()[:, 0]), pooled.take((~label).nonzero()[:, 0])
            values[b] = self.terms(x, y, self.solve(x, y)).value(x, y)
        return values

    @final
    def loss(self, x: Any, y: Any, solution: Solution | None = None) -> Tensor:
        """The value as a differentiable scalar, in the dtype of the input.

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
        if torch.is_inference_mode_enabled():  # whose tensors no solver could train on
            with torch.inference_mode(False), torch.no_grad():
                return self.loss(p.detach(), q.detach(), solution)
        with torch.autocast(p.device.type, enabled=False):
            if solution is None:
                with torch.no_grad():
                    solution = self.solve(p.detach(), q.detach())
            value = self.descend(p, q, solution)
        made = value.to(torch.promote_types(p.source_dtype, q.source_dtype))
        if bool(made.isinf()) and solution.converged:
            raise NonFinite(f"the {self.name} of these samples, {float(value.detach()):g}, overflows {made.dtype}; {RESCALE}.")
        return made

    def __call__(self, x: Any, y: Any) -> Tensor:
        return self.loss(x, y)

    @final
    def estimate(self, x: Any, y: Any, *, solution: Solution | None = None, name: str | None = None) -> Estimate:
        """The value with its standard error, bias and the measured state of the inner problem.

        Parameters
        ----------
        x, y : Measure or array-like (n, *event), (m, *event)
        solution : Solution, optional
            Of an equal `problem` on the same data.
        name : str, optional
            What the estimate is called; the divergence's own name by default.

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
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(p.device.type, enabled=False):
            p, q = p.detach(), q.detach()
            if solution is None:
                solution = self.solve(p, q)
                terms = self.settled(p, q, solution)
            else:
                terms = self.terms(p, q, solution)
            made = Estimate.of(name or self.name, p, q, terms, solution, bias=self.bias, settings=self.settings)
        if not solution.converged:
            state = f"{solution.status.value} (error {solution.error:.3g} after {solution.steps} steps)"
            caution(f"{made.name}: {state}.", ConvergenceWarning)
        elif not (math.isfinite(made.value) and not math.isinf(made.stderr)):
            raise ValueError(f"the value of these samples is {made.value} ± {made.stderr}: it overflows; {RESCALE}.")
        for note, category in CAUTIONS.items():
            if note in made.notes:
                caution(f"{made.name}: {made.notes[note]}", category)
        return made

    @property
    def settings(self) -> Mapping[str, Any]:
        """The fields, ready for JSON."""
        return {f.name: describe(getattr(self, f.name)) for f in fields(self)}

    def require(self, x: Measure, y: Measure) -> None:
        """Refuse samples too small for this estimator."""
        for name, measure in (("x", x), ("y", y)):
            if measure.n < self.minimum:
                raise ValueError(
                    f"Found array with {measure.n} sample(s) while a minimum of {self.minimum} is required: {name}."
                )


def describe(value: Any) -> Any:
    """A field's value, ready for JSON."""
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
