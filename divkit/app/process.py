"""What a well-behaved command owes its terminal: it stops at once, says little, and survives closed pipes and old locales."""

from __future__ import annotations

import codecs
import os
import signal
import sys
import threading
import time
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["closed_pipe", "prepared"]

PLAIN = dict(zip("−—–─·×′ℝ", "----*x'R"))  # what a character looks like in ASCII
PLAIN |= {"‖": "||", "∫": "int", "√": "sqrt", "±": "+-", "≤": "<=", "≥": ">=", "∞": "inf", "Σ": "sum"}
PLAIN |= dict(zip("αδεθλμνσω", ["alpha", "delta", "eps", "theta", "lambda", "mu", "nu", "sigma", "omega"]))


@contextmanager
def prepared() -> Iterator[None]:
    """Make streams encode anything, print warnings as single lines, and let Ctrl-C end the process within two seconds."""
    codecs.register_error("divkit", _similar)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="divkit")  # type: ignore[union-attr]
    _watch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries; PYTHONWARNINGS=error is for developers
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _warn
        yield


def closed_pipe(code: int) -> int:
    """Flush stdout and return the exit code: where the reader has gone, 1 without a word."""
    try:
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        code = code or 1
    except OSError as error:  # such as a full disk
        print(f"divkit: the output cannot be written ({error.strerror}).", file=sys.stderr)
        code = code or 2
    else:
        return code
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
    return code


def _watch() -> None:
    """Start a thread that ends the process soon after Ctrl-C, whatever compiled code the main thread is in."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_leave, args=(reading,), daemon=True).start()


def _leave(reading: int, patience: float = 1.0) -> None:
    """Wait for Ctrl-C, then give Python `patience` seconds to end by itself before the process is ended."""
    while os.read(reading, 1) != bytes([signal.SIGINT]):
        pass
    time.sleep(patience)
    os.write(2, b"\ndivkit: interrupted.\n")
    os._exit(130)


def _warn(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Print a warning as one line on stderr."""
    print(f"note: {' '.join(str(message).split())}", file=sys.stderr)


def _similar(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return ASCII that reads like the text that a stream cannot encode, and where the text ends."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    power = "^" if unicodedata.decomposition(text[0]).startswith("<super>") else ""
    similar = "".join(PLAIN.get(c, c) for c in unicodedata.normalize("NFKD", text))
    return power + similar.encode("ascii", "replace").decode("ascii"), error.end
