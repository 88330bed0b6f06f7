"""A Docker engine for scripts/compose-test: the one that runs, or one in namespaces of its own."""

import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["docker.io", "docker-compose", "iptables", "iproute2"]
START_DEADLINE = 60.0  # seconds until an engine answers
STOP_DEADLINE = 20.0  # seconds until an engine that ignores SIGTERM is killed


class Failure(Exception):
    """What went wrong and what to do, and the exit status."""

    def __init__(self, message, status=2):
        super().__init__(message)
        self.status = status


class Impossible(Failure):
    """No engine can run here."""


def say(text):
    print(f"compose-test: {text}", file=sys.stderr, flush=True)


def die_with_parent(number=signal.SIGTERM):
    """In the child: have the kernel stop it if this script is killed without a chance to. Linux only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG


def ask(command):
    """The status and the output of a command that ends at once; status 127 where there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False)
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout + done.stderr


def step(what, command, deadline=None):
    """Run a command, saying every ten seconds that it is still at work; its output, or a Failure with the end of it."""
    say(what)
    started, output = time.monotonic(), ""
    # A session of its own: Ctrl-C reaches this script only, which then stops it.
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=die_with_parent,
    ) as process:
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=10)
                    break
                except subprocess.TimeoutExpired:
                    passed = time.monotonic() - started
                    say(f"still {what} ({passed:.0f} s)")
                    if deadline and passed > deadline:
                        raise Failure(f"{what}: nothing happened for {passed:.0f} s") from None
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            raise
    if process.returncode != 0:
        lines = [line for line in output.splitlines() if line.strip()] or ["it said nothing"]
        print("".join(f"  {line}\n" for line in lines[-15:]), end="", file=sys.stderr)
        raise Failure(f"{what} failed, see above")
    return output


def install():
    """Have a command `docker`, an engine and a compose, from Debian's packages."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Impossible("no Docker here, and only root on Debian can have it installed: install Docker with its compose")
    _, known = ask(["apt-cache", "pkgnames", "docker-cli"])
    packages = PACKAGES + (["docker-cli"] if "docker-cli" in known.split() else [])
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    try:
        step("reading Debian's lists of packages", ["apt-get", "-q", "update"])
        step(f"installing {' '.join(packages)}", ["apt-get", "-q", "install", "-y", "--no-install-recommends", *packages])
    except Failure:
        raise Impossible(f"Docker cannot be installed, see above: apt-get install {' '.join(packages)}") from None


def engine(stack):
    """Have an engine that answers. What a command needs before it to reach its published ports."""
    if not shutil.which("docker"):
        install()
    status, output = ask(["docker", "version", "--format", "{{.Server.Version}}"])
    if status == 0:
        say(f"the Docker engine {output.strip()} runs")
        return []
    if status == 127:
        raise Impossible(f"the command docker does not run ({output.strip()}): install Docker with its compose")
    if "permission denied while trying to connect" in output:
        raise Impossible("a Docker engine runs, and this user may not use it: be root, or join the group docker")
    if os.environ.get("DOCKER_HOST"):
        raise Impossible(f"no Docker engine at DOCKER_HOST={os.environ['DOCKER_HOST']}: start it, or unset DOCKER_HOST")
    if os.geteuid() != 0:
        raise Impossible("no Docker engine runs, and only root can start one: start it, or be root")
    missing = [program for program in ("dockerd", "iptables", "ip") if not shutil.which(program)]
    if missing:
        install()
    return own_engine(stack)


def own_engine(stack):
    """Start an engine in namespaces of its own; when it ends, the kernel removes all that is in them."""
    say("no Docker engine runs: starting one")
    # A socket's path must be short, and the images want a disk.
    home = Path(tempfile.mkdtemp(prefix="portcullis-engine-", dir="/var/tmp"))
    stack.callback(shutil.rmtree, home, ignore_errors=True)
    address = f"unix://{home}/docker.sock"
    places = ["--data-root", home / "data", "--exec-root", home / "run", "--pidfile", home / "pid", "--host", address]
    command = shlex.join(["dockerd", *map(str, places)])
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
            + ["sh", "-c", f"ip link set lo up && exec {command}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # unshare does not listen to SIGTERM
        )
    stack.callback(stop_engine, process)
    os.environ["DOCKER_HOST"] = address
    deadline = time.monotonic() + START_DEADLINE
    while ask(["docker", "version"])[0] != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            lines = (home / "log").read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise Impossible(f"no Docker engine can run here, it takes more rights than this machine gives: {lines[-1][-200:]}")
        time.sleep(0.1)
    return ["nsenter", f"--net=/proc/{child_of(process)}/ns/net"]


def child_of(process):
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()


def stop_engine(process):
    with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
        os.kill(int(child_of(process)), signal.SIGTERM)
        process.wait(STOP_DEADLINE)
    process.kill()
    process.wait()
