"""Laws in float64, by short names."""

from __future__ import annotations

import pytest
import torch
import torch.distributions as td


def f64(value: object) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def law(kind: type[td.Distribution], *parameters: object, **named: object) -> td.Distribution:
    return kind(*map(f64, parameters), **{key: f64(value) for key, value in named.items()})


@pytest.fixture
def fgan() -> td.Distribution:
    """f-GAN's mixture: .33 N(−1, .065) + .67 N(2, 2), variances."""
    components = td.Normal(f64([-1.0, 2.0]), f64([0.065, 2.0]).sqrt())
    return td.MixtureSameFamily(td.Categorical(f64([0.33, 0.67])), components)
