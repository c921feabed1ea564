"""The survey's table and its errata."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from divkit.fdiv.table import TABLE
from divkit.reproduce import CASES, Setup
from divkit.reproduce.errata import ERRATA
from divkit.reproduce.printed import PAIRS, SURVEY, conjugate, derivative, integral
from divkit.reproduce.survey import entries, on_pair


@pytest.mark.parametrize("printed", SURVEY, ids=lambda row: row.name)
def test_every_entry_is_as_right_or_wrong_as_is_said(printed) -> None:
    record = TABLE[printed.name]
    rows = [*entries(printed, record), *on_pair(printed, record, PAIRS[0])]
    assert [row.quantity for row in rows if not row.passed] == []
    differ = [row for row in rows if abs(row.paper - row.exact) > 1e-6 and math.isfinite(row.exact)]
    assert bool(differ) == bool(printed.wrong)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("number", range(1, 14))
def test_errata(number: int, seed: int) -> None:
    rows = ERRATA[number - 1](seed)
    assert rows
    assert [row.quantity for row in rows if not row.passed] == []


def test_a_wrong_claim_is_found_out() -> None:
    """A row holds only where what its note says of the print is what was found."""
    from dataclasses import replace

    blamed = replace(SURVEY[3], wrong=frozenset({"maximiser"}))
    rows = list(entries(blamed, TABLE["gan"]))
    assert [row.passed for row in rows if ": T* at" in row.quantity] == [False, False]
    assert all("not what was found" in row.note for row in rows if ": T* at" in row.quantity)


def test_tools() -> None:
    assert derivative(lambda u: u * np.log(u), 2.0) == pytest.approx(1 + math.log(2), abs=1e-14)
    assert conjugate(lambda u: u * np.log(u), 0.3) == pytest.approx(math.exp(-0.7), abs=1e-12)
    assert conjugate(lambda u: -np.log(u), 0.5) == math.inf
    for pair in PAIRS:
        assert integral(pair, lambda p, q: p) == pytest.approx(1, abs=1e-10)
        assert integral(pair, lambda p, q: q) == pytest.approx(1, abs=1e-10)


def test_the_whole_case() -> None:
    with torch.random.fork_rng():
        outcome = CASES["survey"].run(Setup(seed=3))
    found = Counter(row.passed for row in outcome.rows)
    assert found == {True: len(outcome.rows)}
    assert {row.quantity.split(":")[0] for row in outcome.rows} >= {f"erratum {k}" for k in range(1, 14)}
    assert len(outcome.figure.axes) == 8
