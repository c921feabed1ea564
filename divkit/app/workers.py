"""Cases as processes of their own, several at a time, each with its share of the threads."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from typing import IO

__all__ = ["apart"]

PAUSE = 0.1  # seconds between looks at who has ended


def apart(names: Sequence[str], options: Sequence[str], jobs: int, threads: int) -> Generator[tuple[str, str]]:
    """Run ``divkit reproduce NAME OPTIONS`` for each, `jobs` at a time; each name as it ends, and what went wrong or nothing.

    Notes go to stderr when a case ends. Those that still run are ended with the iteration, whatever ends it.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, threads // jobs))}
    waiting = list(names)
    running: dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
                command = [sys.executable, "-m", "divkit", "reproduce", name, *options]
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)  # noqa: S603
                running[name] = process, said
            for name in [name for name, (process, _) in running.items() if process.poll() is not None]:
                process, said = running.pop(name)
                yield name, _ended(process.returncode, said)
            time.sleep(PAUSE)
    finally:
        for process, said in running.values():
            process.terminate()
            process.wait()
            said.close()


def _ended(code: int, said: IO[bytes]) -> str:
    """The error of a process that has ended, after its notes are passed on."""
    with said:
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
    for line in lines:
        if line.startswith("note: "):
            print(line, file=sys.stderr)
    if code < 0:
        return f"ended by signal {-code}"
    return lines[-1].removeprefix("divkit: ") if code and lines else f"ended with {code}" if code else ""
