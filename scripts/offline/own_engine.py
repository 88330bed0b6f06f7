"""A Docker engine where none runs: installed from Debian's packages, and started in namespaces of its own."""

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from common import Failure, die_with_parent, say
from docker_engine import STOP_DEADLINE, Impossible, ask, ended, step

PACKAGES = ["docker.io", "docker-compose", "iptables", "iproute2"]
START_DEADLINE = 60.0  # seconds until an engine answers
HOMES = Path("/var/tmp")  # a socket's path must be short, and the images want a disk
HOME = "portcullis-engine-"


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


def own_engine(stack):
    """Start an engine in namespaces of its own; when it ends, the kernel removes all that is in them."""
    say("no Docker engine runs: starting one")
    home, lock = new_home()
    stack.callback(remove_home, home)
    address = f"unix://{home}/docker.sock"
    places = ["--data-root", home / "data", "--exec-root", home / "run", "--pidfile", home / "pid", "--host", address]
    command = shlex.join(["dockerd", *map(str, places)])
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "unshare",
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
                "-c",
                f"ip link set lo up && exec {command}",
            ],
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
