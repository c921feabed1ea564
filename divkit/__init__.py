"""divkit: divergences and distances between sample sets, each value with its error, and as losses.

>>> import torch, divkit as dk
>>> generator = torch.Generator().manual_seed(0)
>>> x, y = torch.randn(500, 2, generator=generator), 1 + torch.randn(500, 2, generator=generator)
>>> estimate = dk.estimate("energy", x, y)
>>> estimate.converged, estimate.stderr > 0
(True, True)
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from divkit import critic, fdiv, kernel, metrics, models, testing, transport
    from divkit.comparison import Comparison, compare
    from divkit.core import (
        Bias,
        ConvergenceWarning,
        Criterion,
        Divergence,
        Estimate,
        SaturatedBound,
        Solution,
        Status,
        Terms,
        UnreliableEstimate,
        get,
        names,
        register,
    )
    from divkit.core.door import estimate
    from divkit.data.measure import Measure, PrecisionWarning
    from divkit.kernel import kernels
    from divkit.testing import Closer, TestResult, closer, test
    from divkit.truths import exact

__all__ = [
    "Bias", "Closer", "Comparison", "ConvergenceWarning", "Criterion", "Divergence", "Estimate", "Measure", "PrecisionWarning",
    "SaturatedBound", "Solution", "Status", "Terms", "TestResult", "UnreliableEstimate", "closer", "compare", "critic",
    "estimate", "exact", "fdiv", "get", "kernel", "kernels", "metrics", "models", "names", "register", "test", "testing",
    "transport",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # noqa: PLR0912
    """Import a name's room when the name is asked for: `import divkit` alone loads no torch."""
    room: dict[str, Any] = {}
    match name:  # importing a room makes it an attribute of divkit
        case "critic":
            import divkit.critic
        case "fdiv":
            import divkit.fdiv
        case "kernel":
            import divkit.kernel
        case "metrics":
            import divkit.metrics
        case "models":
            import divkit.models
        case "testing":
            import divkit.testing
        case "transport":
            import divkit.transport
        case "kernels":
            from divkit.kernel import kernels

            room = {"kernels": kernels}
        case "Closer" | "TestResult" | "closer" | "test":
            from divkit import testing

            room = vars(testing)
        case "Comparison" | "compare" | "estimate":
            from divkit import comparison

            room = vars(comparison)
        case "Measure" | "PrecisionWarning":
            from divkit.data import measure

            room = vars(measure)
        case "exact":
            from divkit import truths

            room = vars(truths)
        case _ if name in __all__:
            from divkit import core

            room = vars(core)
        case _ if name in _OLD:
            module = sys.modules[f"divkit.{name}"] = module_from_spec(ModuleSpec(f"divkit.{name}", _Moved()))
            _Moved().exec_module(module)
            room = {name: module}
        case _:
            raise AttributeError(f"module 'divkit' has no attribute {name!r}")
    if room:
        globals()[name] = room[name]
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)


class _Moved(MetaPathFinder, Loader):
    """Imports ``divkit.results`` and its like, modules that lay beside this file before there were rooms."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return a specification for an old name, and None for any other."""
        package, _, name = fullname.partition(".")
        return ModuleSpec(fullname, self) if package == "divkit" and name in _OLD else None

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module with what the modules of today hold."""
        for home in _homes()[module.__name__.partition(".")[2]]:
            vars(module).update({name: value for name, value in vars(home).items() if not name.startswith("__")})


_OLD = (
    *("arrays", "caution", "checks", "cleaning", "columns", "compared", "criterion", "divergence", "measure", "progress"),
    *("registry", "results", "runs", "scores", "skewed", "sorting", "spelling", "tables", "writing"),
)


def _homes() -> dict[str, tuple[ModuleType, ...]]:
    """Return the modules that hold what an old module held."""
    from divkit.comparison import comparison, findings, run
    from divkit.core import criterion, divergence, estimate, registry, skewed, uncertainty
    from divkit.data import arrays, cleaning, encoding, frames, measure
    from divkit.lines import coupling, directions, sort
    from divkit.support import checks, progress, spelling, warnings, writing

    scores = ModuleType("scores")
    vars(scores).update(Score=uncertainty.Share, apart=uncertainty.second_order_of_difference)
    return {
        "arrays": (arrays,), "cleaning": (cleaning,), "columns": (frames,), "measure": (measure,), "tables": (encoding,),
        "criterion": (criterion,), "divergence": (divergence,), "registry": (registry,), "results": (estimate,),
        "scores": (uncertainty, scores), "skewed": (skewed,), "sorting": (coupling, directions, sort),
        "caution": (warnings,), "checks": (checks,), "progress": (progress,), "spelling": (spelling,),
        "compared": (comparison, findings), "runs": (run,), "writing": (writing,),
    }


sys.meta_path.append(_Moved())
