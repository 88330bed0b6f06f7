"""A Docker engine for scripts/compose-test: the one that runs, or one in namespaces of its own."""

import contextlib
import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, Failure, die_with_parent, say

PACKAGES = ["docker.io", "docker-compose", "iptables", "iproute2"]
START_DEADLINE = 60.0  # seconds until an engine answers
STOP_DEADLINE = 20.0  # seconds until an engine that ignores SIGTERM is killed
ASK_DEADLINE = 60.0  # seconds until a short command that hangs is killed
HOMES = Path("/var/tmp")  # a socket's path must be short, and the images want a disk
HOME = "portcullis-engine-"


class Impossible(Failure):
    """No engine can run here."""


def ask(command):
    """The status of a command that soon ends, and what it printed; 127 where there is none such, 124 where it hangs."""
    options = {"cwd": ROOT, "capture_output": True, "text": True, "errors": "replace", "stdin": subprocess.DEVNULL}
    try:
        done = subprocess.run(command, timeout=ASK_DEADLINE, check=False, **options)
    except OSError as error:
        return 127, str(error)
    except subprocess.TimeoutExpired:
        return 124, f"no answer in {ASK_DEADLINE:.0f} s"
    # Where it succeeds, a warning must not pass for what was asked.
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr + done.stdout


def step(what, command, deadline=None, first=None, shown=False):
    """Run a command, saying every ten seconds that it is still at work; its output, or a Failure with the end of it.

    It has `deadline` seconds, and `first` until it must have printed something. `shown`: it prints for itself.
    """
    say(what)
    started = time.monotonic()
    # A session of its own: Ctrl-C reaches this script only, which then stops it.
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
        lines = [line for line in text.splitlines() if line.strip()] or ["it said nothing"]
        print("".join(f"  {line}\n" for line in lines[-15:] if not shown), end="", file=sys.stderr)
        raise Failure(f"{what} failed, see above")
    return text


def ended(process, seconds):
    """Whether a process ends within so many seconds."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def install():
    """Have a command `docker`, an engine and a compose, from Debian's packages."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Impossible("no Docker here, and only root on Debian can have it installed: install Docker with its compose")
    _, known = ask(["apt-cache", "pkgnames", "docker-cli"])
    packages = PACKAGES + (["docker-cli"] if "docker-cli" in known.split() else [])
    say(f"THIS INSTALLS DEBIAN PACKAGES: {' '.join(packages)}. They stay; no service of theirs is started or enabled.")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    try:
        step("reading Debian's lists of packages", ["apt-get", "-q", "update"])
        with tempfile.TemporaryDirectory() as programs:
            # The packages' own scripts start and enable services with these: they find them here, doing nothing.
            for name in ("deb-systemd-helper", "deb-systemd-invoke", "invoke-rc.d", "systemctl", "update-rc.d"):
                os.symlink("/bin/true", f"{programs}/{name}")
            path = f"DPkg::Path={programs}:/usr/sbin:/usr/bin:/sbin:/bin"
            step("installing", ["apt-get", "-q", "-o", path, "install", "-y", "--no-install-recommends", *packages])
    except Failure:
        raise Impossible(f"Docker cannot be installed, see above: apt-get install {' '.join(packages)}") from None


def engine(stack):
    """Have an engine that answers. What a command needs before it to reach its published ports."""
    host = os.environ.get("DOCKER_HOST", "")
    if re.match(r"ssh:|tcp:(?!//(127\.|localhost\b|\[::1\]))", host):
        raise Impossible(f"DOCKER_HOST={host} is another machine: ports and folders of this one are used, so unset it")
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
    if host:
        raise Impossible(f"no Docker engine at DOCKER_HOST={host}: start it, or unset DOCKER_HOST")
    if os.geteuid() != 0:
        raise Impossible("no Docker engine runs, and only root can start one: start it, or be root")
    missing = [program for program in ("dockerd", "iptables", "ip") if not shutil.which(program)]
    if missing:
        install()
    return own_engine(stack)


def own_engine(stack):
    """Start an engine in namespaces of its own; when it ends, the kernel removes all that is in them."""
    say("no Docker engine runs: starting one")
    home, lock = new_home()
    stack.callback(remove_home, home)
    address = f"unix://{home}/docker.sock"
    places = ["--data-root", home / "data", "--exec-root", home / "run", "--pidfile", home / "pid", "--host", address]
    command = shlex.join(["dockerd", *map(str, places)])
    alone = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [*alone, "sh", "-c", f"ip link set lo up && exec {command}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock],  # held until the last process of the engine is gone
            preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # unshare does not listen to SIGTERM
        )
    os.close(lock)
    stack.callback(stop_engine, process)
    os.environ["DOCKER_HOST"] = address
    deadline = time.monotonic() + START_DEADLINE
    while ask(["docker", "version"])[0] != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            lines = (home / "log").read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise Impossible(f"no Docker engine can run here, it takes more rights than this machine gives: {lines[-1][-200:]}")
        time.sleep(0.1)
    return ["nsenter", f"--net=/proc/{child_of(process)}/ns/net"]


def new_home():
    """A folder for an engine, and the lock on it; those that nobody holds, of runs that were killed, are removed."""
    for stale in HOMES.glob(f"{HOME}*"):
        # An empty one is about to be locked.
        with contextlib.suppress(OSError):
            lock = os.open(stale, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.listdir(stale):
                    say(f"removing {stale}, of a run that was killed")
                    remove_home(stale)
            finally:
                os.close(lock)
    home = Path(tempfile.mkdtemp(prefix=HOME, dir=HOMES))
    lock = os.open(home, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return home, lock


def remove_home(home):
    shutil.rmtree(home, ignore_errors=True)
    if home.exists():
        say(f"not all of {home} could be removed: rm -r {home}")


def child_of(process):
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()


def stop_engine(process):
    with contextlib.suppress(OSError, ValueError):
        os.kill(int(child_of(process)), signal.SIGTERM)
    if not ended(process, STOP_DEADLINE):
        say(f"the engine did not stop in {STOP_DEADLINE:.0f} s: killing it")
    process.kill()
    process.wait()
