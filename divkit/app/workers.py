"""Cases as processes of their own, several at a time, each with its share of the threads."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from typing import IO

__all__ = ["run_apart"]


def run_apart(
    names: Sequence[str], options: Sequence[str], jobs: int, threads: int, pause: float = 0.1
) -> Generator[tuple[str, str]]:
    """Run ``divkit reproduce NAME OPTIONS`` for each name, `jobs` at a time; yield each as it ends, and what went wrong.

    Notes go to stderr when a case ends. Cases that still run are ended with the iteration, whatever ends it. Every `pause`
    seconds it is seen which have ended.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, threads // jobs))}
    waiting = list(names)
    running: dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                notes: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
                command = [sys.executable, "-m", "divkit", "reproduce", name, *options]
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=notes, env=environment)  # noqa: S603
                running[name] = process, notes
            for name in [name for name, (process, _) in running.items() if process.poll() is not None]:
                process, notes = running.pop(name)
                yield name, _error(process.returncode, notes)
            time.sleep(pause)
    finally:
        for process, notes in running.values():
            process.terminate()
            process.wait()
            notes.close()


def _error(code: int, notes: IO[bytes]) -> str:
    """Return the error of a process that has ended, empty for none, after its notes are passed on."""
    with notes:
        notes.seek(0)
        lines = notes.read().decode(errors="replace").splitlines()
    for line in lines:
        if line.startswith("note: "):
            print(line, file=sys.stderr)
    if code < 0:
        return f"ended by signal {-code}"
    return lines[-1].removeprefix("divkit: ") if code and lines else f"ended with {code}" if code else ""
