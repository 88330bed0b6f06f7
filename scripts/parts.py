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
    """A running target of make, in its own process group, with its output in `output`. It ends with the block."""
    # Do not use the job server of a parent make.
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
    """Runs a target, shows its output, and passes each line to `look`. Returns its exit status."""
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
    """The last non-empty lines of a file."""
    with open(log, "rb") as file:
        file.seek(max(0, os.path.getsize(log) - 100_000))
        lines = file.read().decode(errors="replace").splitlines()
    return [line.rstrip() for line in lines if line.strip()][-count:]


def last_line(log):
    """The last line of a file, shortened to fit on a terminal line."""
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
