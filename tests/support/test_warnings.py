"""A warning shows the user's line, however deep in the library it was raised."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch

import divkit as dk

X = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
FAR = X + 1e6  # in float32, where it rounds by a sixteenth
SHARP = dk.get("sinkhorn", epsilon=1e-5, sweeps=1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: dk.estimate("w2", FAR, FAR + 1),
        lambda: dk.get("energy").loss(FAR, FAR + 1),
        lambda: SHARP.estimate(X, X.flip(1) + 1),
        lambda: dk.test("energy", X, X + 1, permutations=9),
        lambda: dk.test("adaptive", X, X + 1, permutations=9),
        lambda: dk.estimate(SHARP, X, X.flip(1) + 1),
    ],
)
def test_it_points_here(call: Callable[[], object]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert caught
    assert {w.filename for w in caught} == {__file__}, [str(w) for w in caught]
