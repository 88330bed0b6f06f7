"""How scripts/compose-test and scripts/offline/own_engine.py run commands, most of which ask or tell a Docker engine."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time

from common import ROOT, Failure, die_with_parent, say

ASK_DEADLINE = 60.0  # seconds until a short command that hangs is killed
STOP_DEADLINE = 20.0  # seconds until what ignores SIGTERM is killed


class Impossible(Failure):
    """No engine can run here."""


def ask(command):
    """The status and the output of a short command; 127 if it does not exist, 124 if it hangs."""
    options = {"cwd": ROOT, "capture_output": True, "text": True, "errors": "replace", "stdin": subprocess.DEVNULL}
    try:
        done = subprocess.run(command, timeout=ASK_DEADLINE, check=False, **options)
    except OSError as error:
        return 127, str(error)
    except subprocess.TimeoutExpired:
        return 124, f"no answer in {ASK_DEADLINE:.0f} s"
    # On success, a warning must not be mixed with the output.
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr + done.stdout


def step(what, command, deadline=None, first=None, shown=False):
    """Run a command, and report every ten seconds that it is still running. Returns its output; a Failure shows the end of it.

    It may take `deadline` seconds, and must print something within `first` seconds. `shown`: its output is not captured.
    """
    say(what)
    started = time.monotonic()
    # Its own session: Ctrl-C only reaches this script, which then stops it.
    options = {"stdin": subprocess.DEVNULL, "start_new_session": True, "preexec_fn": die_with_parent}
    with tempfile.TemporaryFile() as output:
        if not shown:
            options |= {"stdout": output, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, cwd=ROOT, **options) as process:
            try:
                while not ended(process, 10):
                    passed = time.monotonic() - started
                    say(f"still {what} ({passed:.0f} s)")
                    if first and passed > first and not output.seek(0, os.SEEK_END):
                        raise Failure(f"{what}: no answer in {passed:.0f} s")
                    if deadline and passed > deadline:
                        raise Failure(f"{what}: not done in {passed:.0f} s")
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                if not ended(process, STOP_DEADLINE):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode != 0:
        lines = [line for line in text.splitlines() if line.strip()] or ["it printed nothing"]
        print("".join(f"  {line}\n" for line in lines[-15:] if not shown), end="", file=sys.stderr)
        raise Failure(f"{what} failed, see above")
    return text


def ended(process, seconds):
    """Whether a process ends within this number of seconds."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None
