"""divkit: divergences and distances between sample sets, each value with its error, and as losses.

>>> import torch, divkit as dk
>>> generator = torch.Generator().manual_seed(0)
>>> x, y = torch.randn(500, 2, generator=generator), 1 + torch.randn(500, 2, generator=generator)
>>> estimate = dk.estimate("energy", x, y)
>>> estimate.converged, estimate.stderr > 0
(True, True)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from divkit import critic, fdiv, kernel, metrics, models, testing, transport
    from divkit.comparison import Comparison, compare, estimate
    from divkit.criterion import Criterion
    from divkit.divergence import Divergence
    from divkit.kernel import kernels
    from divkit.measure import Measure, PrecisionWarning
    from divkit.registry import get, names, register
    from divkit.results import Bias, ConvergenceWarning, Estimate, SaturatedBound, Solution, Status, Terms, UnreliableEstimate
    from divkit.testing import Closer, TestResult, closer, test
    from divkit.truths import exact

__all__ = [
    "Bias",
    "Closer",
    "Comparison",
    "ConvergenceWarning",
    "Criterion",
    "Divergence",
    "Estimate",
    "Measure",
    "PrecisionWarning",
    "SaturatedBound",
    "Solution",
    "Status",
    "Terms",
    "TestResult",
    "UnreliableEstimate",
    "closer",
    "compare",
    "critic",
    "estimate",
    "exact",
    "fdiv",
    "get",
    "kernel",
    "kernels",
    "metrics",
    "models",
    "names",
    "register",
    "test",
    "testing",
    "transport",
]

__version__ = "0.1.0"

_HOME = {
    "Bias": "results",
    "Closer": "testing",
    "Comparison": "comparison",
    "ConvergenceWarning": "results",
    "Criterion": "criterion",
    "Divergence": "divergence",
    "Estimate": "results",
    "Measure": "measure",
    "PrecisionWarning": "measure",
    "SaturatedBound": "results",
    "Solution": "results",
    "Status": "results",
    "Terms": "results",
    "UnreliableEstimate": "results",
    "TestResult": "testing",
    "closer": "testing",
    "compare": "comparison",
    "estimate": "comparison",
    "exact": "truths",
    "get": "registry",
    "names": "registry",
    "register": "registry",
    "test": "testing",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"divkit.{_HOME[name]}"), name)
    elif name == "kernels":
        value = importlib.import_module("divkit.kernel.kernels")
    elif name in ("critic", "fdiv", "kernel", "metrics", "models", "testing", "transport"):
        value = importlib.import_module(f"divkit.{name}")
    else:
        raise AttributeError(f"module 'divkit' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
