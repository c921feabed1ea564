"""A user's own function as a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from divkit.kernel.kernel import Kernel

__all__ = ["Custom"]


@dataclass(frozen=True)
class Custom(Kernel):
    """A kernel k(x, y) = function(|x − y|²) by any torch function of a tensor of squared distances.

    The function receives tiles, gets its gradient by autograd, and is checked when it is used: a number for every pair, none of
    them NaN. Whether it is positive definite is the user's affair.

    Parameters
    ----------
    function : callable (p, q) -> (p, q)
        Elementwise, in units of the data squared.

    Examples
    --------
    >>> import torch
    >>> from divkit.kernel import MMD
    >>> from divkit.kernel.kernels import Custom
    >>> MMD(Custom(lambda s: 1 / (1 + s)), unbiased=False).estimate([0.0, 0.0], [1.0, 1.0]).value
    1.0
    """

    function: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"function must map squared distances to numbers, like torch.exp; got {self.function!r}.")

    def value(self, s: Tensor) -> Tensor:
        return self._checked(self.function(s), s)

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        with torch.enable_grad():
            leaf = s.detach().clone().requires_grad_()
            value = self._checked(self.function(leaf), s)
            if not value.requires_grad:  # a constant
                return value, torch.zeros_like(value), 2.0
            (slope,) = torch.autograd.grad(value.sum(), leaf)
        return value.detach(), slope, 2.0

    def _checked(self, value: Tensor, s: Tensor) -> Tensor:
        if not isinstance(value, Tensor) or value.shape != s.shape:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"kernel {self!r} must return one number per pair, shape {tuple(s.shape)}; got {came}.")
        if not bool(value.isfinite().all()):
            raise ValueError(f"kernel {self!r} returned NaN or infinity for some pairs of points.")
        return value
