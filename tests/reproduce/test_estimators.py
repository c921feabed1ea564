"""Estimators beside exact values: what is counted, what is judged."""

from __future__ import annotations

import math

import numpy as np
import pytest

import divkit as dk
from divkit.core.estimate import Bias
from divkit.fdiv import NearestNeighbourKL
from divkit.reproduce import CASES, Setup
from divkit.reproduce import estimators as case
from divkit.reproduce.estimator_runs import Setting, Told, known, measure, summary, truth

SMALL = Setting(60, 2, 1.0)


def test_settings_draw_their_laws() -> None:
    x, y = Setting(40_000, 3, 2.0).samples(0)
    assert x.flat.mean(0).numpy() == pytest.approx([2, 0, 0], abs=0.03)
    assert y.flat.mean(0).numpy() == pytest.approx([0, 0, 0], abs=0.03)
    assert float(x.flat.std()) == pytest.approx(math.sqrt(1 + 8 / 9), abs=0.02)
    assert str(SMALL) == "n = 60, d = 2, δ = 1"


def test_every_f_divergence_is_known() -> None:
    names = known(Setting(60, 5, 1.0))
    made = ("alpha", "weighted-js", "skew-kl", "relative-pearson", "kl-dv", "renyi", "pearson-hcr", "kl-knn")
    assert {*dk.fdiv.TABLE, *made} <= {*names}
    assert {"w2", "sinkhorn", "entropic-ot", "energy", "mmd", "mmd-laplace", "mmd-imq", "kid", "sliced-w2"} <= {*names}
    assert truth("kl", SMALL) == pytest.approx(0.5)
    assert truth("renyi", SMALL) == pytest.approx(0.25)


def test_equal_problems_are_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    solves: list[object] = []
    solve = NearestNeighbourKL.solve
    monkeypatch.setattr(NearestNeighbourKL, "solve", lambda *given, **named: solves.append(given) or solve(*given, **named))
    first = measure(SMALL, ["kl-knn", "energy", "kl-knn"], 0)
    assert len(solves) == 1
    x, y = SMALL.samples(0)
    e = dk.estimate("kl-knn", x, y)
    assert first["kl-knn"][:2] == [e.value, e.stderr]
    assert measure(SMALL, ["energy"], 0)["energy"][:4] == first["energy"][:4]


def test_repetitions_draw_their_own_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the same samples the means over directions differ as much as their error says."""
    setting = Setting(400, 5, 1.0)
    x, y = setting.samples(0)
    monkeypatch.setattr(Setting, "samples", lambda self, seed: (x, y))
    values = [measure(setting, ["sliced-w1"], seed)["sliced-w1"][0] for seed in range(30)]
    error = dk.estimate("sliced-w1", x, y).notes["stderr_of_projections"]
    assert 0.5 < np.std(values, ddof=1) / error < 1.6  # of thirty, the error itself being known to 16 %


def test_summary() -> None:
    told = [Told(v, 0.1, v - 0.2, v + 0.2, s, s < 3) for v, s in ((1.0, 1.0), (1.1, 2.0), (1.5, 3.0))]
    made = summary(told, 1.25)
    assert made["mean"] == pytest.approx(1.2)
    assert made["spread"] == pytest.approx(np.std([1, 1.1, 1.5], ddof=1))
    assert made["coverage"] == pytest.approx(1 / 3)
    assert (made["seconds"], made["unsolved"]) == (2.0, 1)


@pytest.mark.parametrize(
    ("bias", "mean", "kept"),
    [
        (Bias.NONE, 1.05, True),
        (Bias.NONE, 1.2, False),
        (Bias.NONE, 0.8, False),
        (Bias.ABOVE, 3.0, True),
        (Bias.ABOVE, 0.8, False),
        (Bias.BELOW, 1.05, True),
        (Bias.BELOW, 1.2, False),
        (Bias.BELOW, 0.6, True),
        (Bias.BELOW, 0.5, False),
        (Bias.UNKNOWN, 9.0, True),
    ],
)
def test_what_an_estimator_promises(bias: Bias, mean: float, kept: bool) -> None:
    low, high = case._promised(bias, 1.0, 0.1, lack=0.43)
    assert (low <= mean <= high) is kept
    if bias is Bias.BELOW:  # a classifier of the user's own may be as far below as it likes
        low, high = case._promised(bias, 1.0, 0.1, lack=math.inf)
        assert (low <= mean <= high) is (mean <= 1.1)


def test_the_rule_of_a_row_is_named() -> None:
    assert case._rule(0.5, 1.25) == "wanted at least 0.5, at most 1.25"
    assert case._rule(-math.inf, 1.25) == "wanted at most 1.25"
    assert case._rule(-math.inf, math.inf) == "not judged"


def test_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few names and repetitions: rows, a resumed run, the figure."""
    names = ["w2", "energy", "mmd", "sliced-w1"]
    protocol = case.Estimators(short=(SMALL, Setting(60, 1, 1.0)), repeats=(4, 4))
    monkeypatch.setattr(case, "known", lambda setting: names)
    kept: dict[str, object] = {}

    def keep(key, make):
        if key not in kept:
            kept[key] = make()
        return kept[key]

    first = case._run(protocol, Setup(seed=2, keep=keep))
    assert len(kept) == 8
    assert [row.quantity for row in first.rows[:2]] == ["w2, n = 60, d = 2, δ = 1", "energy, n = 60, d = 2, δ = 1"]
    assert all(row.passed for row in first.rows)
    assert "of 4" in first.rows[0].note
    again = case._run(protocol, Setup(seed=2, keep=keep))
    assert [row.ours for row in again.rows] == [row.ours for row in first.rows]
    assert len(first.figure.axes) == 2


@pytest.mark.slow
def test_every_row_holds() -> None:
    rows = CASES["estimators"].run(Setup(seed=1)).rows
    assert [row.quantity for row in rows if row.passed is False] == []
