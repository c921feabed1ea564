"""Warnings that point at the user's line, whatever of the library lies between."""

from __future__ import annotations

import inspect
import warnings

__all__ = ["caution"]

LIBRARY = __name__.partition(".")[0]


def caution(message: str, category: type[Warning]) -> None:
    """Warn at the line from which the library was entered, where the warning is shown once."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == LIBRARY:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=2 if frame is None else level)
