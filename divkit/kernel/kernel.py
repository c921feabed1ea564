"""Kernels and their algebra: scaled ones, sums and products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from divkit.kernel.median import Median
from divkit.pairs import Form, PairFunction

__all__ = ["Kernel", "Product", "Sum"]


@dataclass(frozen=True)
class Kernel(PairFunction):
    """A positive definite kernel k(x, y). Sums and products are kernels: ``Gaussian(1.0) + Laplace(2.0) * IMQ(1.0)``."""

    def fit(self, pooled: Tensor) -> tuple[dict[str, float], str | None]:
        """Find what depends on the data, from the pooled rows (N, d): numbers by name, and what to say of them."""
        found, said = {}, None
        for name in ("bandwidth", "length"):
            rule = getattr(self, name, None)
            if isinstance(rule, Median):
                found[name], said = rule.of(pooled, self.form.norm)
        return found, said

    def fitted(self, found: Mapping[str, float]) -> Kernel:
        """The kernel with the numbers of `fit` in place."""
        return replace(self, **found) if found else self

    def scaled(self, factor: float) -> Kernel:
        """The same kernel for points divided by `factor`."""
        return _Scaled(self, factor)

    def __add__(self, other: Kernel) -> Kernel:
        return Sum.of(self, other)

    def __mul__(self, other: Kernel) -> Kernel:
        return Product.of(self, other)


@dataclass(frozen=True)
class _Scaled(Kernel):
    """A kernel of distances for points divided by `factor`, where it does not say itself what it then is."""

    kernel: Kernel
    factor: float

    @property
    def singular(self) -> bool:  # type: ignore[override]
        return self.kernel.singular

    def value(self, s: Tensor) -> Tensor:
        return self.kernel.value(self._restored(s))

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        k, slope, factor = self.kernel.value_and_slope(self._restored(s))
        return k, slope, factor * self.factor * self.factor

    def _restored(self, s: Tensor) -> Tensor:
        return s.mul_(self.factor).mul_(self.factor)  # one by one: the square might overflow


@dataclass(frozen=True)
class _Compound(Kernel):
    """Parts of one form, fitted and scaled each for itself."""

    parts: tuple[Kernel, ...] = ()

    @classmethod
    def of(cls, *kernels: Kernel) -> Self:
        """Join kernels, those of this kind by their parts."""
        return cls(tuple(part for k in kernels for part in (k.parts if isinstance(k, cls) else (k,))))

    def __post_init__(self) -> None:
        if len({id(part.form) for part in self.parts}) > 1:
            raise ValueError(
                "a sum or product of kernels needs parts of one form: all of the distance, or all of the inner product."
            )

    @property
    def form(self) -> Form:  # type: ignore[override]
        return self.parts[0].form

    @property
    def singular(self) -> bool:  # type: ignore[override]
        return any(part.singular for part in self.parts)

    def fit(self, pooled: Tensor) -> tuple[dict[str, float], str | None]:
        found: dict[str, float] = {}
        said = None
        for i, part in enumerate(self.parts):
            mine, note = part.fit(pooled)
            found |= {f"{i}.{key}": value for key, value in mine.items()}
            said = said or note
        return found, said

    def fitted(self, found: Mapping[str, float]) -> Kernel:
        mine = [
            {key.partition(".")[2]: v for key, v in found.items() if key.startswith(f"{i}.")} for i in range(len(self.parts))
        ]
        return type(self)(tuple(part.fitted(numbers) for part, numbers in zip(self.parts, mine)))

    def scaled(self, factor: float) -> Kernel:
        return type(self)(tuple(part.scaled(factor) for part in self.parts))


@dataclass(frozen=True)
class Sum(_Compound):
    """A sum of kernels: ``Gaussian(1.0) + Laplace(2.0)``."""

    def value(self, s: Tensor) -> Tensor:
        value = self.parts[0].value(s.clone())
        for part in self.parts[1:]:
            value += part.value(s.clone())
        return value

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        value, slope = torch.zeros_like(s), torch.zeros_like(s)
        for part in self.parts:
            k, f, factor = part.value_and_slope(s.clone())
            value += k
            slope.add_(f, alpha=factor)
        return value, slope, 1.0


@dataclass(frozen=True)
class Product(_Compound):
    """A product of kernels: ``Gaussian(1.0) * IMQ(2.0)``."""

    def value(self, s: Tensor) -> Tensor:
        value = self.parts[0].value(s.clone())
        for part in self.parts[1:]:
            value *= part.value(s.clone())
        return value

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        value, slope = torch.ones_like(s), torch.zeros_like(s)
        for part in self.parts:
            k, f, factor = part.value_and_slope(s.clone())
            slope = slope * k + value * f * factor
            value = value * k
        return value, slope, 1.0
