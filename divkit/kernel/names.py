"""The registered names of kernel distances, and the words for kernels, each with what it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from divkit.core.divergence import Divergence
from divkit.kernel import kernels
from divkit.kernel.blocks import BlockMMD
from divkit.kernel.features import FourierMMD
from divkit.kernel.kernels import Gaussian, Kernel, Laplace, Median
from divkit.kernel.mmd import MMD, Energy
from divkit.kernel.sliced import SlicedEnergy

__all__ = ["FACTORIES", "KERNELS"]

KERNELS: Mapping[str, Kernel] = {
    "gaussian": Gaussian(),
    "laplace": Laplace(),
    "laplace-l1": kernels.LaplaceL1(),
    "imq": kernels.IMQ(),
    "multiscale-imq": kernels.MultiscaleIMQ(),
    "rational-quadratic": kernels.RationalQuadratic(),
    "polynomial": kernels.Polynomial(),
}


def _mmd(bandwidth: float | Median = Median(), unbiased: bool = True, kernel: str | Kernel = "gaussian") -> MMD:
    """Return MMD with a kernel, or with one of `KERNELS` and its bandwidth."""
    if isinstance(kernel, str) and kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}; known are {', '.join(KERNELS)}.")
    chosen = KERNELS[kernel] if isinstance(kernel, str) else kernel
    if bandwidth != Median():
        if chosen is kernel or "bandwidth" not in chosen.medians():
            raise ValueError(f"bandwidth is for a kernel named by a word, of those that have one; leave it out for {kernel!r}.")
        chosen = replace(chosen, bandwidth=bandwidth)  # type: ignore[call-arg]
    return MMD(chosen, unbiased)


FACTORIES: Mapping[str, Callable[..., Divergence]] = {  # arguments are what `divkit.get` takes
    "energy": Energy,
    "cramer": lambda exponent=1.0, unbiased=True: Energy(exponent, unbiased, factor=0.5),
    "sliced-energy": SlicedEnergy,
    "mmd": _mmd,
    "mmd-laplace": lambda bandwidth=Median(), unbiased=True: MMD(Laplace(bandwidth), unbiased),
    "mmd-imq": lambda sigma=1.0, unbiased=True: MMD(kernels.MultiscaleIMQ(sigma), unbiased),
    "mmd-fourier": lambda bandwidth=Median(), frequencies=500, seed=0, unbiased=True: FourierMMD(
        Gaussian(bandwidth), frequencies, seed, unbiased
    ),
    "mmd-blocks": lambda bandwidth=Median(), block=100: BlockMMD(Gaussian(bandwidth), block),
    "kid": lambda unbiased=True: MMD(kernels.Polynomial(), unbiased),
}
