"""Relabelling by groups and pairs, early stopping, and the tests beside those by a divergence."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch import Tensor

import divkit as dk
from divkit.data.measure import Measure
from divkit.kernel.kernels import NegativeDistance
from divkit.kernel.two_sample import u_nulls
from divkit.testing import Adaptive, ClassifierTest
from divkit.testing.labels import Relabelling
from divkit.testing.permutation import Draws, PermutationSettings, Ties, permutation_test

SEEDS = 200


def normal(n: int, d: int = 2, seed: int = 0, shift: float = 0.0) -> Tensor:
    return shift + torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def most(level: float = 0.05) -> float:
    """Of rejections over so many seeds: the level and three standard errors."""
    return level + 3 * math.sqrt(level * (1 - level) / SEEDS)


def chosen(relabelling: Relabelling, size: int = 7) -> set[tuple[int, ...]]:
    batches = [relabelling.observed[None], *relabelling.all(size)]
    return {tuple(np.flatnonzero(label)) for batch in batches for label in batch}


def test_all_relabellings_of_rows() -> None:
    relabelling = Relabelling.of(Measure(normal(3)), Measure(normal(4)))
    assert relabelling.count(1000) == 35
    assert chosen(relabelling) == set(combinations(range(7), 3))


def test_all_relabellings_of_whole_groups() -> None:
    """Groups of 2, 1 | 2, 2, 1 rows: which two of the five are x."""
    x, y = Measure(normal(3), groups=["a", "a", "b"]), Measure(normal(5), groups=["c", "c", "d", "d", "e"])
    groups = [(0, 1), (2,), (3, 4), (5, 6), (7,)]
    relabelling = Relabelling.of(x, y)
    assert (relabelling.scheme, relabelling.count(1000)) == ("of whole groups", 10)
    assert chosen(relabelling) == {tuple(sorted(p + q)) for p, q in combinations(groups, 2)}


def test_all_relabellings_within_groups() -> None:
    x, y = Measure(normal(3), groups=[1, 1, 2]), Measure(normal(2), groups=[1, 2])
    relabelling = Relabelling.of(x, y)
    assert (relabelling.scheme, relabelling.count(1000)) == ("within groups", 6)
    expected = {tuple(sorted(p + q)) for p, q in product(combinations((0, 1, 3), 2), [(2,), (4,)])}
    assert chosen(relabelling) == expected


def test_rows_without_groups_are_groups_of_their_own() -> None:
    relabelling = Relabelling.of(Measure(normal(4), groups=[5, 5, 5, 5]), Measure(normal(2)))
    assert chosen(relabelling) == {(0, 1, 2, 3), (4,), (5,)}


@pytest.mark.parametrize("scheme", ["rows", "groups", "pairs"])
def test_draws_keep_the_scheme_and_ignore_batches(scheme: str) -> None:
    x = Measure(normal(8), groups=None if scheme == "rows" else [0, 0, 1, 1, 2, 2, 3, 3])
    y = Measure(normal(8), groups=None if scheme == "rows" else [3, 3, 4, 4, 5, 5, 5, 5])
    relabelling = Relabelling.pairs(8) if scheme == "pairs" else Relabelling.of(x, y)
    drawn = np.concatenate(list(relabelling.drawn(50, 50, seed=3)))
    assert np.array_equal(drawn, np.concatenate(list(relabelling.drawn(50, 7, seed=3))))
    if scheme == "rows":
        assert (drawn.sum(1) == 8).all()
    if scheme == "pairs":
        assert (drawn[:, :8] != drawn[:, 8:]).all()
    if scheme == "groups":
        assert (drawn[:, [6, 7, 8, 9]].sum(1) == 2).all()  # the shared one
        assert (drawn[:, 0] == drawn[:, 1]).all()
    assert len(np.unique(drawn, axis=0)) > 10


def test_level_of_clusters() -> None:
    """Rows in fives that repeat each other: by rows one test in three is wrong, by groups it has its level."""
    by_rows = by_groups = 0
    for seed in range(SEEDS):
        x, y = (normal(8, 1, 2 * seed + i).repeat_interleave(5, 0) for i in (0, 1))
        groups = [np.repeat(np.arange(8), 5) + i for i in (0, 100)]
        by_rows += dk.test("energy", x, y, permutations=39, seed=seed).pvalue <= 0.05
        by_groups += dk.test("energy", x, y, permutations=39, seed=seed, groups_x=groups[0], groups_y=groups[1]).pvalue <= 0.05
    assert by_groups / SEEDS <= most()
    assert by_rows / SEEDS > 0.2


def test_pairs_see_what_rows_do_not() -> None:
    """A shift of a tenth of what the pairs have in common; the wild bootstrap is the same as a group for each pair."""
    common = normal(60, 1)
    x, y = common + 0.05 * normal(60, 1, 1), common + 0.05 * normal(60, 1, 2) + 0.1
    assert dk.test("energy", x, y, permutations=199).pvalue > 0.2
    wild = dk.test("energy", x, y, permutations=199, wild=True)
    assert wild.pvalue == 0.005
    assert "within pairs of rows" in wild.sentence()
    assert dk.test("energy", x, y, permutations=199, groups_x=range(60), groups_y=range(60)).pvalue == 0.005


def test_stopping_is_valid_and_early() -> None:
    """p at most α with probability at most α, and a hopeless test ends after few draws."""
    results = [
        dk.test("energy", normal(15, seed=2 * s), normal(12, seed=2 * s + 1), permutations=99, seed=s, enough=5)
        for s in range(SEEDS)
    ]
    assert sum(r.pvalue <= 0.1 for r in results) / SEEDS <= most(0.1)
    assert np.mean([r.permutations for r in results]) < 40
    stopped = next(r for r in results if r.stopped)
    assert stopped.pvalue == 5 / stopped.permutations
    assert "to find 5 whose value is at least as large" in stopped.sentence()


def test_stopping_counts_draws_not_batches() -> None:
    x, y = Measure(normal(15)), Measure(normal(15, seed=1))
    whole = dk.test("energy", x, y, permutations=200, enough=3)
    draws = Draws(200, enough=3, settings=PermutationSettings(labels=30 * 4))
    assert permutation_test("energy", dk.get("energy"), x, y, Relabelling.of(x, y), draws).pvalue == whole.pvalue


def test_options_follow_a_colon() -> None:
    x, y = normal(30), normal(30, seed=1, shift=0.5)
    for written, statistic in (
        ("adaptive:bandwidths=5,sharpness=10", Adaptive(5, 10.0)),
        ("c2st:blocks=3", ClassifierTest(blocks=3)),
        ("c2st:folds=3", ClassifierTest(blocks=3)),
    ):
        result = dk.test(written, x, y, permutations=39)
        assert result.name == written
        assert result.pvalue == dk.test(statistic, x, y, permutations=39).pvalue


def test_adaptive_is_its_formula() -> None:
    x, y = normal(13), normal(9, seed=1, shift=0.5)
    statistic, pooled = Adaptive(bandwidths=3), Measure(torch.cat([x, y]))
    label = torch.arange(22) < 13
    off, values = ~torch.eye(22, dtype=torch.bool), []
    for norm, shape in ((2.0, lambda t: torch.exp(-(t**2) / 2)), (1.0, lambda t: torch.exp(-t))):
        distances, every = torch.pdist(pooled.flat, norm).sort().values, torch.cdist(pooled.flat, pooled.flat, norm)
        low, high = distances[math.ceil(0.05 * 231) - 1] / 2, 2 * distances[math.ceil(0.95 * 231) - 1]
        for width in (low, (low * high).sqrt(), high):
            k = shape(every / width)
            kk = k - torch.diag(k.diagonal())
            value = kk[:13, :13].sum() / 156 + kk[13:, 13:].sum() / 72 - 2 * k[:13, 13:].mean()
            by_row = torch.tensor([[1.0 * (i in pair) for i in range(22)] for pair in combinations(range(22), 2)]).double()
            upper = k[torch.triu(off)]
            centred = upper - by_row @ torch.linalg.lstsq(by_row, upper[:, None]).solution[:, 0]  # best sums of row effects
            values.append(value * 13 * 9 / 22 / (upper.square().mean() * centred.square().mean()) ** 0.25)
    expected = float(torch.logsumexp(24 * torch.stack(values), 0) - math.log(6)) / 24
    assert float(statistic.null(pooled, label[None])[0]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("name", "data"), [("adaptive", "ties"), ("c2st", "ties"), ("adaptive", "normal")])
def test_level_of(name: str, data: str) -> None:
    """200 pairs, n = 15 and 12: Bernoulli(.05) with hardly anything but ties, and normal."""
    rejected, generator = 0, torch.Generator().manual_seed(5)
    for seed in range(SEEDS):
        x, y = (torch.randn(n, 1, generator=generator) for n in (15, 12))
        if data == "ties":
            x, y = (x > 1.6449).double(), (y > 1.6449).double()
        statistic = ClassifierTest(LogisticRegression(), blocks=3) if name == "c2st" else Adaptive(bandwidths=4)
        rejected += dk.test(statistic, x, y, permutations=39, seed=seed, enough=3).pvalue <= 0.05
    assert rejected / SEEDS <= most()


def test_adaptive_sees_scales() -> None:
    """A difference at a hundredth of the distances between clusters, which one median bandwidth misses."""
    centres = 20.0 * torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]]).double()
    x, y = (normal(160, seed=s) for s in (1, 2))
    y[::4] *= 3
    x, y = x + centres.repeat(40, 1), y + centres.repeat(40, 1)
    assert dk.test("mmd", x, y, permutations=199).pvalue > 0.05
    result = dk.test("adaptive", x, y, permutations=199)
    assert result.pvalue == 0.005
    assert 0.1 < float(result.kernel.rsplit(" ", 1)[-1]) < 10
    assert result.kernel in result.sentence()


def test_single_precision_agrees_with_double() -> None:
    """At 800 rows products are in float32: the same ranks of the observed value, with ties and without."""
    labels = torch.stack([torch.randperm(800, generator=torch.Generator().manual_seed(seed)) < 400 for seed in range(100)])
    for x, y in ((normal(400), normal(400, seed=1, shift=0.05)), (normal(400).round(), normal(400, seed=1, shift=0.1).round())):
        single, double = (
            u_nulls((NegativeDistance(),), torch.cat([x, y]), labels, unbiased=True, single_from=rows)[0][0]
            for rows in (0, 10**9)
        )
        assert single == pytest.approx(double, abs=1e-6)
        ranks = [int((values >= values[0] - Ties().tolerance(values)).sum()) for values in (single, double)]
        assert ranks[0] == ranks[1]


def test_one_odd_row_changes_nothing() -> None:
    """Of many equal rows and one other every relabelling at n = m has the same value, in float32 as well."""
    x, y = torch.zeros(400, 1), torch.zeros(400, 1)
    x[0] = 1.0
    for name in ("energy", "mmd", "adaptive"):
        assert dk.test(name, x, y, permutations=39).pvalue == 1.0


def test_classifier_sees_what_it_can() -> None:
    x, y = normal(80), 3 * normal(80, seed=1)
    assert dk.test("c2st", x, y, permutations=199).pvalue == 0.005
    assert dk.test(ClassifierTest(LogisticRegression()), x, y, permutations=199).pvalue > 0.05
    shifted = dk.test(ClassifierTest(LinearSVC()), x, x.flip(0) + 2, permutations=199)
    assert shifted.pvalue == 0.005
    assert 0.9 < shifted.statistic <= 1.0
    assert "within blocks" in shifted.sentence()


def test_classifier_by_groups() -> None:
    groups = np.repeat(np.arange(20), 4)
    x, y = normal(80), normal(80, seed=1, shift=2.0)
    assert dk.test(ClassifierTest(LogisticRegression()), x, y, groups_x=groups, groups_y=groups, permutations=99).pvalue == 0.01
    assert dk.test(ClassifierTest(LogisticRegression()), x, y, groups_x=groups, groups_y=groups + 20).pvalue <= 0.01


def test_closer_level_and_power() -> None:
    """Equally far, by the same law and by another; then not equally."""
    wrong = right = 0
    for seed in range(100):
        data, a, b = normal(60, seed=3 * seed), normal(60, seed=3 * seed + 1), normal(60, seed=3 * seed + 2)
        a, b = a + torch.tensor([0.5, 0.0]), b + torch.tensor([0.0, 0.5])
        wrong += dk.closer("energy", data, a, b).verdict() != "neither"
        right += dk.closer("energy", data, a, b + torch.tensor([0.0, 1.0])).verdict() == "a"
    assert wrong / 100 <= 0.05 + 3 * 0.022
    assert right / 100 > 0.9


def test_closer_refuses_data_frames() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0]})
    with pytest.raises(TypeError, match="b is a data frame; the three need one encoding"):
        dk.closer("energy", frame.to_numpy(), frame.to_numpy(), frame)


def test_closer_takes_one_bandwidth_and_says_so() -> None:
    data, a, b = normal(50), normal(50, seed=1), normal(50, seed=2, shift=3.0)
    result = dk.closer("mmd", data, a, b)
    assert result.a.notes["bandwidth"] == result.b.notes["bandwidth"]
    assert result.sentence().startswith("A is closer to the data than B (level 0.05): mmd ")
    assert dk.closer("mmd", data, b, a).verdict() == "b"
    assert dk.closer("mmd", data, a, a).pvalue == 1.0
    assert "neither is shown to be closer" in dk.closer("mmd", data, a, a).sentence()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"wild": True, "y": normal(8)}, "wild=True pairs row i of x with row i of y; x has 9 rows and y 8"),
        ({"wild": True, "groups_x": range(9)}, "groups_x and groups_y must be None"),
        ({"groups_x": range(8)}, r"groups_x must be one label per row, shape \(9,\); got shape \(8,\)"),
        ({"groups_x": [0.0, math.nan] * 4 + [1.0]}, "Input groups_x contains NaN or infinity"),
        ({"groups_x": [0] * 9, "groups_y": [1] * 9, "divergence": "w2"}, None),
        ({"groups_x": [0] * 3 + [1] * 6, "groups_y": [0] * 3 + [1] * 6, "enough": 0}, "enough must be a whole number"),
        ({"divergence": "c2st", "x": normal(6)}, r"a minimum of 10 is required: x for 5 blocks"),
        ({"x": Measure(normal(9), groups=range(9)), "groups_x": range(9)}, "x is a Measure and has groups already"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str | None) -> None:
    call = {"divergence": "energy", "x": normal(9), "y": normal(9, seed=1), "permutations": 20, **arguments}
    if message is None:
        with pytest.warns(UserWarning, match="no p-value below 0.5"):
            assert dk.test(call.pop("divergence"), call.pop("x"), call.pop("y"), **call).exhaustive
        return
    with pytest.raises(ValueError, match=message):
        dk.test(call.pop("divergence"), call.pop("x"), call.pop("y"), **call)


def test_specifications_refuse() -> None:
    with pytest.raises(ValueError, match="bandwidths must be a whole number"):
        Adaptive(bandwidths=0)
    with pytest.raises(ValueError, match="sharpness must be a finite number of at least 0"):
        Adaptive(sharpness=-1.0)
    with pytest.raises(ValueError, match="families is empty"):
        Adaptive(families=())
    with pytest.raises(ValueError, match="classifier must be a scikit-learn classifier"):
        ClassifierTest("forest")
    with pytest.raises(ValueError, match="blocks must be a whole number of at least 2"):
        ClassifierTest(blocks=1)
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
        dk.closer("energy", normal(9), normal(9, seed=1), normal(9, seed=2)).verdict(2.0)
    fixed = Relabelling(np.arange(4), 1 + np.arange(4), np.arange(4) < 2)
    with pytest.raises(ValueError, match="cannot change places; no p-value can be had"):
        permutation_test("energy", dk.get("energy"), Measure(normal(2)), Measure(normal(2)), fixed, Draws())


def test_interrupted_from_the_keyboard() -> None:
    """A million relabellings would take minutes; the process says that it began, is interrupted, and leaves nothing behind."""
    script = (
        "import torch, divkit as dk\n"
        "began = lambda done: print('BEGAN', flush=True)\n"
        "dk.test('energy', torch.randn(100, 2), torch.randn(100, 2), permutations=10**6, progress=began)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "BEGAN\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
