"""What a comparison of two sample sets found: one row per divergence, each with its yardstick and test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from divkit.core.estimate import Bias, Estimate, Solution
from divkit.core.uncertainty import Uncertainty
from divkit.data.measure import Measure
from divkit.testing import TestResult

__all__ = ["Findings", "Row", "Sample", "Settings"]


@dataclass(frozen=True, eq=False)
class Sample:
    """One of the two sample sets, as it was compared.

    Parameters
    ----------
    label : str
        The user's words, verbatim: whoever shows them escapes them.
    rows : int
        The number of rows after dropping and before subsampling.
    dropped : int
        The number of rows left out for missing values.
    measure : Measure
        All `rows`, encoded and scaled: ``measure.flat`` is (rows, d).
    """

    label: str
    rows: int
    dropped: int
    measure: Measure = field(repr=False)


@dataclass(frozen=True, eq=False)
class Row:
    """One divergence of x from y, with its yardstick and its test.

    Parameters
    ----------
    name : str
        The name that the user gave.
    estimate : Estimate or None
        None where there is none; ``reasons["value"]`` says why.
    yardstick : float or None
        The same divergence between two random halves of x: what "no difference" looks like.
    pvalue, holm : float or None
        The p-value of the permutation test, and Holm's correction of it for the number of rows.
    seconds : float
        The time that the value took, without what it shares with other rows.
    shared : str
        The label in `Comparison.shared` of the problem solved once for several rows, or empty.
    reasons : mapping
        What is missing ("value", "stderr", "yardstick", "pvalue") and why, in sentences.
    """

    name: str
    estimate: Estimate | None
    yardstick: float | None = None
    pvalue: float | None = None
    holm: float | None = None
    seconds: float = 0.0
    shared: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the row for JSON, with the same keys whether there is an estimate or not."""
        estimate = _no_estimate() if self.estimate is None else self.estimate.to_dict()
        rest = ("name", "pvalue", "holm", "yardstick", "seconds", "shared", "reasons")
        return estimate | {key: getattr(self, key) for key in rest}


@dataclass(frozen=True, eq=False)
class Settings(Mapping[str, Any]):
    """How a comparison was made; it can be read as a mapping too, ``settings["seed"]``.

    Parameters
    ----------
    seed : int
    scale : str
        What numeric columns were divided by, as a sentence.
    missing : str
        What happened to rows with missing values, ``"refuse"`` or ``"drop"``.
    max_rows : int
    permutations : int
        Relabellings of each test; 0 without tests.
    seconds : float
        The time that all of it took.
    versions : mapping
        The versions of Python and of the packages that the numbers depend on.
    command : str
        What to type for the same numbers.
    """

    seed: int = 0
    scale: str = ""
    missing: str = "refuse"
    max_rows: int = 2000
    permutations: int = 0
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""

    def __getitem__(self, key: str) -> Any:
        if key not in set(self):
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return (f.name for f in fields(self))

    def __len__(self) -> int:
        return len(fields(self))


@dataclass(frozen=True, eq=False, repr=False)
class Findings:
    """What a comparison of two sample sets found, before anybody shows it.

    Parameters
    ----------
    x, y : Sample
    columns, source : tuple of str
        One per coordinate: what it is, such as ``"workclass=Private"``, and the table column it comes from. Empty where samples
        are no vectors.
    categorical : tuple of str
        The table columns read as categories.
    rows : tuple of Row
    shared : tuple of (str, float)
        Problems solved once for several rows, and the seconds they took.
    settings : Settings
    notes : tuple of str
        Sentences that belong under the numbers.
    verdict : TestResult or None
        The result of the adaptive test; None without tests, and where the test failed: then a note says why.
    units : tuple of float
        What each coordinate was divided by; empty where nothing was.
    """

    x: Sample
    y: Sample
    columns: tuple[str, ...]
    source: tuple[str, ...]
    categorical: tuple[str, ...]
    rows: tuple[Row, ...]
    shared: tuple[tuple[str, float], ...]
    settings: Settings
    notes: tuple[str, ...]
    verdict: TestResult | None = None
    units: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the object of ``divkit compare --json``: a number that is not finite is None, with the reason beside it."""
        x, y = ({"label": side.label, "rows": side.rows, "dropped": side.dropped} for side in (self.x, self.y))
        comparison = {
            "x": x,
            "y": y,
            "estimates": [row.to_dict() for row in self.rows],
            "verdict": None if self.verdict is None else self.verdict.to_dict(),
            "shared": [{"name": name, "seconds": seconds} for name, seconds in self.shared],
            "columns": self.columns,
            "categorical": self.categorical,
            "settings": self.settings,
            "notes": self.notes,
        }
        plain: dict[str, Any] = _plain(comparison)
        return plain


def _no_estimate() -> dict[str, Any]:
    """Return the keys of an estimate's dictionary with nothing in them."""
    nothing = torch.empty(0), torch.empty(0)
    empty = Estimate("", math.nan, 0, 0, Bias.UNKNOWN, Solution(), {}, {}, nothing, Uncertainty(()))
    return dict.fromkeys(empty.to_dict()) | {"converged": False}


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: plain containers, numbers that are finite, and text for all else."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):  # numpy's numbers, and tensors
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
