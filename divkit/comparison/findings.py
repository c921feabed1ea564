"""What a comparison of two sample sets found: one row per divergence, each with its yardstick and test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from divkit.core.estimate import Estimate
from divkit.data.measure import Measure
from divkit.testing import TestResult

__all__ = ["Findings", "Row", "Sample"]

KEYS = (  # of an estimate
    *("name", "value", "stderr", "ci", "bias", "converged", "status", "steps", "error", "lower", "upper"),
    *("n", "m", "settings", "notes"),
)


@dataclass(frozen=True, eq=False)
class Sample:
    """One of the two sample sets, as it was compared.

    Parameters
    ----------
    label : str
        Verbatim: whoever shows it escapes it.
    rows : int
        Compared, all of them: after dropping, before subsampling.
    dropped : int
        Left out for missing values.
    measure : Measure
        All `rows`, encoded and scaled: ``measure.flat`` is (rows, d).
    """

    label: str
    rows: int
    dropped: int
    measure: Measure = field(repr=False)


@dataclass(frozen=True, eq=False)
class Row:
    """One divergence.

    Parameters
    ----------
    name : str
        As it was asked for.
    estimate : Estimate or None
        None where it could not be had; ``reasons["value"]`` says why.
    yardstick : float or None
        The same divergence between two random halves of x: what "no difference" looks like.
    pvalue, holm : float or None
        Of the permutation test, and Holm's correction of it for all the rows.
    seconds : float
        For the value, without what it shares with other rows.
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
        """The row for JSON, of the same keys whether there is an estimate or not."""
        made = dict.fromkeys(KEYS) | {"converged": False} if self.estimate is None else self.estimate.to_dict()
        rest = {key: getattr(self, key) for key in ("name", "pvalue", "holm", "yardstick", "seconds", "shared", "reasons")}
        return {**made, **rest}


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
    settings : mapping
        ``seed``, ``scale`` (a sentence), ``missing``, ``max_rows``, ``permutations`` (0 without a test), ``seconds`` (in all),
        ``versions`` (name to version) and ``command`` (what to type for the same numbers).
    notes : tuple of str
        Sentences that belong under the numbers.
    verdict : TestResult or None
        Of the adaptive test; None without tests, and where it could not be had, of which a note says why.
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
    settings: Mapping[str, Any]
    notes: tuple[str, ...]
    verdict: TestResult | None = None
    units: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The object of ``divkit compare --json``: numbers that are not finite are None, with the reason beside them."""
        made = {
            "x": _sample(self.x),
            "y": _sample(self.y),
            "estimates": [row.to_dict() for row in self.rows],
            "verdict": None if self.verdict is None else self.verdict.to_dict(),
            "shared": [{"name": name, "seconds": seconds} for name, seconds in self.shared],
            "columns": self.columns,
            "categorical": self.categorical,
            "settings": self.settings,
            "notes": self.notes,
        }
        plain: dict[str, Any] = _plain(made)
        return plain


def _sample(sample: Sample) -> dict[str, Any]:
    return {"label": sample.label, "rows": sample.rows, "dropped": sample.dropped}


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):  # numpy's numbers, and tensors
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
