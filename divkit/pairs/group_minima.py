"""Minima over groups of a tile, each with its place packed into its low bits.

Cut a line of q numbers into groups of 2ᵇ: with g = q / 2ᵇ groups, group r holds the entries r, r + g, r + 2g, … . The bits of a
non-negative float32, read as a whole number, have the order of the numbers. Put the place of an entry in its group, below 2ᵇ,
in place of the b lowest bits:

    packed = bits(value) − (bits(value) mod 2ᵇ) + place.

Then the least packed number of a group holds both the minimum, in its upper bits, and where it is, in its lower ones. So one
vectorised minimum of whole numbers replaces minimum and argmin, and whatever follows has 2ᵇ times fewer numbers to look at.
Values are told apart to 23 − b bits: six digits for b = 4. Packed numbers are compared as they are; only their order counts.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["group_minima"]


def group_minima(tile: Tensor, dim: int, place_bits: int) -> tuple[Tensor, Tensor]:  # (p, q) -> (p or q, groups) twice
    """Find the least of each group along `dim` of a non-negative float32 tile: packed, and its index in the line."""
    size = 1 << place_bits
    missing = -tile.shape[dim] % size
    if missing:
        tile = pad(tile, (0, missing) if dim else (0, 0, 0, missing), value=torch.inf)
    groups = tile.shape[dim] // size
    place = torch.arange(size, dtype=torch.int32, device=tile.device)
    bits = tile.view(torch.int32).bitwise_and(-size)  # all but the lowest
    if dim:
        packed = bits.view(-1, size, groups).bitwise_or_(place[:, None]).amin(1)
    else:
        packed = bits.view(size, groups, -1).bitwise_or_(place[:, None, None]).amin(0).T.contiguous()
    return packed, (packed & (size - 1)) * groups + torch.arange(groups, dtype=torch.int32, device=tile.device)
