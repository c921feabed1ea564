"""Text that a reader sees: foreign names made harmless, numbers with as many digits as they deserve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Name", "joined", "numbers", "percent", "plain", "probability", "quoted", "seconds"]

JOINERS = "\u200c\u200d"  # Persian and emoji need them
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Name(NamedTuple):
    """A name from outside: what fits a line, and all of it. Whoever writes it into a page escapes it."""

    short: str
    full: str

    @classmethod
    def of(cls, text: str, letters: int = 36) -> Name:
        """Make a text harmless and cut it to so many letters."""
        full = plain(text)
        return cls(full if len(full) <= letters else full[: letters - 1].rstrip() + "…", full)

    @property
    def cut(self) -> bool:
        """Whether letters were left out."""
        return self.short != self.full


def plain(text: str) -> str:
    r"""Return text with control characters, direction marks and lone surrogates as visible escapes; ``(empty)`` for nothing.

    >>> print(plain("a\x1b[2J"), plain("r\u202etl"), plain(" "))
    a\x1b[2J r\u202etl (empty)
    """
    if not text.strip():
        return "(empty)"
    return "".join(c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in text)


def quoted(names: Sequence[str], most: int = 8) -> str:
    r"""Return names for a one-line message: in quotes, made harmless, long ones cut, and no more than `most`.

    >>> print(quoted(["age", "line\nbreak"]), quoted("abc", 2))
    'age', 'line\nbreak' 'a', 'b' and 1 more
    """
    rest = len(names) - most
    return ", ".join(f"'{Name.of(name, 60).short}'" for name in names[:most]) + (f" and {rest} more" if rest > 0 else "")


def numbers(values: Sequence[float], error: float) -> tuple[str, ...]:
    """Return several numbers with the same last digit, the second that `error` allows, or of three digits without an error.

    >>> numbers([0.49312, 0.452, 0.534], 0.021), numbers([1.2345e-7], 1e-8), numbers([3.0], float("nan"))
    (('0.493', '0.452', '0.534'), ('1.23·10⁻⁷',), ('3.00',))
    """
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    power = math.floor(math.log10(largest)) if largest > 0 else 0
    unit = 10.0**power if (power < -3 or power > 5) and -300 < power < 300 else 1.0
    known = math.isfinite(error) and error > 0
    digits = 1 - math.floor(math.log10(error / unit)) if known else 2 - math.floor(math.log10(largest / unit)) if largest else 2
    digits = min(max(digits, 0), 6)
    tail = "" if unit == 1 else f"·10{str(power).translate(SUPERSCRIPTS)}"
    return tuple(_signed(f"{v / unit:.{digits}f}") + tail if math.isfinite(v) else _without_digits(v) for v in values)


def probability(p: float) -> str:
    """Return a p-value in two digits.

    >>> probability(0.314), probability(0.0081), probability(1.0)
    ('0.31', '0.0081', '1')
    """
    return f"{p:.2g}" if p < 1 else "1"


def percent(share: float) -> str:
    """Return a share as percent.

    >>> percent(0.1234), percent(0.0042)
    ('12\xa0%', '0.4\xa0%')
    """
    return f"{_signed(f'{100 * share:.0f}' if abs(share) >= 0.0995 or share == 0 else f'{100 * share:.1f}')}\u00a0%"


def seconds(duration: float) -> str:
    """Return a duration in seconds, for a table.

    >>> seconds(0.0042), seconds(0.31), seconds(12.3), seconds(300.0)
    ('< 0.01', '0.31', '12', '300')
    """
    return "< 0.01" if duration < 0.01 else f"{duration:.2f}" if duration < 10 else f"{duration:.0f}"


def joined(parts: Sequence[object]) -> list[object]:
    """Return ``a, b and c`` as a list of its pieces, which need not be strings."""
    pieces: list[object] = []
    for place, part in enumerate(parts):
        pieces += [part] if place == 0 else [" and " if place == len(parts) - 1 else ", ", part]
    return pieces


def _without_digits(value: float) -> str:
    """Return a number that is not finite as a sign."""
    return "—" if math.isnan(value) else "∞" if value > 0 else "−∞"


def _signed(text: str) -> str:
    """Return a number in digits with a true minus sign, and none before zero."""
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")
