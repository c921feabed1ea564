"""Kernels made of kernels: sums and products of parts of one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from divkit.checks import positive
from divkit.kernel.elementary import IMQ, Kernel
from divkit.pairs import Form

__all__ = ["MultiscaleIMQ", "Product", "Sum"]


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


@dataclass(frozen=True)
class MultiscaleIMQ(Kernel):
    """WAE's sum of seven inverse multiquadrics, c = 2 d σ² s for s in .1, .2, .5, 1, 2, 5, 10 (Tolstikhin et al., 2018)."""

    sigma: float = 1.0
    scales: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        for scale in self.scales:
            positive("scales", scale)

    def fit(self, pooled: Tensor) -> tuple[dict[str, float], str | None]:
        return {"dimension": float(pooled.shape[1])}, None

    def fitted(self, found: Mapping[str, float]) -> Kernel:
        return Sum(tuple(IMQ(2 * found["dimension"] * self.sigma**2 * s) for s in self.scales))

    def value(self, s: Tensor) -> Tensor:
        raise TypeError("MultiscaleIMQ depends on the dimension: fit it first.")

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        raise TypeError("MultiscaleIMQ depends on the dimension: fit it first.")
