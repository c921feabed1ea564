"""Packed minima: of every group the least, where it is, in the order of the numbers."""

from __future__ import annotations

import pytest
import torch

from divkit.pairs.group_minima import group_minima


@pytest.mark.parametrize("place_bits", [1, 4])
@pytest.mark.parametrize("shape", [(48, 64), (5, 37), (16, 3)])
@pytest.mark.parametrize("dim", [0, 1])
def test_of_each_group_the_least(dim: int, shape: tuple[int, int], place_bits: int) -> None:
    scales = 10.0 ** torch.arange(-20, shape[1] - 20).clamp(max=15)
    tile = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * scales
    lines = tile if dim else tile.T
    packed, index = group_minima(tile, dim, place_bits)
    groups = -(-lines.shape[1] // 2**place_bits)
    assert packed.shape == index.shape == (len(lines), groups)
    least = lines.gather(1, index.long())
    for group in range(groups):
        members = lines[:, group::groups]
        assert torch.equal(index[:, group] % groups, torch.full((len(lines),), group))
        assert bool((least[:, group] <= members.amin(1) * (1 + 2.0 ** (place_bits - 23))).all())
    order = packed.flatten().argsort()  # packed numbers are in the order of the minima, to the bits that are left
    assert bool((least.flatten()[order][1:] >= least.flatten()[order][:-1] * (1 - 2.0 ** (place_bits - 23))).all())


def test_zeros_and_infinities_have_their_places() -> None:
    tile = torch.full((1, 16), torch.inf)
    tile[0, 5] = 0.0
    assert group_minima(tile, 1, 4)[1].tolist() == [[5]]
    assert group_minima(tile.expand(1, 16).T.contiguous(), 0, 4)[1].tolist() == [[5]]
