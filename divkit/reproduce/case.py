"""Cases: a protocol, a budget, and a function that makes rows — paper, exact, ours — and a figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from matplotlib.figure import Figure

from divkit.support.progress import Progress, silent

__all__ = ["OTHER_DATA", "UNCONFIRMED", "Case", "Keep", "Outcome", "Quantity", "Row", "Setup", "at_least", "at_most", "near"]

UNCONFIRMED = "unconfirmed"  # ends the source of a number that was recalled and not read again
OTHER_DATA = "other data"  # ends the source of a number that was measured on data which are not ours


@dataclass(frozen=True)
class Quantity:
    """One row of a case: what the paper says of a quantity, what is true, what comes out here.

    Parameters
    ----------
    quantity : str
        The name by which the row is found again, with unit and setting.
    ours : float or None
        The value that comes out here.
    exact : float or None
        Closed form, quadrature or enumeration; None where there is no such thing, as for a picture's quality.
    paper : float or None
        The value that the paper prints.
    paper_source : str or None
        Authors, year and table; ends in ``"; unconfirmed"``, ``"; other data"`` or both where it is (see `UNCONFIRMED`).
    stderr : float or None
        Standard error of `ours`; its spread over seeds for learned cases.
    tolerance : float or None
        What |ours − exact| was allowed, or the bound that `ours` had to keep: the note says which.
    passed : bool or None
        None where the row shows and does not judge.
    note : str
        One sentence that belongs beside the number.
    """

    quantity: str
    ours: float | None = None
    exact: float | None = None
    paper: float | None = None
    paper_source: str | None = None
    stderr: float | None = None
    tolerance: float | None = None
    passed: bool | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if (self.paper is None) != (self.paper_source is None):
            raise ValueError(f"row {self.quantity!r}: a paper's number and its source go together; give both or neither.")

    @property
    def difference(self) -> float | None:
        """The difference of ours from exact, else from the paper's; None where one is missing or infinite."""
        reference = self.paper if self.exact is None else self.exact
        if self.ours is None or reference is None or not (math.isfinite(self.ours) and math.isfinite(reference)):
            return None
        return self.ours - reference

    def to_dict(self) -> dict[str, Any]:
        """Return the row for JSON: numbers that are not finite become None, and ``reasons`` says what they were."""
        fields = asdict(self)
        reasons = {key: repr(value) for key, value in fields.items() if isinstance(value, float) and not math.isfinite(value)}
        return {key: None if key in reasons else value for key, value in fields.items()} | {"reasons": reasons}

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Quantity:
        """Return the row that `to_dict` wrote."""
        values = {key: fields[key] for key in cls.__dataclass_fields__}
        return cls(**values | {key: float(text) for key, text in fields["reasons"].items()})


Row = Quantity
"""The former name of `Quantity`."""


def near(quantity: str, ours: float, exact: float, tolerance: float, **rest: Any) -> Quantity:
    """Return a row that passes where |ours − exact| ≤ tolerance; infinite values must be equal.

    >>> near("KL", 0.51, exact=0.5, tolerance=0.02).passed, near("KL", 9.0, exact=math.inf, tolerance=0.02).passed
    (True, False)
    """
    passed = ours == exact or abs(ours - exact) <= tolerance
    return Quantity(quantity, ours, exact, tolerance=tolerance, passed=passed, **rest)


def at_least(quantity: str, ours: float, bound: float, **rest: Any) -> Quantity:
    """Return a row that passes where ours ≥ bound."""
    return _bounded(quantity, ours, bound, ours >= bound, f"wanted at least {bound:.6g}", **rest)


def at_most(quantity: str, ours: float, bound: float, **rest: Any) -> Quantity:
    """Return a row that passes where ours ≤ bound.

    >>> at_most("C2ST accuracy of the code", 0.56, 0.6).note
    'wanted at most 0.6'
    """
    return _bounded(quantity, ours, bound, ours <= bound, f"wanted at most {bound:.6g}", **rest)


def _bounded(quantity: str, ours: float, bound: float, passed: bool, rule: str, note: str = "", **rest: Any) -> Quantity:
    """Return a row that is judged by a bound, the rule at the end of its note."""
    return Quantity(quantity, ours, tolerance=bound, passed=passed, note="; ".join(filter(None, (note, rule))), **rest)


Keep: TypeAlias = Callable[[str, Callable[[], Any]], Any]
"""``keep(key, make)`` returns ``make()``, a JSON value, or what an interrupted run of the same protocol stored for it.

Where `make` is a `functools.partial`, its arguments count: the same key with other arguments is another part.
"""


def _always(key: str, make: Callable[[], Any]) -> Any:
    return make()


@dataclass(frozen=True)
class Setup:
    """How a case is run: its seed, its form, where progress is shown and where finished parts are stored."""

    seed: int = 0
    full: bool = False
    progress: Progress = silent
    keep: Keep = _always


@dataclass(frozen=True)
class Outcome:
    """The rows and the figure that a case ends with."""

    rows: Sequence[Quantity]
    figure: Figure


@dataclass(frozen=True)
class Case:
    """One reproduction.

    Parameters
    ----------
    name : str
        The name on the command line.
    title : str
        What it shows, in one line.
    protocol : str
        What is done, in sentences precise enough to do it again.
    run : callable
        Function from a `Setup` to an `Outcome`; it draws with `divkit.reproduce.drawing`.
    minutes : float
        Minutes of one core that the short form takes.
    short, full : str
        What the two forms differ in, in a sentence each; both empty where there is one form.
    full_minutes : float or None
        Minutes that the full form takes; None where there is one form.
    """

    name: str
    title: str
    protocol: str
    run: Callable[[Setup], Outcome]
    minutes: float = 1.0
    short: str = ""
    full: str = ""
    full_minutes: float | None = None

    def stated(self, full: bool) -> str:
        """Return the protocol of the short or the full form."""
        return " ".join(filter(None, (self.protocol, self.full if full else self.short)))
