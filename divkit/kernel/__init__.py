"""Kernel distances: MMD, energy and Cramér distance."""

from divkit.core.registry import accept, register
from divkit.kernel import kernels
from divkit.kernel.blocks import BlockMMD
from divkit.kernel.features import FourierMMD
from divkit.kernel.mmd import MMD, Energy
from divkit.kernel.names import FACTORIES
from divkit.kernel.sliced import SlicedEnergy, slicing

__all__ = ["MMD", "BlockMMD", "Energy", "FourierMMD", "SlicedEnergy", "kernels", "slicing"]

for _name, _factory in FACTORIES.items():
    register(_name, _factory)
accept(kernels.Kernel, MMD)
