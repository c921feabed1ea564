"""The door for names: what it finds, what it says of what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import divkit as dk
from divkit.core import registry
from divkit.support.spelling import OTHERWISE


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Names registered in a test are gone after it."""
    dk.names()
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    yield


def test_names_and_options() -> None:
    assert isinstance(dk.names(), tuple)
    assert registry.options("alpha")[0] == "order"
    assert registry.options("sinkhorn") == ("epsilon", "p", "tol", "sweeps", "reach", "cost")
    for name in dk.names():
        assert registry.options(name) is not None


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("sinkhorn:epsilon=.5", {"epsilon": 0.5}),
        ("sinkhorn:epsilon=1e-1, p=1", {"epsilon": 0.1, "p": 1}),
        ("energy:unbiased=false", {"unbiased": False}),
        ("energy:unbiased=True,exponent=1.5,", {"unbiased": True, "exponent": 1.5}),
        ("energy:", {}),
    ],
)
def test_options_may_be_written_behind_a_colon(text: str, fields: dict[str, Any]) -> None:
    assert dk.get(text) == dk.get(text.partition(":")[0], **fields)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("wasserstein", "w1 or w2"),
        ("W2", "w2"),
        ("emd", "w1 or w2"),
        ("KL", "kl"),
        ("kl-divergence", "kl"),
        ("MMD_laplace", "mmd-laplace"),
        ("Jensen-Shannon", "js or weighted-js"),
        ("chi2", "pearson or neyman"),
        ("total_variation_distance", "tv"),
        ("frechet", "fid or gaussian-w2"),
    ],
)
def test_what_a_name_is_called_elsewhere(written: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean {meant}\\?"):
        dk.get(written)


def test_other_names_lead_to_names() -> None:
    assert {name for found in OTHERWISE.values() for name in found} <= set(dk.names())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dk.get("enrgy"), "unknown divergence 'enrgy'; did you mean energy"),
        (lambda: dk.get("0000"), r"unknown divergence '0000'; dk.names\(\) and `divkit list` have all"),
        (lambda: dk.get(3), "a divergence is named by a string such as 'energy'; got int"),
        (lambda: dk.get("energy:unbiased"), "in 'energy:unbiased' the option 'unbiased' has no value; write NAME:key=value"),
        (lambda: dk.get("energy:exponent=one"), "option value 'one' is neither a number, true, false nor none"),
        (lambda: dk.get("energy", beta=1), "divergence 'energy' has no option beta; it has exponent, unbiased"),
        (lambda: dk.get("alpha"), "divergence 'alpha' needs order: write alpha:order="),
        (lambda: dk.get("energy:exponent=1", exponent=1), "exponent of 'energy:exponent=1' is given twice"),
        (lambda: dk.get("energy:exponent=3"), "exponent must lie strictly between 0 and 2; got 3"),
        (lambda: registry.named(None), "a divergence is named by a string, is a Divergence, .*; got NoneType"),
        (lambda: registry.named(dk.get("w2"), gap=1), r"fields \(gap\) go with a name; this divergence has its own"),
        (lambda: dk.register("energy", dk.get), "the name 'energy' is registered already; choose another"),
    ],
)
@pytest.mark.usefixtures("fresh")
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.usefixtures("fresh")
def test_a_new_name_works_everywhere() -> None:
    dk.register("energy-of-half", lambda: dk.get("energy", exponent=0.5))
    assert "energy-of-half" in dk.names()
    assert dk.estimate("energy-of-half", [0.0, 1.0], [2.0, 3.0]).name == "energy-of-half"
    assert registry.named("energy-of-half:")[0] == "energy-of-half:"


def test_a_broken_plug_in_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "broken"

        def load(self) -> None:
            raise RuntimeError("no such luck")

    monkeypatch.setattr(registry, "_loaded", [])
    monkeypatch.setattr(registry, "entry_points", lambda group: [Point()] if group == "divkit.divergences" else [])
    with pytest.warns(UserWarning, match="the plug-in 'broken' could not be loaded: RuntimeError"):
        assert "energy" in dk.names()
