"""Targets of make as parts of a longer run."""

import contextlib
import os
import re
import signal
import subprocess
import time

from common import ROOT, die_with_parent, say

STOP_DEADLINE = 20.0  # seconds until a part that ignores SIGTERM is killed
MAKE = os.environ.get("MAKE", "make")


@contextlib.contextmanager
def running(target, settings, output):
    """A target of make at work, in a process group of its own, with its output in `output`. All of it ends with the block."""
    # The job server of a make above does not reach it.
    flags = re.sub(r"(^| )(-j\d*|--jobserver-\S+)", "", os.environ.get("MAKEFLAGS", ""))
    process = subprocess.Popen(
        [MAKE, "--no-print-directory", target, *(f"{name}={value}" for name, value in settings.items())],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": flags},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def shown(target, look):
    """Runs a target and shows its output, each line of which goes to `look` too. Its exit status."""
    with running(target, {}, subprocess.PIPE) as process:
        for line in process.stdout:
            text = line.decode(errors="replace")
            print(text, end="", flush=True)
            look(text.rstrip("\n"))
        return process.wait()


def logged(target, settings, log, pulse):
    """Runs a target with its output in the file `log`, and says every `pulse` seconds how its last line begins.

    Its exit status."""
    started = time.monotonic()
    with open(log, "wb") as output, running(target, settings, output) as process:
        while True:
            try:
                return process.wait(pulse)
            except subprocess.TimeoutExpired:
                say(f"{log.stem}: {duration(time.monotonic() - started)}: {last_line(log)}")


def last_lines(log, count):
    """The last lines of a file that are not empty."""
    with open(log, "rb") as file:
        file.seek(max(0, os.path.getsize(log) - 100_000))
        lines = file.read().decode(errors="replace").splitlines()
    return [line.rstrip() for line in lines if line.strip()][-count:]


def last_line(log):
    """The last line of a file, or as much as fits on a line of a terminal beside what it is of."""
    lines = last_lines(log, 1)
    return lines[0].strip()[:100] if lines else "nothing yet"


def duration(seconds):
    """`3 h 04 min`, `2 min 05 s`, or `7 s`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def table(rows):
    """Prints rows of text in columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
