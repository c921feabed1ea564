"""The packed sort: as stable as an argsort, whatever the numbers."""

from __future__ import annotations

import pytest
import torch

from divkit.lines.packed import packed_sort


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sorting_orders_any_numbers_stably(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    lines = torch.randn(7, 500, generator=generator, dtype=dtype)
    lines[1] = lines[1].round()  # ties, zeros of both signs
    lines[2] = 1e8 + lines[2]  # alike in the highest bits
    lines[3] *= torch.finfo(dtype).smallest_normal / 4
    lines[4] = lines[4].sign() * torch.finfo(dtype).max
    lines[5] = 3.0
    lines[6] = 1 + 2e-14 * lines[6]  # alike but for the lowest bits, which make room for places
    order, values = packed_sort(lines)
    expected = lines.sort(stable=True, dim=1)
    assert torch.equal(values, expected.values)
    assert torch.equal(lines.gather(1, order), values)
    assert torch.equal(order[2:], expected.indices[2:])


@pytest.mark.parametrize("near", [2, 3, 9])
@pytest.mark.parametrize(("passes", "one_in"), [(4, 64), (1, 64), (4, 10**6)])
def test_a_few_numbers_that_differ_in_the_lowest_bits_are_put_right(near: int, passes: int, one_in: int) -> None:
    lines = torch.randn(2, 20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(near))
    for start in (0, 500, 19_000):  # falling by single bits, so that places order them the wrong way round
        bits = lines[1, start].view(torch.int64)
        lines[1, start : start + near] = (bits - bits.sign() * torch.arange(near)).view(torch.float64)
    lines[1, 700] = lines[1, 500]
    order, values = packed_sort(lines, passes=passes, one_in=one_in)
    expected = lines.sort(stable=True, dim=1)
    assert torch.equal(values, expected.values)
    assert torch.equal(order, expected.indices)
