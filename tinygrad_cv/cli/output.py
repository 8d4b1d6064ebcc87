"""What the command line prints: in any encoding of the terminal, and with an error where nothing
can be printed.
"""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["CannotPrint", "abandon", "complain", "flush", "say"]


class CannotPrint(Exception):
    """The standard output is closed, or its disk is full."""


def say(text: str, errors: str = "backslashreplace") -> None:
    """Print ``text``; ``errors`` says what becomes of characters that the encoding lacks.

    Raises:
        CannotPrint: there is no standard output, or it cannot be written.
        BrokenPipeError: nobody reads it any more.

    >>> say("64×3\\n")
    64×3
    """
    if sys.stdout is None:
        raise CannotPrint("the standard output is closed; -o FILE writes to a file")
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, errors).decode(encoding))
    except OSError as error:
        raise _cannot(error) from None


def flush() -> None:
    """See to it that all that was printed has been written."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError as error:
            raise _cannot(error) from None


def _cannot(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return error
    return CannotPrint(f"cannot write to the standard output: {error.strerror or error}")


def abandon() -> None:
    """What is still to be written goes nowhere, so that Python's own flush at its end finds no
    fault."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, sys.stdout.fileno())
        finally:
            os.close(nowhere)


def complain(message: object) -> None:
    """One message on the standard error, if there is one."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"tinygrad-cv: {message}", file=sys.stderr)
