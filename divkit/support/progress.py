"""Progress on stderr: bars with true totals in a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

__all__ = ["Progress", "bars", "silent"]

Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""A progress display: opened with a title and a total, it yields a function to call with each number of steps done."""


@contextmanager
def silent(title: str, total: int) -> Iterator[Callable[[int], object]]:
    """Show nothing."""
    yield lambda _: None


@contextmanager
def bars(title: str, total: int) -> Iterator[Callable[[int], object]]:
    """Show a bar that leaves no trace in a terminal, and lines elsewhere."""
    if not sys.stderr.isatty():
        yield _lines(title, total)
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=title, file=sys.stderr, leave=False, dynamic_ncols=True) as bar:
        yield bar.update


def _lines(title: str, total: int, interval: float = 30.0) -> Callable[[int], object]:
    """Return a function that counts steps and prints a line at most every `interval` seconds."""
    done, last = 0, time.monotonic()

    def update(steps: int) -> None:
        nonlocal done, last
        done += steps
        if time.monotonic() - last >= interval and done < total:
            last = time.monotonic()
            print(f"{title}: {done} of {total}", file=sys.stderr, flush=True)

    return update
