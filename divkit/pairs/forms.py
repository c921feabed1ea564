"""Functions of a pair of points, evaluated a tile at a time: through the squared distance or the inner product."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

__all__ = ["Distance", "Form", "PairFunction", "Product", "Tile"]

DIRECT = 4  # up to this dimension, summing squared differences costs no more than a matrix product and is exact
GATHERED = 1 << 14  # pairs recomputed at once
FEW = 0.05  # the share of a tile's pairs up to which they are treated one by one


class Form(ABC):
    """The bilinear part of a pair function: s(x, y), and how slopes with respect to s become gradients of points."""

    vanishes: ClassVar[bool]  # on the diagonal
    norm: ClassVar[float] = 2.0  # of the distance that bandwidths are compared with
    degree: ClassVar[int] = 2  # s(ax, ay) is a to this power times s(x, y)
    unit: ClassVar[float] = 1.0  # the slope that `gradient` takes is this times dk/ds

    @abstractmethod
    def tile(self, x: Tensor, y: Tensor, *, same: bool = False) -> Tensor:
        """Evaluate s for all pairs: (p, d), (q, d) -> (p, q).

        With `same`, x and y are the same rows and the diagonal may be anything finite and positive.
        """

    def measured(self, x: Tensor, y: Tensor, *, same: bool = False) -> tuple[Tensor, float]:
        """Evaluate `tile`, and a lower bound of it."""
        s = self.tile(x, y, same=same)
        return s, float(s.min())

    @abstractmethod
    def diagonal(self, x: Tensor) -> Tensor:
        """Evaluate s(xᵢ, xᵢ): (n, d) -> (n,)."""

    @abstractmethod
    def gradient(self, x: Tensor, moments: Tensor) -> Tensor:
        """Gradient of Σⱼ qⱼ k(xᵢ, yⱼ) in xᵢ, of moments (p, d + 1) = slope @ [q y, q]."""


class Tile(NamedTuple):
    """A block of pairs: k, and its slope as a tensor times a number, which may be one tensor."""

    value: Tensor  # (p, q)
    slope: Tensor  # (p, q), without the pairs of `steep`
    factor: float
    steep: Steep | None = None

    def transposed(self) -> Tile:
        steep = self.steep
        turned = None if steep is None else Steep(steep.columns, steep.rows, -steep.pull)
        return Tile(self.value.T, self.slope.T, self.factor, turned)


class Steep(NamedTuple):
    """Pairs so close that slope · x − slope · y would lose all digits."""

    rows: Tensor  # (c,)
    columns: Tensor  # (c,)
    pull: Tensor  # (c, d) slope (x − y), float64


class _SquaredDistance(Form):
    """s = |x − y|², exact for close points; slope = 2 dk/ds, so that ∂k/∂x = slope · (x − y)."""

    vanishes = True
    unit = 2.0

    def tile(self, x: Tensor, y: Tensor, *, same: bool = False) -> Tensor:
        if x.shape[1] > DIRECT:
            return self._product(x, y, same=same)[0]
        s = _differences(x, y)
        return s.fill_diagonal_(1.0) if same else s

    def measured(self, x: Tensor, y: Tensor, *, same: bool = False) -> tuple[Tensor, float]:
        return self._product(x, y, same=same) if x.shape[1] > DIRECT else super().measured(x, y, same=same)

    def _product(self, x: Tensor, y: Tensor, *, same: bool) -> tuple[Tensor, float]:
        """Distances by one matrix product, and a lower bound of them."""
        xx, yy = x.square().sum(1, keepdim=True), y.square().sum(1, keepdim=True)
        left, right = torch.cat([x * -2, xx, torch.ones_like(xx)], 1), torch.cat([y, torch.ones_like(yy), yy], 1)
        s = left @ right.T
        # cancellation leaves an error of eps (|x|² + |y|²): below √eps of that, distances are recomputed
        largest = float(xx.max() + yy.max())
        close = largest * torch.finfo(s.dtype).eps ** 0.5
        if same:
            s.fill_diagonal_(largest or 1.0)
        least = float(s.min())
        if least < close:
            i, j = (s < close).nonzero(as_tuple=True)
            if len(i) > FEW * s.numel():
                s = _differences(x, y)
                return s.fill_diagonal_(largest or 1.0) if same else s, 0.0
            for p, q in zip(i.tensor_split(1 + len(i) // GATHERED), j.tensor_split(1 + len(i) // GATHERED)):
                s[p, q] = (x[p] - y[q]).square_().sum(1)
            least = float(s.min())
        return s, least

    def diagonal(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), dtype=x.dtype, device=x.device)

    def gradient(self, x: Tensor, moments: Tensor) -> Tensor:
        return x * moments[:, -1:] - moments[:, :-1]


class _InnerProduct(Form):
    """s = x·y; slope = dk/ds, so that ∂k/∂x = slope · y."""

    vanishes = False

    def tile(self, x: Tensor, y: Tensor, *, same: bool = False) -> Tensor:
        return x @ y.T

    def diagonal(self, x: Tensor) -> Tensor:
        return x.square().sum(1)

    def gradient(self, x: Tensor, moments: Tensor) -> Tensor:
        return moments[:, :-1]


def _differences(x: Tensor, y: Tensor) -> Tensor:
    s = (x[:, :1] - y[:, 0]).square_()
    difference = torch.empty_like(s) if x.shape[1] > 1 else s
    for k in range(1, x.shape[1]):
        torch.sub(x[:, k : k + 1], y[:, k], out=difference)
        s.addcmul_(difference, difference)
    return s


Distance: Form = _SquaredDistance()
Product: Form = _InnerProduct()


class PairFunction(ABC):
    """A kernel or cost k(x, y) = value(s(x, y))."""

    form: ClassVar[Form] = Distance
    linear: ClassVar[bool] = False  # k = |x − y|² itself, which `softmin` folds into one matrix product
    straight: ClassVar[bool] = False  # k = −|x − y| itself, which sorting sums up in one dimension
    singular: ClassVar[bool] = False  # the slope grows without bound at coincident points

    @abstractmethod
    def value(self, s: Tensor) -> Tensor:
        """Evaluate k of a tile of s; may overwrite `s`."""

    @abstractmethod
    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        """Evaluate k, and its slope (see `form`) as a tensor times a number; may overwrite `s`.

        The slope may be the same tensor as k, which saves a product.
        """

    def diagonal(self, x: Tensor) -> Tensor:
        """Evaluate k(xᵢ, xᵢ)."""
        return self.value(self.form.diagonal(x))

    def evaluate(self, x: Tensor, y: Tensor) -> Tensor:
        """A tile of k."""
        return self.value(self.form.tile(x, y))

    def tile(self, x: Tensor, y: Tensor, *, same: bool = False) -> Tile:
        """A tile of k with its slope; with `same`, x and y are the same rows, less the diagonal.

        Of a singular slope the pairs within rounding of each other come apart; coincident ones pull nowhere.
        """
        near = None
        if self.singular:
            s, least = self.form.measured(x, y, same=same)
            tiny = torch.finfo(s.dtype).eps
            near = s < tiny if least < tiny else None
        else:
            s = self.form.tile(x, y, same=same)
        if near is None:
            value, slope, factor = self.value_and_slope(s)
            steep = None
        else:
            rows, columns = (near & (s > 0)).nonzero(as_tuple=True)
            if len(rows) > FEW * s.numel() and s.dtype == torch.float32:
                return self.tile(x.double(), y.double(), same=same)
            value, slope, factor = self.value_and_slope(s)
            pull = (slope[rows, columns].double() * factor)[:, None] * (x[rows] - y[columns]).double()
            slope = slope.masked_fill_(near, 0.0)
            steep = Steep(rows, columns, pull) if len(rows) else None
        if same:
            value.fill_diagonal_(0.0)
            slope.fill_diagonal_(0.0)
        return Tile(value, slope, factor, steep)

    def evaluate_with_slope(self, x: Tensor, y: Tensor, *, same: bool = False) -> tuple[Tensor, Tensor, float]:
        """A tile of k and its slope; with `same`, x and y are the same rows and the diagonal is left out.

        Where points are so close that the slope's product with x − y would lose its digits, the tile is in float64.
        """
        s = self.form.tile(x, y, same=same)
        if self.singular and s.dtype == torch.float32 and float(s.min()) < torch.finfo(s.dtype).eps:
            s = self.form.tile(x.double(), y.double())
        value, slope, factor = self.value_and_slope(s)
        if same:
            value.fill_diagonal_(0.0)
            slope.fill_diagonal_(0.0)
        return value, slope, factor
