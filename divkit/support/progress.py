"""Progress on stderr: bars with true totals in a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

__all__ = ["Progress", "bars", "silent"]

INTERVAL = 30.0  # seconds between lines where there is no terminal

Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""Opened with a title and a total, it yields what to call with each number of steps done."""


@contextmanager
def silent(title: str, total: int) -> Iterator[Callable[[int], object]]:
    """Show nothing."""
    yield lambda _: None


@contextmanager
def bars(title: str, total: int) -> Iterator[Callable[[int], object]]:
    """A bar that leaves no trace, or lines."""
    if not sys.stderr.isatty():
        yield _lines(title, total)
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=title, file=sys.stderr, leave=False, dynamic_ncols=True) as bar:
        yield bar.update


def _lines(title: str, total: int) -> Callable[[int], object]:
    done, said = 0, time.monotonic()

    def update(steps: int) -> None:
        nonlocal done, said
        done += steps
        if time.monotonic() - said >= INTERVAL and done < total:
            said = time.monotonic()
            print(f"{title}: {done} of {total}", file=sys.stderr, flush=True)

    return update
