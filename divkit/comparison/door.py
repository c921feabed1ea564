"""The call that compares two sample sets by several divergences."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from divkit.comparison.comparison import Comparison
from divkit.comparison.findings import Sample
from divkit.comparison.run import Run
from divkit.core import registry
from divkit.core.divergence import Divergence
from divkit.core.estimate import ConvergenceWarning
from divkit.data.arrays import refuse_path
from divkit.data.cleaning import Missing, Scale
from divkit.data.encoding import Encoded, encode
from divkit.data.measure import Measure, pair
from divkit.support.checks import whole
from divkit.support.progress import Progress, silent

__all__ = ["DEFAULT", "compare"]

DEFAULT = ("energy", "mmd", "w2", "sinkhorn", "sliced-w2", "kl", "js", "tv")
MAX_ROWS = 2000  # the default list then takes about a minute
PACKAGES = ("divkit", "torch", "numpy", "scipy", "POT", "scikit-learn")

Choice = TypeVar("Choice", Missing, Scale)


def compare(
    x: Any,
    y: Any,
    divergences: str | Divergence | Sequence[str | Divergence] = DEFAULT,
    *,
    columns: Sequence[str] | None = None,
    scale: Scale | str | None = None,
    missing: Missing | str = Missing.REFUSE,
    max_rows: int = MAX_ROWS,
    test: bool = False,
    permutations: int = 199,
    seed: int = 0,
    labels: tuple[str, str] = ("x", "y"),
    progress: Progress | None = None,
) -> Comparison:
    """Several divergences of x from y, each with a yardstick: the same between two random halves of x.

    Problems that several divergences share are solved once. A divergence that cannot be had is a row that says why.

    Parameters
    ----------
    x, y : data frame, array-like (n, *event), (m, *event), or Measure
        Columns of data frames are matched by name.
    divergences : sequence of str or Divergence
    columns : sequence of str, optional
        The data frames' columns to use; all by default.
    scale : Scale or {"none", "sd", "mad"}, optional
        By default data frames are scaled by the pooled standard deviation, arrays keep their units.
    missing : Missing or {"refuse", "drop"}
    max_rows : int
        Above it, divergences that compare all pairs use a random subsample of that many rows.
    test : bool
        Add permutation p-values, also corrected by Holm's method for the number of divergences, and the verdict of the adaptive
        test, from at most 2 000 random rows a side. Where each relabelling has to be solved anew, p-values come from 300.
    permutations, seed : int
    labels : tuple of str
        What to call x and y.
    progress : callable, optional
        Such as `divkit.support.progress.bars`.

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
    asked = [divergences] if isinstance(divergences, str | Divergence) else list(divergences)
    made = [registry.named(divergence) for divergence in dict.fromkeys(asked)]
    if not made:
        raise ValueError("divergences is empty; name at least one, such as 'energy'.")
    frames = _is_table(x) or _is_table(y)
    units = (Scale.SD if frames else Scale.NONE) if scale is None else _choice("scale", Scale, scale)
    notes: list[str] = []
    with _collected(notes):
        p, q, encoded = _measures(x, y, columns, units, _choice("missing", Missing, missing), labels)
        run = Run(p, q, made, max_rows, seed)
        rows = run.rows(progress or silent)
        if test:
            rows = run.tested(rows, permutations, progress or silent)
    used = permutations if test else 0
    return Comparison(
        x=Sample(labels[0], p.n, encoded.dropped[0], p),
        y=Sample(labels[1], q.n, encoded.dropped[1], q),
        columns=encoded.names,
        source=encoded.source,
        categorical=encoded.categorical,
        rows=tuple(rows),
        shared=tuple(run.shared),
        settings={
            "seed": seed,
            "scale": encoded.scale,
            "missing": _choice("missing", Missing, missing).value,
            "max_rows": max_rows,
            "permutations": used,
            "seconds": time.perf_counter() - started,
            "versions": {"python": python_version(), **{name: _version(name) for name in PACKAGES}},
            "command": _command([name for name, _ in made], columns, units, missing, max_rows, used, seed),
        },
        notes=(*encoded.notes, *run.notes(labels, tested=test), *dict.fromkeys(notes)),
        verdict=run.verdict,
        units=encoded.units,
    )


def _command(
    names: Sequence[str],
    columns: Sequence[str] | None,
    scale: Scale,
    missing: Missing | str,
    max_rows: int,
    permutations: int,
    seed: int,
) -> str:
    """What to type for the same numbers."""
    parts = [f"dk.compare(x, y, {list(names)}", f"scale={scale.value!r}", f"max_rows={max_rows}", f"seed={seed}"]
    if columns is not None:
        parts.append(f"columns={list(columns)}")
    if _choice("missing", Missing, missing) is Missing.DROP:
        parts.append("missing='drop'")
    if permutations:
        parts += ["test=True", f"permutations={permutations}"]
    return ", ".join(parts) + ")"


def _is_table(data: Any) -> bool:
    return not isinstance(data, Tensor | np.ndarray | Measure) and hasattr(data, "columns")


def _choice(name: str, kind: type[Choice], value: Choice | str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        *others, last = (k.value for k in kind)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}; got {value!r}.") from None


def _measures(
    x: Any, y: Any, columns: Sequence[str] | None, scale: Scale, missing: Missing, labels: tuple[str, str]
) -> tuple[Measure, Measure, Encoded]:
    """Both samples through the doors: tables and matrices are encoded; measures and joint samples are taken as they are."""
    if not (_is_table(x) or _is_table(y)):
        plain = columns is None and scale is Scale.NONE and missing is Missing.REFUSE
        ready = any(isinstance(data, Measure | tuple) for data in (x, y))
        if ready and not plain:
            raise ValueError("columns, scale and missing are for tables and arrays; x or y is a Measure or a joint sample.")
        if ready or (plain and isinstance(x, Tensor) and isinstance(y, Tensor)):
            p, q = pair(x, y)
            d = p.flat.shape[1] if all(len(shape) == 1 for shape in p.event_shapes) else 0
            names = tuple(f"column {place}" for place in range(1, d + 1))
            return p, q, Encoded(np.empty(0), np.empty(0), names, names, (), scale.sentence, (0, 0), (), ())
        x, y = (_array(data, label) for data, label in zip((x, y), labels))
    encoded = encode(x, y, columns=columns, scale=scale, missing=missing, labels=labels)
    p, q = pair(encoded.x, encoded.y)
    return p, q, encoded


def _array(data: Any, label: str) -> Any:
    refuse_path(data, label)
    if isinstance(data, Tensor):
        return (data.float() if data.dtype == torch.bfloat16 else data).numpy(force=True)
    return np.asarray(data)


@contextmanager
def _collected(notes: list[str]) -> Iterator[None]:
    """Warnings become notes; what was not solved shows in its row."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    notes.extend(str(w.message) for w in caught if not issubclass(w.category, ConvergenceWarning))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
