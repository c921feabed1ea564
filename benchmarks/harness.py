"""Timings that compare: contestants of one task run alternately in one process, memory is that of a process of their own."""

from __future__ import annotations

import gc
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

__all__ = ["Contestant", "Measured", "duel", "environment", "exponent", "keep", "peak", "save", "table"]


@dataclass(frozen=True)
class Contestant:
    """A way to solve a task: what is called, as a user would write it, and the call itself."""

    name: str
    call: str  # the exact call, dtype and options, for the reader
    run: Callable[[], float]  # returns the value


@dataclass(frozen=True)
class Measured:
    """One contestant on one task."""

    task: str
    name: str
    call: str
    n: int
    d: int
    seconds: float  # median of the repeats
    fastest: float
    processor: float  # least processor seconds of all threads: what a busy machine leaves comparable, on one thread
    value: float
    repeats: int
    peak_mb: float | None = None


def duel(task: str, contestants: Sequence[Contestant], *, n: int, d: int, repeats: int = 5, warm: int = 1) -> list[Measured]:
    """Run all contestants in turn, again and again, so that a busy moment of the machine meets each of them."""
    times: dict[str, list[float]] = {c.name: [] for c in contestants}
    processor: dict[str, list[float]] = {c.name: [] for c in contestants}
    values: dict[str, float] = {}
    for repeat in range(-warm, repeats):
        for c in contestants:
            gc.collect()
            start, spent = time.perf_counter(), time.process_time()
            values[c.name] = c.run()
            if repeat >= 0:
                times[c.name].append(time.perf_counter() - start)
                processor[c.name].append(time.process_time() - spent)
    return [
        Measured(
            task=task,
            name=c.name,
            call=c.call,
            n=n,
            d=d,
            seconds=statistics.median(times[c.name]),
            fastest=min(times[c.name]),
            processor=min(processor[c.name]),
            value=values[c.name],
            repeats=repeats,
        )
        for c in contestants
    ]


def peak(script: str, *arguments: str) -> float:
    """Megabytes a Python process takes at its peak beyond what it held when `script` said READY: linux only.

    The script ends its set-up, imports and data included, with ``print("READY", flush=True); input()``.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    while process.stdout.readline().strip() != "READY":
        if process.poll() is not None:
            raise RuntimeError(f"the measured script ended with code {process.returncode} before it was ready.")
    before = _resident(process.pid, "VmRSS")
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak starts from here
    process.stdin.write("\n")
    process.stdin.flush()
    highest = before
    while process.poll() is None:
        try:
            highest = max(highest, _resident(process.pid, "VmHWM"))
        except (OSError, StopIteration):
            break
        time.sleep(0.005)
    if process.wait():
        raise RuntimeError(f"the measured script ended with code {process.returncode}.")
    return highest - before


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of log time against log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]) if len(sizes) > 1 else math.nan


def environment() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }


def table(rows: Sequence[Measured], reference: str) -> str:
    """Lines of text; the ratio is the time of others over that of `reference` on the same task."""
    base = {(r.task, r.n, r.d): r for r in rows if r.name == reference}
    heads = f"{'median s':>10}{'fastest':>10}{'cpu s':>9}{'ratio':>8}{'MB':>8}  value"
    lines = [f"{'task':<22}{'n':>8}{'d':>5}  {'contestant':<26}{heads}"]
    for r in rows:
        ratio = r.seconds / base[r.task, r.n, r.d].seconds if (r.task, r.n, r.d) in base else math.nan
        memory = f"{r.peak_mb:8.0f}" if r.peak_mb is not None else " " * 8
        figures = f"{r.seconds:>10.4f}{r.fastest:>10.4f}{r.processor:>9.4f}{ratio:>8.2f}{memory}  {r.value:.10g}"
        lines.append(f"{r.task:<22}{r.n:>8}{r.d:>5}  {r.name:<26}{figures}")
    return "\n".join(lines)


def save(rows: Sequence[Measured], path: Path) -> None:
    """All figures with the environment they were taken in."""
    path.write_text(
        json.dumps({"environment": environment(), "rows": [asdict(r) for r in rows]}, indent=1) + "\n", encoding="utf-8"
    )


def keep(rows: Sequence[dict[str, object]], path: Path) -> None:
    """Add figures to those of earlier runs, in place of what was measured of the same task before."""
    old = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    found = {tuple(row.get(key) for key in ("task", "name", "n", "d")): row for row in (*old, *rows)}
    text = json.dumps({"environment": environment(), "rows": list(found.values())}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def _resident(pid: int, key: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(key))
