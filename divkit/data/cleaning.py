"""Missing values and units: the rules that tables and arrays share."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divkit.data.frames import shown

__all__ = ["Missing", "Scale", "complete", "complete_array", "positions", "refuse_infinite", "rescale"]

MAD_TO_SD = 1.482602218505602  # 1 / Φ⁻¹(3/4): makes the MAD of a normal sample its standard deviation


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
        return {
            Scale.NONE: "numeric columns keep their units",
            Scale.SD: "numeric columns are divided by their standard deviation in the pooled sample",
            Scale.MAD: "numeric columns are divided by 1.4826 times their median absolute deviation in the pooled sample",
        }[self]


def complete(gaps: NDArray[np.bool_], missing: Missing, label: str, names: Sequence[str]) -> NDArray[np.bool_]:
    """Rows to keep, (n,), given where values are missing, (n, d).

    Raises
    ------
    ValueError
        Where values are missing and may not be dropped, or nothing is left; also where nothing came.
    """
    n, d = gaps.shape
    if n == 0:
        raise ValueError(f"{label}: Found array with 0 sample(s) (shape={(n, d)}) while a minimum of 1 is required.")
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


def complete_array(data: NDArray[Any], missing: Missing, label: str) -> NDArray[Any]:  # -> (k, *event)
    """The samples without missing values, (n,) read as (n, 1).

    Raises
    ------
    TypeError
        For words, dates and objects.
    ValueError
        For complex, infinite and empty data, and missing values that may not be dropped.
    """
    if data.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {label} has dtype {data.dtype}.")
    if data.dtype.kind not in "fiub":
        raise TypeError(f"{label} has dtype {data.dtype}; numbers are required: convert it, or give tables to encode words.")
    if data.ndim == 0:
        raise ValueError(f"Expected 2D array, got scalar array instead: {label}={data}. Give samples along the first axis.")
    shaped = data[:, None] if data.ndim == 1 else data
    if 0 in shaped.shape[1:]:
        raise ValueError(f"{label}: Found array with 0 feature(s) (shape={shaped.shape}) while a minimum of 1 is required.")
    rows = shaped.reshape(len(shaped), prod(shaped.shape[1:]))
    names = positions(rows)
    keep = complete(np.isnan(rows), missing, label, names)
    refuse_infinite(rows, label, names)
    return shaped if keep.all() else shaped[keep]


def positions(matrix: NDArray[Any]) -> tuple[str, ...]:  # matrix: (n, d)
    """Names for columns that have none: ``column 1`` and so on."""
    return tuple(f"column {place}" for place in range(1, matrix.shape[1] + 1))


def rescale(values: NDArray[np.float64], scale: Scale, name: str) -> tuple[NDArray[np.float64], float, tuple[str, ...]]:
    """One pooled numeric column, (n + m,), in the units of `scale`, what it was divided by, and notes where that is another.

    Raises
    ------
    ValueError
        Where a rescaled value overflows.
    """
    largest = float(np.abs(values).max())
    if scale is Scale.NONE:
        return values, 1.0, ()
    if values.min() == values.max():
        return values, 1.0, (f"column {shown([name])} is constant: left as it is",)
    unit = values / largest  # so that squares neither overflow nor vanish
    notes: tuple[str, ...] = ()
    spread = float(unit.std())
    if scale is Scale.MAD:
        mad = MAD_TO_SD * float(np.median(np.abs(unit - np.median(unit))))
        if mad == 0:
            notes = (f"column {shown([name])} has median absolute deviation 0: divided by its standard deviation instead",)
        spread = mad or spread
    with np.errstate(over="ignore", divide="ignore"):
        made: NDArray[np.float64] = unit / spread
    if not np.isfinite(made).all():
        raise ValueError(
            f"column {shown([name])} cannot be divided by its {scale.value}: {largest:g} overflows. Use --scale none."
        )
    return made, largest * spread, notes


def _place(where: NDArray[np.bool_], names: Sequence[str]) -> str:
    row, column = np.argwhere(where)[0].tolist()
    return f"row {row} (counting from 0), column {shown([names[column]])}"
