"""Kernels: positive definite functions of a pair of points, as frozen specifications."""

from divkit.kernel.custom import Custom, CustomKernel
from divkit.kernel.elementary import (
    IMQ,
    Gaussian,
    Laplace,
    LaplaceL1,
    MultiscaleIMQ,
    NegativeDistance,
    Polynomial,
    RationalQuadratic,
)
from divkit.kernel.kernel import Kernel, Product, Sum
from divkit.kernel.median import Median, thinned

__all__ = [
    "IMQ", "Custom", "CustomKernel", "Gaussian", "Kernel", "Laplace", "LaplaceL1", "Median", "MultiscaleIMQ",
    "NegativeDistance", "Polynomial", "Product", "RationalQuadratic", "Sum", "thinned",
]
