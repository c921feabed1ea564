"""Which relabellings a test draws from: of rows, of whole groups, or within groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice, product

import numpy as np
from numpy.typing import NDArray

from divkit.data.measure import Measure, grouped

__all__ = ["Relabelling"]

Labels = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Relabelling:
    """The labels of the pooled sample, True for x, and which of them may change places.

    Rows of one unit keep together, and units of one stratum change places. Without groups every row is a unit and all are in
    one stratum. A group within one sample is a unit, and such groups change places with each other. A group with rows in both
    samples is a stratum of its own.
    """

    unit: NDArray[np.intp]  # (N,) of a row
    stratum: NDArray[np.intp]  # (U,) of a unit
    label: Labels  # (U,) of a unit
    scheme: str = "of the pooled sample"

    @classmethod
    def of(cls, x: Measure, y: Measure) -> Relabelling:
        """Of rows, or by the groups that the samples have."""
        observed = np.arange(x.n + y.n) < x.n
        codes = grouped(x, y)
        if codes is None:
            return cls(np.arange(len(observed)), np.zeros(len(observed), dtype=np.intp), observed)
        return cls._by_group(np.concatenate(codes), observed)

    @classmethod
    def pairs(cls, n: int) -> Relabelling:
        """Of n rows of x and n of y, row i of one with row i of the other: signs at random, the wild bootstrap."""
        rows = np.arange(n)
        return cls(np.arange(2 * n), 1 + np.concatenate([rows, rows]), np.arange(2 * n) < n, "within pairs of rows")

    @classmethod
    def _by_group(cls, codes: NDArray[np.intp], observed: Labels) -> Relabelling:
        """`codes` count from 0 without gaps."""
        of_x, size = np.bincount(codes, observed), np.bincount(codes)
        mixed = ((of_x > 0) & (of_x < size))[codes]
        # a row of a mixed group is a unit of its own, whose stratum is the group; a pure group is a unit of stratum 0
        keys = np.where(mixed, len(size) + np.arange(len(codes)), codes)
        _, first, unit = np.unique(keys, return_index=True, return_inverse=True)
        stratum = np.where(mixed[first], 1 + codes[first], 0)
        scheme = "within groups" if mixed.all() else "of whole groups" if not mixed.any() else "of groups and within groups"
        return cls(unit, stratum, observed[first], scheme)

    @property
    def observed(self) -> Labels:
        return self.label[self.unit]

    def count(self, limit: int) -> int:
        """How many there are, the observed one included, or some number above `limit` where there are more."""
        total = 1
        for members in self.strata():
            size, chosen, ways = len(members), int(self.label[members].sum()), 1
            for i in range(1, min(chosen, size - chosen) + 1):
                ways = ways * (size - i + 1) // i  # binomial(size, i)
                if total * ways > limit:
                    return total * ways
            total *= ways
        return total

    def all(self, size: int) -> Iterator[Labels]:
        """Each but the observed, in batches (b, N) of at most `size`."""
        strata = list(self.strata())
        choices = (combinations(members, int(self.label[members].sum())) for members in strata)
        others = (label for label in map(self._chosen, product(*choices)) if not np.array_equal(label, self.label))
        for batch in iter(lambda: list(islice(others, size)), []):
            yield np.stack(batch)[:, self.unit]

    def drawn(self, count: int, size: int, seed: int) -> Iterator[Labels]:
        """As many at random, in batches (b, N) of at most `size`: the same ones whatever the size."""
        generator = np.random.default_rng(seed)
        for start in range(0, count, size):
            rows = min(size, count - start)
            if self.stratum.any():
                yield self._shuffled(generator.random((rows, len(self.stratum))))[:, self.unit]
            else:
                yield generator.permuted(np.tile(self.label, (rows, 1)), axis=1)[:, self.unit]

    def strata(self) -> Iterator[NDArray[np.intp]]:
        """The units of each."""
        order = np.argsort(self.stratum, kind="stable")
        yield from np.split(order, np.flatnonzero(np.diff(self.stratum[order])) + 1)

    def _chosen(self, parts: tuple[tuple[int, ...], ...]) -> Labels:
        label = np.zeros(len(self.label), dtype=np.bool_)
        label[[member for part in parts for member in part]] = True
        return label

    def _shuffled(self, keys: NDArray[np.float64]) -> Labels:  # keys: (b, U) in [0, 1) -> (b, U)
        """Within each stratum, its labels in the order of the keys."""
        by_stratum = np.argsort(self.stratum, kind="stable")
        order = np.argsort(self.stratum + keys, axis=1)
        made = np.empty(keys.shape, dtype=np.bool_)
        np.put_along_axis(made, order, np.broadcast_to(self.label[by_stratum], keys.shape), 1)
        return made
