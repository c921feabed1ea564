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
from divkit.reproduce.errata import ERRATA
from divkit.reproduce.printed import PAIRS, SURVEY, LawPair, Printed, conjugate, derivative, integral
from divkit.truths import exact

__all__ = ["SURVEY_CASE"]

SOURCE = "A Brief Survey of Generative Models (web page), table of divergences"
TOLERANCE = 1e-6
RATIOS = (0.2, 2.0)  # u
LOGITS = (-1.5, 0.8)  # ν


def _judged(quantity: str, printed: float, right: float, ours: float, *, wrong: bool, texts: tuple[str, str]) -> Quantity:
    """A row that holds where ours is right and the printed entry is as right or wrong as is said of it."""
    as_said = _same(printed, right) is not wrong
    said, meant = texts
    note = f"printed {said}; right is {meant}" if wrong else f"printed {said}: right"
    return Quantity(
        quantity=quantity,
        ours=ours,
        exact=right,
        paper=printed,
        paper_source=SOURCE,
        tolerance=TOLERANCE,
        passed=_same(ours, right) and as_said,
        note=note if as_said else f"{note}; but this is not what was found",
    )


def _same(a: float, b: float) -> bool:
    return a == b or abs(a - b) <= TOLERANCE * max(1.0, abs(b))


def entries(row: Printed, record: FDivergence) -> Iterator[Quantity]:
    """The entries of one row of the table that are functions: f, T*, f^c, its domain, g_f, f'(1)."""
    f, formulas = row.generator[1], record.formulas
    for u in RATIOS:
        at = f"at u = {u:g}"
        yield _judged(
            f"{row.row}: f {at}",
            float(row.generator[1](np.asarray(u))),
            float(f(np.asarray(u))),
            float(record.f(_number(u))),
            wrong=False,
            texts=(row.generator[0], formulas.generator),
        )
        yield _judged(
            f"{row.row}: T* {at}",
            float(row.maximiser[1](np.asarray(u))),
            derivative(f, u),
            float(record.derivative(_number(u))),
            wrong="maximiser" in row.wrong,
            texts=(row.maximiser[0], f"f′(p/q) = {formulas.maximiser}"),
        )
        t = derivative(f, u)
        yield _judged(
            f"{row.row}: f^c at t = f′({u:g}) = {t:.4g}",
            float(row.conjugate[1](np.asarray(t))),
            conjugate(f, t),
            float(record.conjugate(_number(t))),
            wrong=False,
            texts=(row.conjugate[0], formulas.conjugate),
        )
    yield _judged(
        f"{row.row}: upper end of the domain of f^c",
        row.domain[1],
        _end(row),
        record.domain.upper,
        wrong=False,
        texts=(row.domain[0], formulas.domain),
    )
    for v in LOGITS:  # with u = e^ν, an increasing activation whose ν* is log(p/q) as in the other rows
        yield _judged(
            f"{row.row}: sign of the slope of g_f at ν = {v:g}",
            math.copysign(1.0, derivative(row.activation[1], v)),
            1.0,
            math.copysign(1.0, _slope(record, v)),
            wrong="activation" in row.wrong,
            texts=(row.activation[0], f"{formulas.activation}, increasing"),
        )
        yield _judged(
            f"{row.row}: g_f at ν = {v:g} inside the domain",
            float(row.activation[1](np.asarray(v)) < row.domain[1]),
            1.0,
            float(float(record.activation(_number(v))) < record.domain.upper),
            wrong=False,
            texts=(row.activation[0], formulas.activation),
        )
    yield _judged(
        f"{row.row}: f′(1)",
        row.slope[1],
        derivative(f, 1.0),
        float(record.derivative(_number(1.0))),
        wrong=False,
        texts=(row.slope[0], "f′(1)"),
    )


def on_pair(row: Printed, record: FDivergence, pair: LawPair) -> Iterator[Quantity]:
    """The printed integral, and the bound at the printed T*, on a pair of laws; both must be ∫ q f(p/q)."""
    f, a, b = row.generator[1], record.a, record.b
    right = integral(pair, lambda p, q: q * f(p / q))
    text, integrand, constant = row.divergence
    yield _judged(
        f"{row.row}: D, {pair.name}",
        integral(pair, integrand) + constant,
        right,
        exact(record.name, *_laws(pair)),
        wrong="divergence" in row.wrong,
        texts=(text, record.formulas.integral),
    )
    maximiser, printed = row.maximiser[1], row.conjugate[1]
    yield _judged(
        f"{row.row}: E_P T* − E_Q f^c(T*), {pair.name}",
        integral(pair, lambda p, q: p * maximiser(p / q) - q * printed(maximiser(p / q))),
        right,
        integral(pair, lambda p, q: p * _numpy(a, np.log(p / q)) - q * _numpy(b, np.log(p / q))),
        wrong="maximiser" in row.wrong,
        texts=(row.maximiser[0], f"T* = {record.formulas.maximiser}"),
    )


def _end(row: Printed) -> float:
    """f'(∞), the end of the conjugate's domain, from where the search for the supremum runs away."""
    low, high = -50.0, 50.0
    if math.isfinite(conjugate(row.generator[1], high)):
        return math.inf
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if math.isfinite(conjugate(row.generator[1], middle)) else (low, middle)
    return round(high, 8) if abs(high) > 1e-8 else 0.0


def _slope(record: FDivergence, v: float) -> float:
    x = _number(v).requires_grad_()
    (slope,) = torch.autograd.grad(record.activation(x), x)
    return float(slope)


def _laws(pair: LawPair) -> tuple[td.Distribution, td.Distribution]:
    kinds: dict[str, Callable[..., td.Distribution]] = {
        "normal": td.Normal,
        "laplace": td.Laplace,
        "exponential": lambda rate, _: td.Exponential(rate),
    }
    first, second = (kinds[kind](_number(a), _number(b)) for kind, a, b in (pair.p, pair.q))
    return first, second


def _numpy(function: Function, values: Any) -> Any:
    return function(torch.as_tensor(values, dtype=torch.float64)).numpy()


def _number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


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
        for number, erratum in enumerate(ERRATA, 1):
            rows += erratum(number, setup.seed)
            done(1)
    return Outcome(rows, _figure())


def _figure() -> Figure:
    """T* and g_f of every row, printed and right, in the logit."""
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
            ax.set_ylim(max(-8.0, min(right.min(), printed.min()) - 0.3), min(5.0, max(right.max(), printed.max()) + 0.3))
            ax.set_xlabel(axis)
            ax.set_title(f"{row.row}: {what}")
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
