"""Missing values and units: the rules that tables and arrays share."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divkit.data.arrays import numbers_of, shaped
from divkit.support.checks import enough
from divkit.support.words import quoted

__all__ = ["Missing", "Scale", "complete", "complete_array", "positions", "refuse_infinite", "rescale"]

MAD_TO_SD = 1.482602218505602  # 1 / Φ⁻¹(3/4): by it the MAD of a normal law is its standard deviation


class Missing(Enum):
    """What happens to rows with missing values; the values are the command line's words."""

    REFUSE = "refuse"
    DROP = "drop"


class Scale(Enum):
    """What numeric columns are divided by; the values are the command line's words."""

    NONE = "none"
    SD = "sd"
    MAD = "mad"

    @property
    def sentence(self) -> str:
        """The scale in words."""
        return {
            Scale.NONE: "numeric columns keep their units",
            Scale.SD: "numeric columns are divided by their standard deviation in the pooled sample",
            Scale.MAD: "numeric columns are divided by 1.4826 times their median absolute deviation in the pooled sample",
        }[self]


def complete(gaps: NDArray[np.bool_], missing: Missing, label: str, names: Sequence[str]) -> NDArray[np.bool_]:
    """Return the rows to keep, (n,) booleans, given where values are missing, (n, d).

    Raises
    ------
    ValueError
        Where values are missing and may not be dropped, or nothing is left; also where nothing came.
    """
    n = len(gaps)
    enough(label, n, 1, shape=gaps.shape)
    keep: NDArray[np.bool_] = np.logical_not(gaps.any(axis=1))
    incomplete = n - int(keep.sum())
    if incomplete and missing is Missing.REFUSE:
        raise ValueError(
            f"{label}: Input contains NaN. {int(gaps.sum())} missing value(s) in {incomplete} of {n} rows, the first in "
            f"{_place(gaps, names)}. Fill them, or drop these rows: --missing drop (in Python compare(…, missing='drop'))."
        )
    if incomplete == n:
        raise ValueError(
            f"{label}: 0 samples left after dropping the rows with missing values (all {n}); the first is in "
            f"{_place(gaps, names)}. Leave out columns that are mostly empty: --columns (columns=)."
        )
    return keep


def refuse_infinite(values: NDArray[Any], label: str, names: Sequence[str]) -> None:  # values: (n, d)
    """Raise ValueError where a value is infinite."""
    infinite = np.isinf(values)
    if infinite.any():
        raise ValueError(
            f"{label}: Input contains infinity or a value too large for dtype('{values.dtype}'). {int(infinite.sum())} "
            f"value(s), the first in {_place(infinite, names)}. Correct or remove them; infinite values are never dropped."
        )


def complete_array(
    data: NDArray[Any], missing: Missing, label: str
) -> tuple[NDArray[Any], NDArray[np.bool_]]:  # -> (k, *event), (n,)
    """Return the samples without missing values, (n,) read as (n, 1), and which rows of the data they are.

    Raises
    ------
    TypeError
        For words, dates and objects.
    ValueError
        For complex, infinite and empty data, and missing values that may not be dropped.
    """
    samples = shaped(numbers_of(data, label), label)
    rows = samples.reshape(len(samples), -1)
    names = positions(rows)
    keep = complete(np.isnan(rows), missing, label, names)
    refuse_infinite(rows, label, names)
    return (samples if keep.all() else samples[keep]), keep


def positions(matrix: NDArray[Any]) -> tuple[str, ...]:  # matrix: (n, d)
    """Return names for columns that have none: ``column 1`` and so on."""
    return tuple(f"column {place}" for place in range(1, matrix.shape[1] + 1))


def rescale(values: NDArray[np.float64], scale: Scale, name: str) -> tuple[NDArray[np.float64], float, tuple[str, ...]]:
    """Return one pooled numeric column, (n + m,), divided by its scale; then the divisor, and notes where it is another.

    Raises
    ------
    ValueError
        Where a rescaled value overflows.
    """
    largest = float(np.abs(values).max())
    if scale is Scale.NONE:
        return values, 1.0, ()
    if values.min() == values.max():
        return values, 1.0, (f"column {quoted([name])} is constant: left as it is",)
    unit = values / largest  # so that squares neither overflow nor vanish
    notes: tuple[str, ...] = ()
    spread = float(unit.std())
    if scale is Scale.MAD:
        mad = MAD_TO_SD * float(np.median(np.abs(unit - np.median(unit))))
        if mad == 0:
            notes = (f"column {quoted([name])} has median absolute deviation 0: divided by its standard deviation instead",)
        spread = mad or spread
    with np.errstate(over="ignore", divide="ignore"):
        scaled: NDArray[np.float64] = unit / spread
    if not np.isfinite(scaled).all():
        raise ValueError(
            f"column {quoted([name])} cannot be divided by its {scale.value}: {largest:g} overflows. Use --scale none."
        )
    return scaled, largest * spread, notes


def _place(where: NDArray[np.bool_], names: Sequence[str]) -> str:
    """Return the first marked place in words."""
    row, column = np.argwhere(where)[0].tolist()
    return f"row {row} (counting from 0), column {quoted([names[column]])}"
