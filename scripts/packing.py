"""What `sbom`, `image`, `push` and `dist` share: archives that are the same bytes everywhere, and facts of the source."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from common import ROOT, Failure

MODULE = ROOT / "target" / "portcullis.wasm"
COMMAND = ROOT / "target" / "release" / "portcullis"
CARGO = os.environ.get("CARGO", "cargo")


def output_of(*command):
    """What a program prints, in the directory of the source; None if it fails or is not there."""
    try:
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def cargo(*arguments):
    """What cargo prints."""
    output = output_of(CARGO, *arguments)
    if output is None:
        raise Failure(f"`{CARGO} {arguments[0]}` fails: is Rust here (https://rustup.rs), and Cargo.lock up to date?")
    return output


def built(path, by="make build"):
    """The bytes of what a command of make leaves."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Failure(f"{path.relative_to(ROOT)} is missing: run `{by}` first") from None


def package(name):
    """What Cargo.toml says of a package: version, description, license."""
    packages = json.loads(cargo("metadata", "--no-deps", "--offline", "--format-version", "1"))["packages"]
    return next(found for found in packages if found["name"] == name)


def in_git(*arguments):
    """What git says of this source; None where it is no checkout of its own."""
    top = output_of("git", "rev-parse", "--show-toplevel")
    return output_of("git", *arguments) if top and Path(top).resolve() == ROOT else None


def revision():
    """The commit that all of the source is of; None where there is none."""
    return in_git("rev-parse", "HEAD") if in_git("status", "--porcelain") == "" else None


def source_time():
    """The time that everything packed gets, in seconds: SOURCE_DATE_EPOCH, else that of the last commit, else 0."""
    text = os.environ.get("SOURCE_DATE_EPOCH") or in_git("log", "-1", "--format=%ct") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise Failure(f"SOURCE_DATE_EPOCH={text} is no time: give seconds since 1970, or unset it")
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
    """A gzip file without a name and a time: the same bytes everywhere that zlib is the same."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def replace(directory, files):
    """Put files, by name, where a directory of ours was: all of them, or nothing is changed."""
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
        except BaseException:  # a signal too
            if old.exists() and not directory.exists():
                old.rename(directory)
            raise
