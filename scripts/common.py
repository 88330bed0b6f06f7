"""What a script of this folder needs to behave like the others: failures in one line, progress, a clean ending, and
fetching into .cache once."""

import argparse
import contextlib
import ctypes
import fcntl
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
    """What went wrong and what to do, in one line, and the exit status."""

    def __init__(self, message, status=2):
        super().__init__(message)
        self.status = status


def say(text):
    print(f"{NAME}: {text}", file=sys.stderr, flush=True)


def parser(description, epilog):
    return argparse.ArgumentParser(description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)


def stop(number, _):
    """Unwind, so that what is temporary is removed; a second signal must not break that off."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def start(main, advice="make room or mend the permissions"):
    """Run a script's main function: one line on failure, nothing left behind when it is stopped."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        main()
        sys.stdout.flush()
    except Failure as failure:
        say(failure)
        sys.exit(failure.status)
    except BrokenPipeError:  # who reads what is printed has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        say(f"{error}: {advice}")
        sys.exit(2)


def run(command, still, pulse=5, patience=None, **options):
    """Run a command to its end, saying every `pulse` seconds what it is `still` at; status and output.

    After `patience` seconds it is stopped, and that is a Failure."""
    started = time.monotonic()
    options |= {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
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
    """The line of a program's output that says most."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith(("ERROR", "E:"))]
    return (errors or lines or [f"{program} said nothing"])[-1][:200]


def is_program(path):
    return path.is_file() and os.access(path, os.X_OK)


@contextlib.contextmanager
def workshop(cache):
    """A temporary directory in `cache`, for one process at a time: others wait, and then look what is there already."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = os.open(cache, os.O_RDONLY)  # the directory itself is the lock: no lock file stays behind
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another {NAME} is at work; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for stale in cache.glob(f"{TEMPORARY}*"):  # of a run that was killed: only the holder of the lock has one
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=cache) as temporary:
            yield Path(temporary)
    finally:
        os.close(lock)


def get_envoy(*arguments):
    """What scripts/get-envoy prints, by lines; it tells on standard error what it does."""
    command = [sys.executable, ROOT / "scripts" / "get-envoy", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failure("no Envoy to run, see above")
    return done.stdout.splitlines()


def die_with_parent(number=signal.SIGTERM):
    """In the child: have the kernel stop it if this script is killed without a chance to. Linux only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG
