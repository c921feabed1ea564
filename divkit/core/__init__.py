"""The grammar: a divergence, its estimate with an error, the loss that keeps its solution, and the names."""

from divkit.core.criterion import Criterion
from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, ConvergenceWarning, Estimate, SaturatedBound, Solution, Status, Terms, UnreliableEstimate
from divkit.core.registry import get, names, register

__all__ = [
    "Bias", "ConvergenceWarning", "Criterion", "Divergence", "Estimate", "SaturatedBound", "Solution", "Status", "Terms",
    "UnreliableEstimate", "get", "names", "register",
]
