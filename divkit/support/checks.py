"""Checks of the numbers that users set, with one wording."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["at_least", "between", "enough", "positive", "whole"]


def positive(name: str, value: Any) -> None:
    """Refuse what is not a positive finite number."""
    if not _is_number(value) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive finite number; got {value!r}.")


def between(name: str, value: Any, low: float, high: float) -> None:
    """Refuse what does not lie strictly between `low` and `high`."""
    if not _is_number(value) or not low < value < high:
        raise ValueError(f"{name} must lie strictly between {low:g} and {high:g}; got {value!r}.")


def at_least(name: str, value: Any, low: float) -> None:
    """Refuse what is not a finite number of at least `low`."""
    if not _is_number(value) or not (math.isfinite(value) and value >= low):
        raise ValueError(f"{name} must be a finite number of at least {low:g}; got {value!r}.")


def whole(name: str, value: Any, least: int = 1) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}.")


def enough(name: str, have: int, need: int, why: str = "", shape: tuple[int, ...] | None = None) -> None:
    """Refuse fewer samples than are needed; `why` says what needs them, `shape` is that of what came."""
    if have < need:
        came = f"{have} sample(s)" + (f" (shape={shape})" if shape else "")
        raise ValueError(f"Found array with {came} while a minimum of {need} is required: {' '.join([name, why]).strip()}.")


def _is_number(value: Any) -> bool:
    """Say whether a value is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
