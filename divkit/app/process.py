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

PATIENCE = 1.0  # seconds between Ctrl-C and the end where compiled code does not listen
PLAIN = dict(zip("−—–─·×′ℝ", "----*x'R"))
PLAIN |= {"‖": "||", "∫": "int", "√": "sqrt", "±": "+-", "≤": "<=", "≥": ">=", "∞": "inf", "Σ": "sum"}
PLAIN |= dict(zip("αδεθλμνσω", ["alpha", "delta", "eps", "theta", "lambda", "mu", "nu", "sigma", "omega"]))


@contextmanager
def prepared() -> Iterator[None]:
    """Streams that encode anything, warnings as single lines, and Ctrl-C that ends the process within two seconds."""
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
    """Flush; where the reader has gone, leave quietly with 1."""
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
    """Leave soon after Ctrl-C, whatever compiled code the main thread is in."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_leave, args=(reading,), daemon=True).start()


def _leave(reading: int) -> None:
    while os.read(reading, 1) != bytes([signal.SIGINT]):
        pass
    time.sleep(PATIENCE)
    os.write(2, b"\ndivkit: interrupted.\n")
    os._exit(130)


def _warn(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    print(f"note: {' '.join(str(message).split())}", file=sys.stderr)


def _similar(error: UnicodeError) -> tuple[str | bytes, int]:
    """ASCII that reads like what the stream cannot encode."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    raised = "^" if unicodedata.decomposition(text[0]).startswith("<super>") else ""
    flat = "".join(PLAIN.get(c, c) for c in unicodedata.normalize("NFKD", text))
    return raised + flat.encode("ascii", "replace").decode("ascii"), error.end
