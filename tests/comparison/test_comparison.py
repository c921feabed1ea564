"""Estimates and comparisons: names, shared problems, yardsticks, tests, notes, and the record they end in."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import divkit as dk
from divkit.comparison.comparison import Comparison
from divkit.comparison.door import DEFAULT
from divkit.comparison.run import Run
from divkit.core.estimate import Bias, Solution, Status, Terms
from divkit.data.cleaning import Missing, Scale
from divkit.data.measure import Measure

FAST = ("energy", "sliced-w2")
CALLS: list[tuple[str, int, int]] = []


def normal(n: int, d: int = 2, seed: int = 0, shift: float = 0.0) -> Tensor:
    return shift + torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Fake(dk.Divergence):
    """One problem for all its names; counts its solves and does what its field says."""

    label: str = "fake"
    does: str = "well"
    quadratic: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return self.label

    @property
    def bias(self) -> Bias:
        return Bias.UNKNOWN

    @property
    def problem(self) -> Hashable:
        return "fake", self.does

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        CALLS.append((self.label, x.n, y.n))
        if self.does == "raise":
            raise ValueError("no such\nluck")
        if self.does == "crash":
            raise RuntimeError("out of memory")
        if self.does == "warn":
            warnings.warn("mind the gap", UserWarning, stacklevel=1)
        return Solution(status=Status.MAX_STEPS if self.does == "stop" else Status.CONVERGED, steps=7, error=0.5)

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        value = {"infinite": math.inf}.get(self.does, 1.0)
        return Terms(torch.full((x.n,), value, dtype=torch.float64), torch.zeros(y.n, dtype=torch.float64))


@pytest.fixture(autouse=True)
def _fresh() -> None:
    CALLS.clear()


def test_estimate_is_named_as_asked() -> None:
    x, y = normal(30), normal(20, seed=1)
    assert dk.estimate("energy:exponent=1.5", x, y).name == "energy:exponent=1.5"
    assert dk.estimate("energy", x, y, exponent=1.5).value == dk.estimate("energy:exponent=1.5", x, y).value
    assert dk.estimate(dk.get("w2"), x.numpy(), y.tolist()).name == dk.get("w2").name
    weighted = dk.estimate("w2", x, y, weights_x=range(1, 31), weights_y=None)
    assert weighted.value == dk.estimate("w2", Measure(x, range(1, 31)), y).value


@pytest.mark.parametrize(
    ("arguments", "fields", "message"),
    [
        (("enrgy",), {}, "unknown divergence 'enrgy'; did you mean energy"),
        (("energy",), {"beta": 2}, "divergence 'energy' has no option beta"),
        ((Fake(),), {"does": "stop"}, r"fields \(does\) go with a name"),
        ((3,), {}, "named by a string, is a Divergence, or a record, dual or kernel that makes one; got int"),
    ],
)
def test_estimate_refuses(arguments: tuple[Any, ...], fields: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        dk.estimate(*arguments, normal(5), normal(5), **fields)


def test_a_file_name_is_no_sample() -> None:
    for call in (lambda: dk.compare("a.csv", "b.csv"), lambda: dk.estimate("energy", Path("a.csv"), "b.csv")):
        with pytest.raises(TypeError, match=r"x is the text 'a\.csv'; samples are wanted: read a file first"):
            call()


def test_rows_of_both_samples_are_counted() -> None:
    x, y = normal(40), normal(30, seed=1)
    overlap = torch.cat([x[5:8], y]).double()
    said = "of 40 rows of 'x' are in 'y' too: intervals and tests suppose independence"
    assert dk.compare(x, x.flip(0), ["energy"]).notes == (f"40 {said}",)
    assert dk.compare(x, overlap, ["energy"]).notes == (f"3 {said}",)
    assert dk.compare(x, y, ["energy"]).notes == ()
    assert dk.compare(x.round(), x.round(), ["energy"]).notes == ()  # discrete rows repeat by chance


def test_shared_problems_are_solved_once() -> None:
    made = dk.compare(normal(30), normal(20, seed=1), [Fake("one"), Fake("two"), "energy"])
    assert CALLS == [("one", 30, 20), ("one", 15, 15)]  # on the samples, and between halves of x
    (shared,) = made.shared
    assert shared[0] == "one problem for one, two"
    assert [row.shared for row in made.rows] == [shared[0], shared[0], ""]
    assert made.settings["seconds"] >= shared[1] + sum(row.seconds for row in made.rows)


def test_one_failure_loses_nothing() -> None:
    kinds = ["raise", "crash", "stop", "infinite", "warn"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        divergences = [*(Fake(does, does) for does in kinds), "energy"]
        made = dk.compare(normal(30), normal(20, seed=1), divergences, test=True, permutations=19)
    failed, crashed, stopped, infinite, warned, energy = made.rows
    assert failed.estimate is None
    assert failed.reasons == {"value": "no such luck"}
    assert crashed.reasons == {"value": "RuntimeError: out of memory"}
    assert stopped.estimate is not None
    assert not stopped.estimate.converged
    assert stopped.reasons["yardstick"].startswith("between halves of x: stopped at the step limit")
    assert infinite.reasons["value"].startswith("the value of these samples is inf ± nan: it overflows")
    assert "mind the gap" in made.notes
    assert warned.estimate is not None
    assert energy.pvalue is not None
    assert (failed.pvalue, failed.yardstick) == (None, None)
    for width in (100, 60, 20):
        text = made.table(width)
        assert "NOT SOLVED" in " ".join(text.split())
        assert "FAILED" in text
        assert "no such luck" in " ".join(text.split())
    found = {row["name"]: row for row in json.loads(json.dumps(made.to_dict(), allow_nan=False))["estimates"]}
    assert found["raise"].keys() == found["energy"].keys()
    assert (found["raise"]["value"], found["raise"]["converged"], found["infinite"]["value"]) == (None, False, None)
    assert found["infinite"]["reasons"]["value"]


def test_yardstick_is_between_halves_of_x() -> None:
    x = normal(200)
    row = dk.compare(x, x + 5.0, "energy").rows[0]
    assert row.estimate is not None
    assert row.yardstick is not None
    assert abs(row.yardstick) < 0.2 < row.estimate.value
    assert dk.compare(x, normal(200, seed=9, shift=-3.0), "energy").rows[0].yardstick == row.yardstick


def test_max_rows_subsamples_where_all_pairs_are_compared() -> None:
    made = dk.compare(normal(60), normal(40, seed=1), FAST, max_rows=50)
    sizes = {row.name: (row.estimate.n, row.estimate.m) for row in made.rows if row.estimate}
    assert sizes == {"energy": (50, 40), "sliced-w2": (60, 40)}
    assert made.notes[0] == "energy: a seeded subsample of 50 of 60 rows of 'x' (--max-rows, max_rows=)"
    assert (made.x.rows, made.x.measure.n) == (60, 60)
    values = [dk.compare(normal(60), normal(40, seed=1), FAST, max_rows=50, seed=s).rows[0].estimate.value for s in (0, 1)]  # type: ignore[union-attr]
    assert made.rows[0].estimate.value == values[0] != values[1]  # type: ignore[union-attr]


def test_pvalues_and_holm() -> None:
    made = dk.compare(normal(40), normal(40, seed=1, shift=0.4), ["energy", "mmd", Fake()], test=True, permutations=99)
    raw = [row.pvalue for row in made.rows]
    alone = [dk.test(name, normal(40), normal(40, seed=1, shift=0.4), permutations=99).pvalue for name in ("energy", "mmd")]
    assert raw[:2] == alone
    assert raw[2] == 1.0
    low, high = sorted(alone)
    expected = {low: 3 * low, high: max(3 * low, 2 * high)}
    assert [row.holm for row in made.rows[:2]] == pytest.approx([min(1.0, expected[p]) for p in alone])
    assert made.settings["permutations"] == 99
    assert "p (Holm)" in made.table()
    assert made.verdict is not None
    assert made.verdict.pvalue == dk.test("adaptive", normal(40), normal(40, seed=1, shift=0.4), permutations=99).pvalue
    assert made.to_dict()["verdict"]["kernel"] == made.verdict.kernel
    assert made.notes[-1].startswith("by the adaptive test over many kernels the two ")
    plain = dk.compare(normal(9), normal(9), "energy")
    assert plain.rows[0].pvalue is None and plain.verdict is None and plain.to_dict()["verdict"] is None


def test_loops_over_relabellings_use_fewer_rows() -> None:
    made = dk.compare(normal(310), normal(20, seed=1), [Fake()], test=True, permutations=5)
    assert "fake: p from 300 random rows a side, as each relabelling is solved by itself" in made.notes
    assert all(x + y <= 330 for _, x, y in CALLS)
    assert len([1 for _, x, y in CALLS if x + y == 320]) == 6


def test_one_sample_has_no_error_and_no_yardstick() -> None:
    made = dk.compare(normal(1), normal(5, seed=1), ["w2", "energy"])
    w2, energy = made.to_dict()["estimates"]
    assert w2["value"] > 0
    assert w2["stderr"] is None
    assert "no standard error from 1 sample" in w2["reasons"]["stderr"]
    assert w2["reasons"]["yardstick"] == "one sample has no halves"
    assert "a minimum of 2 is required" in energy["reasons"]["value"]
    assert "—" in made.table()


def test_tables_are_scaled_and_arrays_are_not() -> None:
    generator = np.random.default_rng(0)
    x = pd.DataFrame({"age": generator.normal(40, 10, 50), "work": generator.choice(["a", "b"], 50)})
    y = pd.DataFrame({"work": generator.choice(["a", "b"], 30), "age": generator.normal(50, 10, 30)})
    made = dk.compare(x, y, FAST, labels=("real", "made"))
    assert made.settings["scale"] == Scale.SD.sentence
    assert (made.columns, made.source, made.categorical) == (("age", "work=a", "work=b"), ("age", "work", "work"), ("work",))
    assert made.x.measure.flat.shape == (50, 3)
    assert dk.compare(x, y, "energy", scale="none", columns=["age"]).settings["scale"] == Scale.NONE.sentence
    arrays = dk.compare(x[["age"]].to_numpy(), y[["age"]].to_numpy(), "energy")
    assert arrays.settings["scale"] == Scale.NONE.sentence
    assert arrays.columns == ("column 1",)
    x.loc[3, "age"] = np.nan
    with pytest.raises(ValueError, match="real: Input contains NaN"):
        dk.compare(x, y, FAST, labels=("real", "made"))
    dropped = dk.compare(x, y, FAST, missing=Missing.DROP, labels=("real", "made"))
    assert (dropped.x.rows, dropped.x.dropped, dropped.y.dropped) == (49, 1, 0)
    assert "49 rows, 1 dropped" in dropped.table()


def test_what_can_be_compared() -> None:
    x, y = normal(20), normal(20, seed=1)
    expected = dk.compare(x, y, "energy").rows[0].estimate.value  # type: ignore[union-attr]
    joint = (x[:, :1], x[:, 1:]), (y[:, :1], y[:, 1:])
    for a, b in [(x.numpy(), y.numpy()), (x.tolist(), y.tolist()), (Measure(x), y), joint]:
        assert dk.compare(a, b, "energy").rows[0].estimate.value == pytest.approx(expected, rel=1e-5)  # type: ignore[union-attr]
    scaled = [dk.compare(a, b, "energy", scale="mad").rows[0].estimate.value for a, b in ((x, y), (x.numpy(), y.numpy()))]  # type: ignore[union-attr]
    assert scaled[0] == scaled[1]
    dk.compare(x.bfloat16(), y.bfloat16(), "energy", scale="sd")
    images = dk.compare(normal(9, 9).reshape(9, 1, 3, 3), normal(8, 9, seed=1).reshape(8, 1, 3, 3), "energy")
    assert images.columns == ()
    assert "columns:" not in images.table()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"divergences": []}, "divergences is empty; name at least one"),
        ({"divergences": ["energy", "foo"]}, "unknown divergence 'foo'"),
        ({"scale": "iqr"}, "scale must be none, sd or mad; got 'iqr'"),
        ({"missing": "fill"}, "missing must be refuse or drop; got 'fill'"),
        ({"max_rows": 1}, "max_rows must be a whole number of at least 2; got 1"),
        ({"permutations": 0}, "permutations must be a whole number of at least 1"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"columns": ["a"]}, "selects columns of tables by name"),
        ({"x": Measure([[1.0], [2.0]]), "scale": "sd"}, "columns, scale and missing are for tables and arrays"),
    ],
)
def test_compare_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        dk.compare(**{"x": normal(9), "y": normal(9), "divergences": FAST, **arguments})


def test_weighted_samples_have_no_pvalue() -> None:
    made = dk.compare(Measure(normal(9), range(1, 10)), normal(9, seed=1), "w2", test=True, permutations=9)
    assert made.rows[0].pvalue is None
    assert "not exchangeable" in made.rows[0].reasons["pvalue"]


def test_weights_and_groups_stand_beside_the_samples() -> None:
    x, y = normal(40), normal(30, seed=1)
    weights, groups = torch.arange(1, 41), np.arange(40) // 2
    beside = dk.compare(x, y, FAST, weights_x=weights, groups_x=groups)
    measure = dk.compare(Measure(x, weights, groups), y, FAST)
    for row, other in zip(beside.rows, measure.rows):
        assert row.estimate is not None and other.estimate is not None
        assert (row.estimate.value, row.estimate.stderr) == (other.estimate.value, other.estimate.stderr)
        assert row.yardstick == other.yardstick
    alone = dk.estimate("energy", x, y, weights_x=weights, groups_x=groups)
    assert beside.rows[0].estimate is not None
    assert beside.rows[0].estimate.stderr == alone.stderr
    assert "weights_x=weights_x, groups_x=groups_x" in beside.settings.command
    with pytest.raises(ValueError, match="x is a Measure and has groups already"):
        dk.compare(Measure(x), y, FAST, groups_x=groups)


def test_rows_that_are_dropped_take_their_weights_and_groups_along() -> None:
    values, weights, groups = np.arange(12.0), np.arange(1.0, 13.0), [*"aabbccddeeff"]
    gaps = values.copy()
    gaps[[2, 5]] = np.nan
    left = np.isfinite(gaps)
    y = pd.DataFrame({"a": normal(9, 1)[:, 0].numpy()})
    for x, other in ((pd.DataFrame({"a": gaps}), y), (gaps, y["a"].to_numpy())):
        made = dk.compare(x, other, "w1", scale="none", missing="drop", weights_x=weights, groups_x=groups)
        row = made.rows[0].estimate
        assert row is not None
        kept = Measure(values[left], weights[left], np.array(groups)[left])
        expected = dk.estimate("w1", kept, other if isinstance(other, np.ndarray) else other.to_numpy())
        assert row.value == pytest.approx(expected.value, rel=1e-12)
        assert row.stderr == pytest.approx(expected.stderr, rel=1e-12)
        with pytest.raises(ValueError, match="weights_x has 10 entries for 12 samples"):
            dk.compare(x, other, "w1", missing="drop", weights_x=weights[left])
        with pytest.raises(ValueError, match=r"groups_x must be one label per row, shape \(12,\)"):
            dk.compare(x, other, "w1", missing="drop", groups_x=groups[:10])


def test_halves_of_x_are_of_whole_groups() -> None:
    """A patient with rows in both halves would make them too much alike."""
    x, groups = normal(41), np.repeat(["a", "b", "c", "d"], [9, 12, 9, 11])
    halves = Run(Measure(x, groups=groups), Measure(x), [], 2000, 0).halves[False]
    assert halves is not None
    here, there = set(halves.x.groups), set(halves.y.groups)
    assert here | there == set("abcd") and not here & there
    assert abs(halves.x.n - halves.y.n) <= 5
    alone = dk.compare(x, x + 1, "w1", groups_x=np.zeros(41)).rows[0]
    assert alone.reasons["yardstick"] == "one sample has no halves"


def test_what_makes_a_divergence_is_compared() -> None:
    x, y = normal(40), normal(30, seed=1)
    single = dk.compare(x, y, dk.fdiv.KL)
    several = dk.compare(x, y, (kind for kind in (dk.fdiv.KL, "energy")))
    assert [row.name for row in several.rows] == [single.rows[0].name, "energy"]
    assert single.rows[0].estimate is not None and several.rows[0].estimate is not None
    assert single.rows[0].estimate.value == several.rows[0].estimate.value


def test_settings_can_be_read_as_a_mapping() -> None:
    settings = dk.compare(normal(9), normal(9, seed=1), "energy", seed=3).settings
    assert settings["seed"] == settings.seed == dict(settings)["seed"] == 3
    keys = ["seed", "scale", "missing", "max_rows", "permutations", "seconds", "versions", "command"]
    assert list(settings) == keys
    assert settings.get("colour", "none") == "none"
    with pytest.raises(KeyError):
        settings["get"]


def test_lost_precision_is_said_once() -> None:
    offset = torch.full((60, 1), 1e7) + normal(60, 1)
    notes = dk.compare(offset, offset + 1, FAST, test=True, permutations=9, max_rows=20).notes
    assert sum("subtract the offset" in note for note in notes) == 1


def test_seeds_and_global_state() -> None:
    x, y = normal(40), normal(30, seed=1)
    before = x.clone()
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    runs = [dk.compare(x, y, FAST, test=True, permutations=19, max_rows=30, seed=s) for s in (0, 0, 1)]

    def numbers(made: Comparison) -> list[Any]:
        return [(row.estimate.value, row.yardstick, row.pvalue) for row in made.rows if row.estimate]

    assert numbers(runs[0]) == numbers(runs[1]) != numbers(runs[2])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert torch.equal(x, before)


def test_the_command_repeats_the_numbers() -> None:
    x, y = normal(40), normal(30, seed=1)
    made = dk.compare(x, y, FAST, scale="sd", max_rows=20, test=True, permutations=9, seed=3)
    again = eval(made.settings.command, {"dk": dk, "x": x, "y": y})
    assert [r.pvalue for r in again.rows] == [r.pvalue for r in made.rows]
    assert again.settings["command"] == made.settings.command
    assert {"python", "torch", "divkit", "numpy", "POT", "scikit-learn"} <= made.settings["versions"].keys()


def test_progress_reaches_its_totals() -> None:
    seen: dict[str, list[int]] = {}

    @contextmanager
    def progress(title: str, total: int) -> Iterator[Any]:
        seen[title] = [total, 0]

        def done(steps: int) -> None:
            seen[title][1] += steps

        yield done

    dk.compare(normal(20), normal(20, seed=1), [*FAST, Fake("bad", "raise")], test=True, permutations=40, progress=progress)
    relabelled = {key: [40, 40] for key in ("energy, relabelled", "sliced-w2, relabelled", "adaptive test")}
    assert seen == {"divergences": [6, 6], **relabelled}


def test_table_is_plain_and_inert() -> None:
    made = dk.compare(normal(20), normal(20, seed=1), FAST, labels=("[red]x[/red]\x1b[2J", ":smile:\u202e"))
    text = made.table()
    assert repr(made) == text
    assert "[red]x[/red]\\x1b[2J" in text
    assert ":smile:\\u202e" in text
    assert "\x1b" not in text
    assert all(len(line) <= 100 and line == line.rstrip() for line in text.splitlines())


def test_default_names_exist() -> None:
    assert set(DEFAULT) <= set(dk.names())


def test_report(tmp_path: Path) -> None:
    dk.compare(normal(20), normal(20, seed=1), FAST).report(tmp_path / "r.html")
    assert "energy" in (tmp_path / "r.html").read_text()
