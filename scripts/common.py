"""Shared by the scripts of this folder: failures in one line, progress, a clean end, and fetching into .cache once."""

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = Path(sys.argv[0]).name
TEMPORARY = ".tmp-"


class Failure(Exception):
    """An error and its fix, in one line, and the exit status."""

    def __init__(self, message, status=2):
        super().__init__(message)
        self.status = status


def say(text):
    print(f"{NAME}: {text}", file=sys.stderr, flush=True)


def parser(description, epilog):
    return argparse.ArgumentParser(description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)


class Stopped(BaseException):
    """A signal that stops the script: Ctrl-C, SIGTERM or SIGHUP."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ignore_signals():
    """From here on things are being removed: a signal, or a second one, must not break that off."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def stop(number, _):
    ignore_signals()
    raise Stopped(number)


def start(main, advice="make room or mend the permissions"):
    """Run a script's main function: one line on failure, nothing left behind when it is stopped."""
    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        main()
        sys.stdout.flush()
    except Stopped as stopped:
        sys.exit(128 + stopped.number)
    except Failure as failure:
        say(failure)
        sys.exit(failure.status)
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        say(f"{error}: {advice}")
        sys.exit(2)


def run(command, still, pulse=5, patience=None, **options):
    """Run a command to its end, and print `still` every `pulse` seconds. Returns status and output.

    After `patience` seconds it is stopped, which is a Failure."""
    started = time.monotonic()
    options = {**options, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, errors="replace", **options) as process:
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=pulse)
                    return process.returncode, output
                except subprocess.TimeoutExpired:
                    taken = time.monotonic() - started
                    if patience and taken > patience:
                        raise Failure(f"{still} after {taken:.0f} s, and stopped", 1) from None
                    say(f"{still} ({taken:.0f} s)")
        except BaseException:
            process.kill()
            raise


def last_error(output, program):
    """The most informative line of a program's output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith(("ERROR", "E:"))]
    return (errors or lines or [f"{program} printed nothing"])[-1][:200]


def is_program(path):
    return path.is_file() and os.access(path, os.X_OK)


@contextlib.contextmanager
def workshop(cache):
    """A temporary directory in `cache`, for one process at a time: others wait, and then check what exists already."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = os.open(cache, os.O_RDONLY)  # the directory itself is the lock: no lock file stays behind
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another {NAME} is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for stale in cache.glob(f"{TEMPORARY}*"):  # of a killed run: only the holder of the lock has one
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=cache) as temporary:
            yield Path(temporary)
    finally:
        os.close(lock)


def get_envoy(*arguments):
    """The output of scripts/get-envoy, by lines; it reports its progress on standard error."""
    command = [sys.executable, ROOT / "scripts" / "get-envoy", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failure("no Envoy to run, see above")
    return done.stdout.splitlines()


def build_suites(suites):
    """Build suites of tests/; their programs by name."""
    command = [os.environ.get("CARGO", "cargo"), "test", "--locked", "--no-run", "-p", "portcullis-tests"]
    command += ["--message-format", "json-render-diagnostics"]
    command += [argument for suite in suites for argument in ("--test", suite)]
    say("building the suites")
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    programs = {one["target"]["name"]: one["executable"] for one in messages if one.get("executable")}
    if done.returncode != 0 or not programs.keys() >= set(suites):
        raise Failure("the suites do not build, see above")
    return {suite: programs[suite] for suite in suites}


def pip_install(what, requirements, target, directory, python=sys.executable):
    """Let pip put at `target` what a file of pinned wheels lists. What it leaves on its way is in `directory`."""
    pip = [python, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode != 0:
        raise Failure("pip is missing: install it (Debian: apt install python3-pip)")
    command = [*pip, "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--no-warn-conflicts"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", requirements, "--target", target]
    status, output = run(command, "still downloading", env={**os.environ, "TMPDIR": str(directory)})
    if status != 0:
        raise Failure(
            f"pip could not install {what} ({last_error(output, 'pip')}): check the network and pip's index (pip config list)"
        )


def die_with_parent(number=signal.SIGTERM):
    """In the child: makes the kernel stop it if this script is killed. Linux only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG
