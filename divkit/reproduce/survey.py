"""`survey`: every entry of a survey's tables recomputed, its errors proved one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.distributions as td
from matplotlib.figure import Figure

from divkit.fdiv.records import FDivergence, Function
from divkit.fdiv.table import TABLE
from divkit.reproduce.case import Case, Outcome, Quantity, Setup
from divkit.reproduce.drawing import COLOURS, panels
from divkit.reproduce.errata import ERRATA, errata
from divkit.reproduce.kit import number
from divkit.reproduce.printed import PAIRS, SURVEY, LawPair, Printed, conjugate, derivative, integral
from divkit.truths import exact

__all__ = ["SURVEY_CASE"]

SOURCE = "A Brief Survey of Generative Models (web page), table of divergences"
TOLERANCE = 1e-6  # relative, of the right value


def _entry(
    row: Printed, field: str, title: str, printed: float, right: float, ours: float, meant: str, *, wrong: bool | None = None
) -> Quantity:
    """Return a row that passes where ours is right and the printed entry is as right or wrong as is said of it.

    `field` names the entry in `Printed`, which says whether it is wrong unless `wrong` does; `meant` is the right text.
    """
    text, wrong = getattr(row, field)[0], field in row.wrong if wrong is None else wrong
    confirmed = _same(printed, right) is not wrong
    note = f"printed {text}; right is {meant}" if wrong else f"printed {text}: right"
    return Quantity(
        quantity=f"{row.row}: {title}",
        ours=ours,
        exact=right,
        paper=printed,
        paper_source=SOURCE,
        tolerance=TOLERANCE,
        passed=_same(ours, right) and confirmed,
        note=note if confirmed else f"{note}; but this is not what was found",
    )


def _same(a: float, b: float) -> bool:
    """Return whether two values agree within the tolerance."""
    return a == b or abs(a - b) <= TOLERANCE * max(1.0, abs(b))


def entries(row: Printed, record: FDivergence) -> Iterator[Quantity]:
    """Yield the entries of one row of the table that are functions: f, T*, f^c, its domain, g_f, f'(1)."""
    f, best, dual, g = (function for _, function in (row.generator, row.maximiser, row.conjugate, row.activation))
    formulas, end = record.formulas, row.domain[1]
    for u in (0.2, 2.0):
        t, at, ratio = derivative(f, u), np.asarray(u), number(u)
        yield _entry(
            row, "generator", f"f at u = {u:g}", float(f(at)), float(f(at)), float(record.f(ratio)), formulas.generator
        )
        meant, ours = f"f′(p/q) = {formulas.maximiser}", float(record.derivative(ratio))
        yield _entry(row, "maximiser", f"T* at u = {u:g}", float(best(at)), t, ours, meant)
        title, ours = f"f^c at t = f′({u:g}) = {t:.4g}", float(record.conjugate(number(t)))
        yield _entry(row, "conjugate", title, float(dual(np.asarray(t))), conjugate(f, t), ours, formulas.conjugate)
    title = "upper end of the domain of f^c"
    yield _entry(row, "domain", title, end, _end(row), record.domain.upper, formulas.domain)
    for v in (-1.5, 0.8):  # with u = e^ν, an increasing activation whose ν* is log(p/q) as in the other rows
        signs = math.copysign(1.0, derivative(g, v)), 1.0, math.copysign(1.0, _slope(record, v))
        yield _entry(row, "activation", f"sign of the slope of g_f at ν = {v:g}", *signs, f"{formulas.activation}, increasing")
        inside = float(g(np.asarray(v)) < end), 1.0, float(float(record.activation(number(v))) < record.domain.upper)
        yield _entry(row, "activation", f"g_f at ν = {v:g} inside the domain", *inside, formulas.activation, wrong=False)
    yield _entry(row, "slope", "f′(1)", row.slope[1], derivative(f, 1.0), float(record.derivative(number(1.0))), "f′(1)")


def on_pair(row: Printed, record: FDivergence, pair: LawPair) -> Iterator[Quantity]:
    """Yield the printed integral, and the bound at the printed T*, on a pair of laws; both must be ∫ q f(p/q)."""
    f, a, b = row.generator[1], record.a, record.b
    right = integral(pair, lambda p, q: q * f(p / q))
    _, integrand, constant = row.divergence
    printed, ours = integral(pair, integrand) + constant, exact(record.name, *_laws(pair))
    yield _entry(row, "divergence", f"D, {pair.name}", printed, right, ours, record.formulas.integral)
    best, dual = row.maximiser[1], row.conjugate[1]
    printed = integral(pair, lambda p, q: p * best(p / q) - q * dual(best(p / q)))
    ours = integral(pair, lambda p, q: p * _numpy(a, np.log(p / q)) - q * _numpy(b, np.log(p / q)))
    title, meant = f"E_P T* − E_Q f^c(T*), {pair.name}", f"T* = {record.formulas.maximiser}"
    yield _entry(row, "maximiser", title, printed, right, ours, meant)


def _end(row: Printed) -> float:
    """Return f'(∞), the end of the conjugate's domain: from there on the search for the supremum runs away."""
    low, high = -50.0, 50.0
    if math.isfinite(conjugate(row.generator[1], high)):
        return math.inf
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if math.isfinite(conjugate(row.generator[1], middle)) else (low, middle)
    return round(high, 8) if abs(high) > 1e-8 else 0.0


def _slope(record: FDivergence, v: float) -> float:
    """Return the slope of a record's activation."""
    x = number(v).requires_grad_()
    (slope,) = torch.autograd.grad(record.activation(x), x)
    return float(slope)


def _laws(pair: LawPair) -> tuple[td.Distribution, td.Distribution]:
    """Return the two laws as torch distributions in float64."""
    kinds: dict[str, Callable[..., td.Distribution]] = {
        "normal": td.Normal,
        "laplace": td.Laplace,
        "exponential": lambda rate, _: td.Exponential(rate),
    }
    first, second = (kinds[kind](number(a), number(b)) for kind, a, b in (pair.p, pair.q))
    return first, second


def _numpy(function: Function, values: Any) -> Any:
    """Evaluate a record's function on an array."""
    return function(torch.as_tensor(values, dtype=torch.float64)).numpy()


def _run(setup: Setup) -> Outcome:
    rows: list[Quantity] = []
    with setup.progress("survey", len(SURVEY) * (1 + len(PAIRS)) + len(ERRATA)) as done:
        for printed in SURVEY:
            record = TABLE[printed.name]
            rows += entries(printed, record)
            done(1)
            for pair in PAIRS:
                rows += on_pair(printed, record, pair)
                done(1)
        for more in errata(setup.seed):
            rows += more
            done(1)
    return Outcome(rows, _figure())


def _figure() -> Figure:
    """Draw T* and g_f of every row, printed and right, over the logit."""
    figure, axes = panels(2, len(SURVEY), 2.5, 2.2)
    v = np.linspace(-2.5, 2.5, 200)
    for column, row in enumerate(SURVEY):
        record = TABLE[row.name]
        curves = (
            (row.maximiser[1](np.exp(v)), _numpy(record.a, v), "T*", "log p/q"),
            (row.activation[1](v), _numpy(record.activation, v), "g_f", "ν"),
        )
        for place, (printed, right, what, axis) in enumerate(curves):
            ax = axes[place, column]
            ax.plot(v, right, color=COLOURS[0], label="right")
            ax.plot(v, printed, color=COLOURS[1], linestyle=(0, (4, 2)), label="printed")
            ax.set(
                ylim=(max(-8.0, min(right.min(), printed.min()) - 0.3), min(5.0, max(right.max(), printed.max()) + 0.3)),
                xlabel=axis,
                title=f"{row.row}: {what}",
            )
    axes[0, 0].legend()
    return figure


SURVEY_CASE = Case(
    name="survey",
    title="Every entry of a survey's tables of divergences, recomputed, and its thirteen errata proved",
    protocol=(
        f"Each entry of the survey's two tables (D, f, T*, f^c, domain, g_f, f′(1)) as printed; as it follows from the "
        f"generator alone, by quadrature, the complex step and a search for the supremum; and as divkit has it. Integrals and "
        f"bounds on three pairs of laws. A row holds where ours is within {TOLERANCE:g} of the right value and the printed "
        f"entry is right, or wrong, as the note says. Then each erratum by a computation that shows it; those that draw at "
        f"random, within five standard errors."
    ),
    run=_run,
    minutes=0.2,
)
