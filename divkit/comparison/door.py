"""The call that compares two sample sets by several divergences."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from divkit.comparison.comparison import Comparison
from divkit.comparison.findings import Sample, Settings
from divkit.comparison.run import Run
from divkit.core import registry
from divkit.core.estimate import ConvergenceWarning
from divkit.data.arrays import checked_groups, checked_weights, refuse_path
from divkit.data.cleaning import Missing, Scale
from divkit.data.encoding import Encoded, encode
from divkit.data.frames import is_frame
from divkit.data.measure import Measure, pair
from divkit.support.checks import whole
from divkit.support.progress import Progress, silent

__all__ = ["DEFAULT", "compare"]

DEFAULT = ("energy", "mmd", "w2", "sinkhorn", "sliced-w2", "kl", "js", "tv")
PACKAGES = ("divkit", "torch", "numpy", "scipy", "POT", "scikit-learn")

Choice = TypeVar("Choice", Missing, Scale)


def compare(
    x: Any,
    y: Any,
    divergences: Any = DEFAULT,
    *,
    weights_x: Any = None,
    weights_y: Any = None,
    groups_x: Any = None,
    groups_y: Any = None,
    columns: Sequence[str] | None = None,
    scale: Scale | str | None = None,
    missing: Missing | str = Missing.REFUSE,
    max_rows: int = 2000,
    test: bool = False,
    permutations: int = 199,
    seed: int = 0,
    labels: tuple[str, str] = ("x", "y"),
    progress: Progress | None = None,
) -> Comparison:
    """Return several divergences of x from y, each with a yardstick: its value between two random halves of x.

    Problems that several divergences share are solved once. A divergence that fails is a row that says why.

    Parameters
    ----------
    x, y : data frame, array-like (n, *event), (m, *event), or Measure
        Columns of data frames are matched by name.
    divergences : str, Divergence or what makes one, or several of these
        Names, which may carry options (``"alpha:order=.5"``), divergences, records, duals and kernels.
    weights_x, weights_y : array-like (n,), (m,), optional
        Importance weights, not counts. Permutation tests need samples without weights.
    groups_x, groups_y : array-like (n,), (m,), optional
        Labels of rows that depend on each other, as in `estimate`: errors and tests go by groups, and the halves of x are
        made of whole groups.
    columns : sequence of str, optional
        The data frames' columns to use; all by default.
    scale : Scale or {"none", "sd", "mad"}, optional
        By default data frames are scaled by the pooled standard deviation, arrays keep their units.
    missing : Missing or {"refuse", "drop"}
        A row that is dropped takes its weight and its group along.
    max_rows : int
        Above it, divergences that compare all pairs use a random subsample of that many rows. With 2000 the default list takes
        about a minute.
    test : bool
        Add permutation p-values, also corrected by Holm's method for the number of divergences, and the verdict of the adaptive
        test, from at most 2 000 random rows a side. Where each relabelling has to be solved anew, p-values come from 300.
    permutations, seed : int
    labels : tuple of str
        What to call x and y.
    progress : callable, optional
        A display of progress, such as `divkit.support.progress.bars`.

    Raises
    ------
    ValueError, TypeError
        For unknown names and settings, and for data that are not comparable samples.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    >>> comparison = dk.compare(x, x + 1.0, ["energy", "w2"])
    >>> [row.name for row in comparison.rows if row.estimate.ci()[0] > row.yardstick]
    ['energy', 'w2']
    """
    started = time.perf_counter()
    for name, number, least in (("max_rows", max_rows, 2), ("permutations", permutations, 1), ("seed", seed, 0)):
        whole(name, number, least)
    single = isinstance(divergences, str) or not isinstance(divergences, Iterable)
    named = [registry.named(divergence) for divergence in dict.fromkeys([divergences] if single else divergences)]
    if not named:
        raise ValueError("divergences is empty; name at least one, such as 'energy'.")
    sides = _Side("x", x, weights_x, groups_x, labels[0]), _Side("y", y, weights_y, groups_y, labels[1])
    rule = _choice("missing", Missing, missing)
    default = Scale.SD if is_frame(x) or is_frame(y) else Scale.NONE
    units = default if scale is None else _choice("scale", Scale, scale)
    notes: list[str] = []
    with _collected(notes):
        p, q, encoded = _measures(*sides, columns, units, rule)
        run = Run(p, q, named, max_rows, seed)
        rows = run.rows(progress or silent)
        if test:
            rows = run.tested(rows, permutations, progress or silent)
    options = {
        "scale": units.value,
        "max_rows": max_rows,
        "seed": seed,
        **({} if columns is None else {"columns": list(columns)}),
        **({"missing": rule.value} if rule is Missing.DROP else {}),
        **({"test": True, "permutations": permutations} if test else {}),
    }
    return Comparison(
        x=Sample(labels[0], p.n, encoded.dropped[0], p),
        y=Sample(labels[1], q.n, encoded.dropped[1], q),
        columns=encoded.names,
        source=encoded.source,
        categorical=encoded.categorical,
        rows=tuple(rows),
        shared=tuple(run.shared),
        settings=Settings(
            seed=seed,
            scale=encoded.scale,
            missing=rule.value,
            max_rows=max_rows,
            permutations=permutations if test else 0,
            seconds=time.perf_counter() - started,
            versions={"python": python_version(), **{name: _version(name) for name in PACKAGES}},
            command=_command([name for name, _ in named], sides, options),
        ),
        notes=(*encoded.notes, *run.notes(labels, tested=test), *dict.fromkeys(notes)),
        verdict=run.verdict,
        units=encoded.units,
    )


class _Side(NamedTuple):
    """A sample as the user gave it: ``letter`` is x or y, ``label`` what messages call it."""

    letter: str
    data: Any
    weights: Any
    groups: Any
    label: str

    def of(self, mask: NDArray[np.bool_]) -> _Side:
        """Return the weights and groups of the rows that are kept."""
        if mask.all():
            return self
        weights, groups = self.weights, self.groups
        if weights is not None:
            weights = checked_weights(weights, len(mask), torch.device("cpu"), f"weights_{self.letter}")[torch.from_numpy(mask)]
        if groups is not None:
            groups = checked_groups(groups, len(mask), f"groups_{self.letter}")[mask]
        return self._replace(weights=weights, groups=groups)


def _command(names: Sequence[str], sides: tuple[_Side, _Side], options: Mapping[str, Any]) -> str:
    """Return what to type for the same numbers; data, weights and groups stand for themselves."""
    beside = [f"{kind}_{side.letter}" for kind in ("weights", "groups") for side in sides if getattr(side, kind) is not None]
    arguments = ["x", "y", repr(list(names)), *(f"{name}={name}" for name in beside)]
    return f"dk.compare({', '.join([*arguments, *(f'{key}={value!r}' for key, value in options.items())])})"


def _choice(name: str, kind: type[Choice], value: Choice | str) -> Choice:
    """Return the member that the user means."""
    try:
        return kind(value)
    except ValueError:
        *others, last = (k.value for k in kind)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}; got {value!r}.") from None


def _measures(
    x: _Side, y: _Side, columns: Sequence[str] | None, scale: Scale, missing: Missing
) -> tuple[Measure, Measure, Encoded]:
    """Return both samples as measures: tables and matrices are encoded; measures and joint samples are taken as they are."""
    if not (is_frame(x.data) or is_frame(y.data)):
        plain = columns is None and scale is Scale.NONE and missing is Missing.REFUSE
        ready = any(isinstance(side.data, Measure | tuple) for side in (x, y))
        if ready and not plain:
            raise ValueError("columns, scale and missing are for tables and arrays; x or y is a Measure or a joint sample.")
        if ready or (plain and isinstance(x.data, Tensor) and isinstance(y.data, Tensor)):
            p, q = _pair(x, y)
            d = p.flat.shape[1] if all(len(shape) == 1 for shape in p.event_shapes) else 0
            names = tuple(f"column {place}" for place in range(1, d + 1))
            nothing, kept = np.empty(0), (np.ones(p.n, bool), np.ones(q.n, bool))
            return p, q, Encoded(nothing, nothing, names, names, (), scale.sentence, kept, (), ())
        x, y = (side._replace(data=_array(side.data, side.label)) for side in (x, y))
    encoded = encode(x.data, y.data, columns=columns, scale=scale, missing=missing, labels=(x.label, y.label))
    x, y = (side.of(mask) for side, mask in zip((x, y), encoded.kept))
    return *_pair(x._replace(data=encoded.x), y._replace(data=encoded.y)), encoded


def _pair(x: _Side, y: _Side) -> tuple[Measure, Measure]:
    """Return two samples as measures of one dtype, device and event shape."""
    return pair(x.data, y.data, x.weights, y.weights, x.groups, y.groups)


def _array(data: Any, label: str) -> Any:
    """Return numbers as a numpy array, or refuse a file name."""
    refuse_path(data, label)
    if isinstance(data, Tensor):
        return (data.float() if data.dtype == torch.bfloat16 else data).numpy(force=True)
    return np.asarray(data)


@contextmanager
def _collected(notes: list[str]) -> Iterator[None]:
    """Turn warnings into notes; what was not solved shows in its row."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    notes.extend(str(w.message) for w in caught if not issubclass(w.category, ConvergenceWarning))


def _version(package: str) -> str:
    """Return a package's version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
