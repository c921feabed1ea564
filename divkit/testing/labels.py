"""Relabellings of the pooled sample: of rows, of whole groups, or within groups."""

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
        """Return the relabelling of rows, or by the samples' groups where they have any."""
        observed = np.arange(x.n + y.n) < x.n
        codes = grouped(x, y)
        if codes is None:
            return cls(np.arange(len(observed)), np.zeros(len(observed), dtype=np.intp), observed)
        return cls._by_group(np.concatenate(codes), observed)

    @classmethod
    def pairs(cls, n: int) -> Relabelling:
        """Return the relabelling of the wild bootstrap: row i of n rows of x changes places with row i of n rows of y."""
        rows = np.arange(n)
        return cls(np.arange(2 * n), 1 + np.concatenate([rows, rows]), np.arange(2 * n) < n, "within pairs of rows")

    @classmethod
    def _by_group(cls, codes: NDArray[np.intp], observed: Labels) -> Relabelling:
        """Return the relabelling by groups; `codes` (N,) number them from 0 without gaps."""
        of_x, size = np.bincount(codes, observed), np.bincount(codes)
        mixed = ((of_x > 0) & (of_x < size))[codes]
        # a row of a mixed group is a unit of its own, whose stratum is the group; a pure group is a unit of stratum 0
        keys = np.where(mixed, len(size) + np.arange(len(codes)), codes)
        _, first, unit = np.unique(keys, return_index=True, return_inverse=True)
        stratum = np.where(mixed[first], 1 + codes[first], 0)
        scheme = "within groups" if mixed.all() else "of whole groups" if not mixed.any() else "of groups and within groups"
        return cls(unit, stratum, observed[first], scheme)

    @property
    def observed(self) -> Labels:  # (N,)
        """The label of every row as it came, True for x."""
        return self.label[self.unit]

    def count(self, limit: int) -> int:
        """Return how many relabellings there are with the observed one; some number above `limit` if there are more."""
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
        """Yield every relabelling but the observed one, in batches (b, N) of at most `size`."""
        strata = list(self.strata())
        choices = (combinations(members, int(self.label[members].sum())) for members in strata)
        others = (label for label in map(self._chosen, product(*choices)) if not np.array_equal(label, self.label))
        for batch in iter(lambda: list(islice(others, size)), []):
            yield np.stack(batch)[:, self.unit]

    def drawn(self, count: int, size: int, seed: int) -> Iterator[Labels]:
        """Yield `count` random relabellings in batches (b, N) of at most `size`; the size does not change which."""
        generator = np.random.default_rng(seed)
        for start in range(0, count, size):
            rows = min(size, count - start)
            if self.stratum.any():
                yield self._shuffled(generator.random((rows, len(self.stratum))))[:, self.unit]
            else:
                yield generator.permuted(np.tile(self.label, (rows, 1)), axis=1)[:, self.unit]

    def strata(self) -> Iterator[NDArray[np.intp]]:
        """Yield the units of each stratum."""
        order = np.argsort(self.stratum, kind="stable")
        yield from np.split(order, np.flatnonzero(np.diff(self.stratum[order])) + 1)

    def _chosen(self, parts: tuple[tuple[int, ...], ...]) -> Labels:
        """Return the label that is True for these units, listed by stratum."""
        label = np.zeros(len(self.label), dtype=np.bool_)
        label[[member for part in parts for member in part]] = True
        return label

    def _shuffled(self, keys: NDArray[np.float64]) -> Labels:  # keys: (b, U) in [0, 1) -> (b, U)
        """Return labels shuffled within each stratum by sorting its units' random keys."""
        by_stratum = np.argsort(self.stratum, kind="stable")
        order = np.argsort(self.stratum + keys, axis=1)
        labels = np.empty(keys.shape, dtype=np.bool_)
        np.put_along_axis(labels, order, np.broadcast_to(self.label[by_stratum], keys.shape), 1)
        return labels
