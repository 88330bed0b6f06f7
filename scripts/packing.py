"""Shared by `sbom`, `image`, `push`, `dist`, `deb` and `run-image`: reproducible archives, and facts about the source."""

import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from common import ROOT, Failure

MODULE = ROOT / "target" / "portcullis.wasm"
TARGET = os.environ.get("PORTCULLIS_TARGET", "")  # what the command is built for; empty: this machine
COMMAND = ROOT / "target" / TARGET / "release" / "portcullis"
CARGO = os.environ.get("CARGO", "cargo")


def output_of(*command):
    """The output of a program that runs in the source directory; None if it fails or does not exist."""
    try:
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def machine():
    """What the command is built for: the machine, as Rust names it, and the system."""
    system = "macos" if "apple" in TARGET or (not TARGET and platform.system() == "Darwin") else "linux"
    name = TARGET.partition("-")[0] or platform.machine()
    return {"arm64": "aarch64"}.get(name, name), system


def architecture(name=None):
    """A machine as Docker and Debian name it; by default the one that the command is built for."""
    name = name or machine()[0]
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(name, name)


def cargo(*arguments):
    """The output of cargo."""
    output = output_of(CARGO, *arguments)
    if output is None:
        raise Failure(f"`{CARGO} {arguments[0]}` fails: is Rust installed (https://rustup.rs), and Cargo.lock up to date?")
    return output


def built(path, by="make build"):
    """The bytes of a build result."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Failure(f"{path.relative_to(ROOT)} is missing: run `{by}` first") from None


def package(name):
    """The metadata of a package in Cargo.toml: version, description, license."""
    packages = json.loads(cargo("metadata", "--no-deps", "--offline", "--format-version", "1"))["packages"]
    return next(found for found in packages if found["name"] == name)


def in_git(*arguments):
    """The output of git for this source; None if it is not the top of a checkout."""
    top = output_of("git", "rev-parse", "--show-toplevel")
    return output_of("git", *arguments) if top and Path(top).resolve() == ROOT else None


def revision():
    """The commit of the source; None if files were changed."""
    return in_git("rev-parse", "HEAD") if in_git("status", "--porcelain") == "" else None


def source_time():
    """The time of everything packed, in seconds: SOURCE_DATE_EPOCH, otherwise that of the last commit, otherwise 0."""
    text = os.environ.get("SOURCE_DATE_EPOCH") or in_git("log", "-1", "--format=%ct") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise Failure(f"SOURCE_DATE_EPOCH={text} is not a time: give seconds since 1970, or unset it")
    return int(text)


def rfc3339(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def tar(files, seconds):
    """An archive of (name, bytes, mode), sorted, owned by root, without directories."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data, mode in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(data), mode, seconds
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def compressed(data):
    """A gzip file without name and time: the same bytes with the same zlib."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def replace(directory, files):
    """Replace a directory with files, given by name: with all of them, or not at all."""
    directory.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as temporary:
        fresh, old = Path(temporary, "fresh"), Path(temporary, "old")
        for name, data in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        try:
            if directory.exists():
                directory.rename(old)
            fresh.rename(directory)
        except BaseException:  # also a signal
            if old.exists() and not directory.exists():
                old.rename(directory)
            raise
