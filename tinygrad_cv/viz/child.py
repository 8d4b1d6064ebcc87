"""A program run in a child process, with a limit on its time and on what it writes.

Input and output go through temporary files, not pipes: nothing blocks, and a process that outlives
the child cannot hold up the reader.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

__all__ = ["MOST_OUTPUT", "Finished", "TooMuchOutput", "run"]

MOST_OUTPUT = 256 * 2**20  # bytes; pictures of 10,000 nodes have a tenth of it


class TooMuchOutput(Exception):
    """The child wrote more than it may."""


class Finished(NamedTuple):
    """What a child left: its exit status, its output, and what it said on standard error."""

    status: int
    output: bytes
    said: bytes


def run(
    command: Sequence[str], given: bytes, time_limit: float, most: int = MOST_OUTPUT
) -> Finished:
    """Run a command with ``given`` as its standard input.

    Raises:
        OSError: it cannot be started.
        TimeoutError: it needed longer than ``time_limit`` seconds; it has been ended.
        TooMuchOutput: it wrote more than ``most`` bytes; it has been ended.

    >>> import sys
    >>> run([sys.executable, "-c", "print(input()[::-1])"], b"abc", 20.0).output.split()
    [b'cba']
    """
    with (
        tempfile.TemporaryFile() as source,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as said,
    ):
        source.write(given)
        source.seek(0)
        end = time.monotonic() + time_limit
        child = subprocess.Popen(
            command,
            stdin=source,
            stdout=output,
            stderr=said,
            start_new_session=os.name == "posix",
        )
        try:
            pause = 0.001
            while child.poll() is None:
                _check_sizes(output, said, most)
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                time.sleep(min(pause, left))
                pause = min(1.5 * pause, 0.01)
            _check_sizes(output, said, most)
        except BaseException:
            _kill(child)
            raise
        output.seek(0)
        said.seek(0)
        return Finished(child.returncode, output.read(most), said.read(most))


def _check_sizes(output: BinaryIO, said: BinaryIO, most: int) -> None:
    if sum(os.fstat(file.fileno()).st_size for file in (output, said)) > most:
        raise TooMuchOutput


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever of its session it started, and wait for it."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=5)
