"""Kernels k(x, y) = value(s), and their algebra: sums, products, and kernels of points in other units.

s(x, y) is what the kernel's `form` makes of a pair: |x − y|², |x − y|₁ or x·y.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from divkit.kernel.median import Median
from divkit.pairs import Form, PairFunction

if TYPE_CHECKING:
    pass

__all__ = ["Kernel", "Product", "Sum"]


@dataclass(frozen=True)
class Kernel(PairFunction):
    """A positive definite kernel k(x, y). Sums and products are kernels: ``Gaussian(1.0) + Laplace(2.0) * IMQ(1.0)``.

    A subclass is a frozen dataclass that defines `value`. One whose slope grows without bound at coincident points, such as a
    function of the distance itself, sets ``singular = True``. A field that holds a `Median` is set by the samples.
    """

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        """Evaluate k and its slope, by autograd: a kernel that writes its own saves time."""
        keep = torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda saved: saved)  # as `value` may overwrite its steps
        with torch.enable_grad(), keep:
            leaf = s.detach().clone().requires_grad_()
            value = self.value(leaf.clone())
            if not value.requires_grad:  # a constant
                return value, torch.zeros_like(value), 1.0
            (slope,) = torch.autograd.grad(value.sum(), leaf)
        if self.form.vanishes:  # coincident points pull nowhere
            slope = slope.masked_fill((s == 0) & ~slope.isfinite(), 0.0)
        return value.detach(), slope, self.form.unit

    def medians(self) -> dict[str, Median]:
        """Return the fields that the median heuristic sets, all of them distances."""
        return {f.name: rule for f in fields(self) if isinstance(rule := getattr(self, f.name), Median)}

    def fit(self, pooled: Tensor) -> tuple[dict[str, float], str | None]:
        """Return the numbers that depend on the data, by name, from the pooled rows (N, d), and a remark on them if any."""
        numbers, remark = {}, None
        for name, rule in self.medians().items():
            numbers[name], remark = rule.of(pooled, self.form.norm)
        return numbers, remark

    def fitted(self, numbers: Mapping[str, float]) -> Kernel:
        """Return the kernel with the numbers of `fit` in place."""
        return replace(self, **numbers) if numbers else self

    def scaled(self, factor: float) -> Kernel:
        """Return the kernel that has the same values at points divided by `factor`."""
        return _Scaled(self, factor)

    def __add__(self, other: Kernel) -> Kernel:
        return Sum.of(self, other)

    def __mul__(self, other: Kernel) -> Kernel:
        return Product.of(self, other)


@dataclass(frozen=True)
class _Scaled(Kernel):
    """A kernel for points divided by `factor`, where it has no formula of its own for them.

    At those points s is 1/factor to the `degree` of the form. Its `monomial` is not handed on: a multiple of
    |x − y|² is not |x − y|².
    """

    kernel: Kernel
    factor: float

    @property
    def form(self) -> Form:
        return self.kernel.form

    @property
    def singular(self) -> bool:
        return self.kernel.singular

    def value(self, s: Tensor) -> Tensor:
        return self.kernel.value(self._restored(s))

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        k, slope, unit = self.kernel.value_and_slope(self._restored(s))
        for _ in range(self.form.degree):
            unit = unit * self.factor
        return k, slope, unit

    def _restored(self, s: Tensor) -> Tensor:
        """Return s at the points themselves."""
        for _ in range(self.form.degree):  # one by one: a power of the factor might overflow
            s = s.mul_(self.factor)
        return s


@dataclass(frozen=True)
class _Compound(Kernel):
    """Kernels of one form, fitted and scaled each for itself; the numbers of part i have names that begin with ``i.``."""

    parts: tuple[Kernel, ...] = ()

    @classmethod
    def of(cls, *kernels: Kernel) -> Self:
        """Join kernels; of those that are of this class themselves, join the parts."""
        return cls(tuple(part for k in kernels for part in (k.parts if isinstance(k, cls) else (k,))))

    def __post_init__(self) -> None:
        if len({id(part.form) for part in self.parts}) > 1:
            raise ValueError(
                "a sum or product of kernels needs parts of one form: all of the distance, or all of the inner product."
            )

    @property
    def form(self) -> Form:
        return self.parts[0].form

    @property
    def singular(self) -> bool:
        return any(part.singular for part in self.parts)

    def medians(self) -> dict[str, Median]:
        return {f"{i}.{name}": rule for i, part in enumerate(self.parts) for name, rule in part.medians().items()}

    def fit(self, pooled: Tensor) -> tuple[dict[str, float], str | None]:
        fits = [part.fit(pooled) for part in self.parts]
        numbers = {f"{i}.{name}": number for i, (of_part, _) in enumerate(fits) for name, number in of_part.items()}
        return numbers, next((remark for _, remark in fits if remark), None)

    def fitted(self, numbers: Mapping[str, float]) -> Kernel:
        of_parts: list[dict[str, float]] = [{} for _ in self.parts]
        for key, number in numbers.items():
            i, _, name = key.partition(".")
            of_parts[int(i)][name] = number
        return type(self)(tuple(part.fitted(of_part) for part, of_part in zip(self.parts, of_parts)))

    def scaled(self, factor: float) -> Kernel:
        return type(self)(tuple(part.scaled(factor) for part in self.parts))


@dataclass(frozen=True)
class Sum(_Compound):
    """A sum of kernels: ``Gaussian(1.0) + Laplace(2.0)``."""

    def value(self, s: Tensor) -> Tensor:
        return reduce(Tensor.add_, (part.value(s.clone()) for part in self.parts))

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        value, slope = torch.zeros_like(s), torch.zeros_like(s)
        for part in self.parts:
            k, part_slope, unit = part.value_and_slope(s.clone())
            value += k
            slope.add_(part_slope, alpha=unit)
        return value, slope, 1.0


@dataclass(frozen=True)
class Product(_Compound):
    """A product of kernels: ``Gaussian(1.0) * IMQ(2.0)``."""

    def value(self, s: Tensor) -> Tensor:
        return reduce(Tensor.mul_, (part.value(s.clone()) for part in self.parts))

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        value, slope = torch.ones_like(s), torch.zeros_like(s)
        for part in self.parts:
            k, part_slope, unit = part.value_and_slope(s.clone())
            slope = slope * k + value * part_slope * unit
            value = value * k
        return value, slope, 1.0
