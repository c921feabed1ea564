"""Functions of a pair of points, evaluated a tile at a time: k(x, y) = φ(s(x, y)) of a form s.

A form is the squared distance |x − y|² or the inner product x·y: one matrix product gives all pairs of a tile. φ is applied
elementwise, and so is its slope q. A gradient is a matrix product again:

    ∂/∂xᵢ Σⱼ vⱼ k(xᵢ, yⱼ) = xᵢ Σⱼ qᵢⱼ vⱼ − Σⱼ qᵢⱼ vⱼ yⱼ,  q = 2 φ′(s), of the squared distance;
                          = Σⱼ qᵢⱼ vⱼ yⱼ,              q = φ′(s),   of the inner product.

Digits are lost to cancellation twice. |x|² − 2 x·y + |y|² has an error of eps (|x|² + |y|²), so that close pairs are computed
from their differences instead. And where q grows without bound at coincident points (a *singular* slope), q x − q y loses all
digits: such pairs leave the matrix product and are added one by one, as `Steep`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

__all__ = ["Distance", "Form", "InnerProduct", "PairFunction", "Precision", "Product", "Steep", "Tile"]


class Form(ABC):
    """The bilinear part of a pair function: s(x, y), and how slopes with respect to s become gradients of points."""

    vanishes: ClassVar[bool]  # s(x, x) = 0, and s depends on x − y alone
    norm: ClassVar[float] = 2.0  # p of the distance |x − y|ₚ that bandwidths are compared with
    degree: ClassVar[int] = 2  # s(ax, ay) is a to this power times s(x, y)
    unit: ClassVar[float] = 1.0  # the slope that `gradient` takes is this times φ′(s)

    @abstractmethod
    def tile(self, x: Tensor, y: Tensor, *, same: bool = False) -> Tensor:
        """Evaluate s for all pairs: (p, d), (q, d) -> (p, q).

        With `same`, x and y are the same rows and the diagonal may be anything finite and positive.
        """

    def bounded_tile(self, x: Tensor, y: Tensor, *, same: bool = False) -> tuple[Tensor, float]:
        """Evaluate `tile`, and a lower bound of it."""
        s = self.tile(x, y, same=same)
        return s, float(s.min())

    @abstractmethod
    def diagonal(self, x: Tensor) -> Tensor:
        """Evaluate s(xᵢ, xᵢ): (n, d) -> (n,)."""

    @abstractmethod
    def gradient(self, x: Tensor, moments: Tensor) -> Tensor:
        """Return the gradient of Σⱼ vⱼ k(xᵢ, yⱼ) in xᵢ, from moments (p, d + 1) = q @ [v y, v]."""


class Tile(NamedTuple):
    """A block of pairs: k, and its slope as a tensor times a number, which may be one tensor."""

    value: Tensor  # (p, q)
    slope: Tensor  # (p, q), zero for the pairs of `steep`
    factor: float
    steep: Steep | None = None

    def transposed(self) -> Tile:
        """Return the tile of the pairs (y, x)."""
        steep = None if self.steep is None else Steep(self.steep.columns, self.steep.rows, -self.steep.pull)
        return Tile(self.value.T, self.slope.T, self.factor, steep)


class Steep(NamedTuple):
    """Pairs so close that slope · x − slope · y would lose all digits."""

    rows: Tensor  # (c,)
    columns: Tensor  # (c,)
    pull: Tensor  # (c, d) slope (x − y), float64


@dataclass(frozen=True)
class Precision:
    """When squared distances are computed from differences, which keep the digits that a matrix product loses.

    Attributes
    ----------
    direct : int
        The dimension up to which all are: it costs no more than a matrix product.
    gathered : int
        Close pairs that are recomputed at once; each takes d numbers.
    few : float
        The share of a tile's pairs up to which close ones are recomputed one by one; beyond it the whole tile is.
    """

    direct: int = 4
    gathered: int = 1 << 14
    few: float = 0.05


@dataclass(frozen=True)
class _SquaredDistance(Form):
    """The form s = |x − y|², exact for close points."""

    vanishes = True
    unit = 2.0
    precision: Precision = Precision()

    def tile(self, x: Tensor, y: Tensor, *, same: bool = False) -> Tensor:
        if x.shape[1] > self.precision.direct:
            return self._product(x, y, same=same)[0]
        return _differences(x, y, diagonal=1.0 if same else None)

    def bounded_tile(self, x: Tensor, y: Tensor, *, same: bool = False) -> tuple[Tensor, float]:
        direct = x.shape[1] <= self.precision.direct
        return super().bounded_tile(x, y, same=same) if direct else self._product(x, y, same=same)

    def _product(self, x: Tensor, y: Tensor, *, same: bool) -> tuple[Tensor, float]:
        """Evaluate all by one matrix product, the close ones anew, and a lower bound."""
        xx, yy = x.square().sum(1, keepdim=True), y.square().sum(1, keepdim=True)
        left, right = torch.cat([x * -2, xx, torch.ones_like(xx)], 1), torch.cat([y, torch.ones_like(yy), yy], 1)
        s = left @ right.T
        largest = float(xx.max() + yy.max())
        close = largest * torch.finfo(s.dtype).eps ** 0.5  # above it, half of the digits are right
        diagonal = largest or 1.0
        if same:
            s.fill_diagonal_(diagonal)
        least = float(s.min())
        if least < close:
            i, j = (s < close).nonzero(as_tuple=True)
            if len(i) > self.precision.few * s.numel():
                return _differences(x, y, diagonal=diagonal if same else None), 0.0
            parts = 1 + len(i) // self.precision.gathered
            for p, q in zip(i.tensor_split(parts), j.tensor_split(parts)):
                s[p, q] = (x[p] - y[q]).square_().sum(1)
            least = float(s.min())
        return s, least

    def diagonal(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), dtype=x.dtype, device=x.device)

    def gradient(self, x: Tensor, moments: Tensor) -> Tensor:
        return x * moments[:, -1:] - moments[:, :-1]


class _InnerProduct(Form):
    """The form s = x·y."""

    vanishes = False

    def tile(self, x: Tensor, y: Tensor, *, same: bool = False) -> Tensor:
        return x @ y.T

    def diagonal(self, x: Tensor) -> Tensor:
        return x.square().sum(1)

    def gradient(self, x: Tensor, moments: Tensor) -> Tensor:
        return moments[:, :-1]


def _differences(x: Tensor, y: Tensor, *, diagonal: float | None) -> Tensor:
    """Sum squared differences, a coordinate at a time, and overwrite the diagonal where a number is given."""
    s = (x[:, :1] - y[:, 0]).square_()
    difference = torch.empty_like(s) if x.shape[1] > 1 else s
    for k in range(1, x.shape[1]):
        torch.sub(x[:, k, None], y[:, k], out=difference)
        s.addcmul_(difference, difference)
    return s if diagonal is None else s.fill_diagonal_(diagonal)


Distance: Form = _SquaredDistance()
InnerProduct: Form = _InnerProduct()
Product = InnerProduct  # its former name, which `kernels.Product`, a product of kernels, bears too


class PairFunction(ABC):
    """A kernel or cost k(x, y) = φ(s(x, y))."""

    @property
    def form(self) -> Form:
        """The form s: the squared distance, unless another is named."""
        return Distance

    @property
    def monomial(self) -> tuple[float, float] | None:
        """The factor and the exponent where k = factor · |x − y|^exponent: |x − y|² and −|x − y| have faster ways."""
        return None

    @property
    def singular(self) -> bool:
        """Whether the slope grows without bound at coincident points."""
        return self.monomial is not None and self.monomial[1] < 2

    @property
    def is_squared_distance(self) -> bool:
        """Whether k = |x − y|², which `softmin` folds into one matrix product."""
        return self.monomial == (1.0, 2.0)

    @abstractmethod
    def value(self, s: Tensor) -> Tensor:
        """Evaluate φ of a tile of s; may overwrite `s`."""

    @abstractmethod
    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        """Evaluate φ, and its slope (the module's q) as a tensor times a number; may overwrite `s`.

        The slope may be the same tensor as the value, which saves a product.
        """

    def diagonal(self, x: Tensor) -> Tensor:
        """Evaluate k(xᵢ, xᵢ)."""
        return self.value(self.form.diagonal(x))

    def evaluate(self, x: Tensor, y: Tensor) -> Tensor:
        """Evaluate k for all pairs: (p, d), (q, d) -> (p, q)."""
        return self.value(self.form.tile(x, y))

    def evaluate_slope(self, x: Tensor, y: Tensor) -> tuple[Tensor, float]:
        """Evaluate the slope alone; in float64 where points are so close that q x − q y would lose its digits."""
        s = self.form.tile(x, y)
        if self.singular and s.dtype == torch.float32 and float(s.min()) < torch.finfo(s.dtype).eps:
            s = self.form.tile(x.double(), y.double())
        return self.value_and_slope(s)[1:]

    def tile(self, x: Tensor, y: Tensor, *, same: bool = False, few: float = Precision.few) -> Tile:
        """Evaluate k and its slope for all pairs; with `same`, x and y are the same rows, and the diagonal is zero.

        Where the slope is singular, pairs whose s is below rounding are set apart as `Steep`, and coincident ones pull nowhere.
        Where these are more than the share `few` of a float32 tile, it is computed in float64 instead.
        """
        close, steep = None, None
        if self.singular:
            s, least = self.form.bounded_tile(x, y, same=same)
            eps = torch.finfo(s.dtype).eps
            close = s < eps if least < eps else None
        else:
            s = self.form.tile(x, y, same=same)
        if close is None:
            value, slope, factor = self.value_and_slope(s)
        else:
            rows, columns = (close & (s > 0)).nonzero(as_tuple=True)
            if len(rows) > few * s.numel() and s.dtype == torch.float32:
                return self.tile(x.double(), y.double(), same=same)
            value, slope, factor = self.value_and_slope(s)
            pull = (slope[rows, columns].double() * factor)[:, None] * (x[rows] - y[columns]).double()
            slope = slope.masked_fill_(close, 0.0)
            steep = Steep(rows, columns, pull) if len(rows) else None
        if same:
            value.fill_diagonal_(0.0)
            slope.fill_diagonal_(0.0)
        return Tile(value, slope, factor, steep)
