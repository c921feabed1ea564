"""The result of a test of P = Q."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["TestResult"]


@dataclass(frozen=True)
class TestResult:
    """A test's p-value with the statistic and the relabellings that it rests on.

    Parameters
    ----------
    name : str
    statistic, pvalue : float
    n, m : int
    permutations : int
        The number of relabellings beside the observed one.
    exhaustive : bool
        Whether these are all there are.
    notes : tuple of str
    kernel : str
        The statistic's kernel, or of several the one with the largest value; empty where there is none.
    scheme : str
        What was relabelled.
    stopped : bool
        Whether drawing ended early, at the number of relabelled values as large as the observed one that was asked for.
    """

    __test__ = False  # it is not pytest's

    name: str
    statistic: float
    pvalue: float
    n: int
    m: int
    permutations: int
    exhaustive: bool
    notes: tuple[str, ...] = ()
    kernel: str = ""
    scheme: str = "of the pooled sample"
    stopped: bool = False

    def __str__(self) -> str:
        return self.sentence()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the sentence, ready for JSON."""
        return {**asdict(self), "notes": list(self.notes), "sentence": self.sentence()}

    def sentence(self) -> str:
        """Say it in words."""
        kernel = f" (kernel {self.kernel})" if self.kernel else ""
        head = f"{self.name} = {self.statistic:.4g}{kernel} between {self.n} and {self.m} samples, p = {self.pvalue:.4g}: "
        if self.stopped:
            enough = round(self.pvalue * self.permutations)
            return head + (
                f"it took {self.permutations} random relabellings {self.scheme} to find {enough} whose value is at least as "
                f"large."
            )
        which = "all" if self.exhaustive else "randomly drawn"
        return head + (
            f"the share of {self.permutations + 1} relabellings {self.scheme} ({which}, the observed one included) whose "
            f"value is at least as large."
        )
