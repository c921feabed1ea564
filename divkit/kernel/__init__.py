"""Kernel distances: MMD, energy and Cramér distance."""

from divkit.core.registry import register
from divkit.kernel import kernels
from divkit.kernel.blocks import BlockMMD
from divkit.kernel.features import FourierMMD
from divkit.kernel.kernels import Gaussian, Laplace, Median, MultiscaleIMQ, Polynomial
from divkit.kernel.mmd import MMD, Energy
from divkit.kernel.sliced import SlicedEnergy, slicing

__all__ = ["MMD", "BlockMMD", "Energy", "FourierMMD", "SlicedEnergy", "kernels", "slicing"]


def _mmd(bandwidth: float | Median = Median(), unbiased: bool = True) -> MMD:
    return MMD(Gaussian(bandwidth), unbiased)


def _mmd_laplace(bandwidth: float | Median = Median(), unbiased: bool = True) -> MMD:
    return MMD(Laplace(bandwidth), unbiased)


def _mmd_fourier(
    bandwidth: float | Median = Median(), frequencies: int = 500, seed: int = 0, unbiased: bool = True
) -> FourierMMD:
    return FourierMMD(Gaussian(bandwidth), frequencies, seed, unbiased)


def _mmd_blocks(bandwidth: float | Median = Median(), block: int = 100) -> BlockMMD:
    return BlockMMD(Gaussian(bandwidth), block)


def _mmd_imq(sigma: float = 1.0, unbiased: bool = True) -> MMD:
    return MMD(MultiscaleIMQ(sigma), unbiased)


def _kid(unbiased: bool = True) -> MMD:
    return MMD(Polynomial(), unbiased)


def _cramer(exponent: float = 1.0, unbiased: bool = True) -> Energy:
    return Energy(exponent, unbiased, factor=0.5)


register("energy", Energy)
register("cramer", _cramer)
register("sliced-energy", SlicedEnergy)
register("mmd", _mmd)
register("mmd-laplace", _mmd_laplace)
register("mmd-imq", _mmd_imq)
register("mmd-fourier", _mmd_fourier)
register("mmd-blocks", _mmd_blocks)
register("kid", _kid)
