"""A user's own function as a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from divkit.kernel.kernel import Kernel

__all__ = ["Custom", "CustomKernel"]


@dataclass(frozen=True)
class CustomKernel(Kernel):
    """A kernel k(x, y) = function(|x − y|²) by any torch function of a tensor of squared distances.

    The function receives tiles, gets its gradient by autograd, and is checked when it is used: a number for every pair, none of
    them NaN. Whether it is positive definite is the user's affair.

    Parameters
    ----------
    function : callable (p, q) -> (p, q)
        Elementwise, in units of the data squared.

    Examples
    --------
    >>> from divkit.kernel import MMD
    >>> from divkit.kernel.kernels import CustomKernel
    >>> MMD(CustomKernel(lambda s: 1 / (1 + s)), unbiased=False).estimate([0.0, 0.0], [1.0, 1.0]).value
    1.0
    """

    function: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"function must map squared distances to numbers, like torch.exp; got {self.function!r}.")

    def value(self, s: Tensor) -> Tensor:
        value = self.function(s)
        if not isinstance(value, Tensor) or value.shape != s.shape:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"kernel {self!r} must return one number per pair, shape {tuple(s.shape)}; got {came}.")
        if not bool(value.isfinite().all()):
            raise ValueError(f"kernel {self!r} returned NaN or infinity for some pairs of points.")
        return value


Custom = CustomKernel  # the name before there was a cost of that name
