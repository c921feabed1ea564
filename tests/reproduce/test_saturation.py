"""The gradients of a generator under a perfect discriminator."""

import pytest

from divkit.reproduce import CASES, Setup
from divkit.reproduce.saturation import expected


@pytest.mark.parametrize("seed", [1, 2])
def test_every_row_holds(seed: int) -> None:
    rows = CASES["saturation"].run(Setup(seed=seed)).rows
    assert len(rows) == 24
    assert [row.quantity for row in rows if not row.passed] == []


def test_one_saturates_and_the_other_does_not() -> None:
    far = expected(8.0)
    assert far["saturating"] < 0.01
    assert far["non-saturating"] > 7.99
