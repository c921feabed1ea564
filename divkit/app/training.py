"""`divkit train`: data by name or from a file, a model by name, and what is shown and written while it trains."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from divkit.data.encoding import encode
from divkit.data.frames import Kind, Table
from divkit.models import Data, build, fit, load
from divkit.models.data import SETS, mosaic, split
from divkit.models.model import Autoencoder
from divkit.support.words import quoted
from divkit.support.writing import write

__all__ = ["Order", "Summary", "train"]

@dataclass(frozen=True)
class Order:
    """What the user wants trained, as the command line takes it."""

    model: str
    data: str
    divergence: str | None
    out: Path | None
    settings: Mapping[str, Any]  # fields of `divkit.models.Training`; for those that are None the recipe has its own
    resume: bool = False
    tensorboard: bool = False


@dataclass(frozen=True)
class Summary:
    """How a training ended."""

    title: str
    out: Path
    history: list[dict[str, float]]
    seconds: float


def train(order: Order) -> Summary:
    """Train a model, with a checkpoint, metrics and pictures in the order's directory."""
    settings = {key: value for key, value in order.settings.items() if value is not None}
    seed = settings.get("seed", 0)
    data = _data(order.data, seed)
    model, training = build(order.model, data, order.divergence, seed)
    out = order.out or Path("runs") / _safe("-".join(filter(None, (order.model, data.name, order.divergence))))
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; name a directory.")
    watcher = _Watcher(out, data, started=time.monotonic(), tensorboard=_writer(out) if order.tensorboard else None)
    history = fit(
        model,
        data.train,
        replace(training, **settings),
        test=data.test,
        out=out,
        resume=order.resume,
        progress=watcher.bar,
        watch=watcher.look,
    )
    title = f"{order.model} on {data.name}" + (f" by {order.divergence}" if order.divergence else "")
    return Summary(title, out, history, time.monotonic() - watcher.started)


def _safe(name: str) -> str:
    """Return a name that any file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)


def _data(name: str, seed: int) -> Data:
    """Return a set by its name, or the points in a file, columns of numbers in units of their standard deviations."""
    path = Path(name)
    if name in SETS or (not path.exists() and not path.suffix):
        return load(name, seed)  # which says what there is
    from divkit.data.files import read

    content = read(path)
    points, words = _encoded(content, path) if isinstance(content, Table) else (content, [])
    x = torch.from_numpy(np.asarray(points, dtype=np.float32))
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"NaN or infinite values in {path}; fill them in, or leave those rows out.")
    data = split(_safe(path.stem), x[:, None] if x.ndim == 1 else x, None, torch.Generator().manual_seed(seed))
    if data.train.ndim != 2:
        return data
    mean, deviation = data.train.mean(0), data.train.std(0)
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    mean[words], deviation[words] = 0.0, 1.0
    return replace(data, train=(data.train - mean) / deviation, test=(data.test - mean) / deviation)


def _encoded(content: Table, path: Path) -> tuple[NDArray[Any], list[int]]:
    """Return a table as points, words encoded as `divkit compare` does it, and which coordinates are of words."""
    others = [column.name for column in content.columns if column.kind not in (Kind.NUMBER, Kind.WORD)]
    if others:
        raise ValueError(f"{path}: the columns {quoted(others)} hold neither numbers nor words; leave them out.")
    if any(column.missing.any() for column in content.columns):
        raise ValueError(f"{path}: cells are empty; fill them in, or leave those rows out.")
    encoded = encode(content, content, labels=(str(path), str(path)))
    return encoded.x, [place for place, source in enumerate(encoded.source) if source in encoded.categorical]


def _writer(out: Path) -> Any:
    """Return tensorboard's writer."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ImportError("--tensorboard needs tensorboard: pip install tensorboard; or leave it out.") from None
    return SummaryWriter(str(out))


@dataclass
class _Watcher:
    """A display of a training: losses go to stderr, and samples are drawn at each look."""

    out: Path
    data: Data
    started: float
    tensorboard: Any
    show: Callable[[str], None] = field(default=lambda text: print(text, file=sys.stderr, flush=True))
    tiles: int = 64  # images in a picture, a square number
    points: int = 2000  # points in a picture of a cloud

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Callable[[int], object]]:
        """Show a bar with the losses of the last look in a terminal; elsewhere lines, at looks alone."""
        if not sys.stderr.isatty():
            yield lambda steps: None
            return
        from tqdm import tqdm

        with tqdm(total=total, desc=title, file=sys.stderr, leave=False, dynamic_ncols=True) as bar:
            self.show = lambda text: bar.set_postfix_str(text.partition(": ")[2], refresh=False)
            yield bar.update

    def look(self, model: nn.Module, line: Mapping[str, float]) -> None:
        """Show a line of metrics, and draw what the model makes."""
        parts = [f"{key} {value:.4g}" for key, value in line.items() if key != "step"]
        self.show(f"step {line['step']}: {', '.join(parts)}")
        if self.tensorboard is not None:
            for key in line.keys() - {"step"}:
                self.tensorboard.add_scalar(key, line[key], line["step"])
            self.tensorboard.flush()
        count = self.tiles if self.data.images else self.points
        samples = model.sample(count)  # type: ignore[operator]
        name = "samples.png" if line["step"] else "samples-start.png"
        write(self.out / name, _picture(self.data, self.data.test[:count], samples))
        if self.data.images and isinstance(model, Autoencoder) and line["step"]:
            x = self.data.test[: self.tiles // 2]
            pairs = torch.stack([x, model.reconstruct(x)], 1).flatten(0, 1)
            write(self.out / "reconstructions.png", _picture(self.data, None, pairs))


def _picture(data: Data, real: Tensor | None, samples: Tensor) -> bytes:
    """Draw images as a square of tiles, points as a cloud beside the data's."""
    figure = Figure(figsize=(4, 4), layout="constrained")
    ax = figure.subplots()
    if data.images:
        ax.imshow(mosaic(samples), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        ax.set_axis_off()
    else:
        for points, colour, label in ((real, "#b9b6ae", "data"), (samples, "#0b5c8f", "model")):
            if points is not None:
                flat = points.flatten(1)
                ax.scatter(flat[:, 0], flat[:, 1 % flat.shape[1]], s=3, color=colour, label=label, linewidths=0)
        ax.legend(frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120, metadata={"Software": None})
    return out.getvalue()
