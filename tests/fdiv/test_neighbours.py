"""Nearest-neighbour KL: ties, bias as documented, refusals."""

from __future__ import annotations

import pytest
import torch

import divkit as dk


def test_ties_carry_no_information_and_are_counted() -> None:
    x = torch.arange(40.0).repeat_interleave(8)[:, None]
    e = dk.estimate("kl-knn", x, x)
    assert e.notes["tied_share"] == 1.0
    assert abs(e.value) < 0.01


def test_bias_is_what_the_docstring_says() -> None:
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(20):
        x, y = torch.randn(1000, 10, generator=generator), torch.randn(1000, 10, generator=generator)
        x[:, 0] += 1
        values.append(dk.estimate("kl-knn", x, y).value)
    assert -0.35 < torch.tensor(values).mean() / 0.5 - 1 < -0.1


def test_refusals() -> None:
    x = torch.randn(6, 1)
    with pytest.raises(ValueError, match="minimum of 6 is required: x for k=5"):
        dk.estimate("kl-knn", x[:5], x)
    with pytest.raises(ValueError, match="minimum of 5 is required: y for k=5"):
        dk.estimate("kl-knn", x, x[:4])
    with pytest.raises(ValueError, match="k must be a whole number of at least 1; got 0"):
        dk.get("kl-knn", k=0)
    with pytest.raises(ValueError, match="takes no weights_x"):
        dk.estimate("kl-knn", x, x, weights_x=torch.arange(6.0))
