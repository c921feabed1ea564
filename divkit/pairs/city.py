"""The L₁ distance of a pair of points, for values alone."""

from __future__ import annotations

import torch
from torch import Tensor

from divkit.pairs.forms import Form

__all__ = ["CityBlock"]


class _CityBlock(Form):
    """The form s = Σₖ |xₖ − yₖ|. Its gradient is a matter of signs, which no matrix product sums up."""

    vanishes = True
    norm = 1.0
    degree = 1

    def tile(self, x: Tensor, y: Tensor, *, same: bool = False) -> Tensor:
        return (x - y.T).abs_() if x.shape[1] == 1 else torch.cdist(x, y, p=1.0)

    def diagonal(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x))

    def gradient(self, x: Tensor, moments: Tensor) -> Tensor:
        raise TypeError(
            "a kernel of the L1 distance has no gradient here: it is for estimates and tests; train with Laplace, of the "
            "Euclidean distance."
        )


CityBlock: Form = _CityBlock()
