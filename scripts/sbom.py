"""The list of what is in the filter or in the command (SBOM), in CycloneDX JSON.

It says what cargo says of that package alone, for its own target: each crate with its licence and the checksum of
Cargo.lock. Crates that only run while it is built, such as macros, have the scope "excluded". The same build gives the
same bytes: there is no time in it, and no random number.
"""

import json
import re

from common import ROOT, Failure
from packing import COMMAND, MODULE, built, cargo, sha256

# Name -> package, what was built of it, its target (None: this machine).
PARTS = {"filter": ("portcullis", MODULE, "wasm32-wasip1"), "command": ("portcullis-cli", COMMAND, None)}

LINE = re.compile(r"(\d+)\|(\S+) v(\S+)([^|]*)\|([^|]*)\|(.*)")
LOCKED = re.compile(r'name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "(.+)"')


def tree(name, target, edges):
    """Lines of `cargo tree`: (depth, name, version, licence, repository)."""
    arguments = ["tree", "--locked", "--package", name, "--target", target, "--edges", edges, "--no-dedupe"]
    lines = cargo(*arguments, "--prefix", "depth", "--format", "|{p}|{l}|{r}").splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    if not all(found):
        raise Failure("cargo tree prints lines that this script cannot read: mend LINE in scripts/sbom.py")
    return [(int(line[1]), line[2], line[3], line[5], line[6]) for line in found]


def reference(crate, version):
    return f"pkg:cargo/{crate}@{version}"


def component(crate, version, licence, home, checksum, linked):
    """One crate; a crate of our own has no checksum, and no place in a registry."""
    found = {"type": "library", "bom-ref": reference(crate, version), "name": crate, "version": version}
    if checksum:
        found |= {"hashes": [{"alg": "SHA-256", "content": checksum}], "purl": reference(crate, version)}
    found |= {"scope": "required" if linked else "excluded", "licenses": [{"expression": licence.replace("/", " OR ")}]}
    if home:
        found["externalReferences"] = [{"type": "vcs", "url": home}]
    return found


def sbom(part):
    """The document of a part, as bytes."""
    name, file, target = PARTS[part]
    data = built(file)
    rustc = dict(line.split(": ", 1) for line in cargo("version", "--verbose").splitlines() if ": " in line)
    target = target or rustc["host"]
    checksums = {found[:2]: found[2] for found in LOCKED.findall((ROOT / "Cargo.lock").read_text())}
    linked = {line[1:3] for line in tree(name, target, "normal,no-proc-macro")}
    crates, needs, path = {}, {}, []
    for depth, crate, version, licence, home in tree(name, target, "normal,build"):
        key = crate, version
        path[depth:] = [reference(*key)]
        needs.setdefault(path[-1], set())
        if depth:
            needs[path[-2]].add(path[-1])
            crates[key] = component(*key, licence, home, checksums.get(key), key in linked)
        else:
            root = {"type": "application", "bom-ref": path[0], "name": file.name, "version": version}
            root["hashes"] = [{"alg": "SHA-256", "content": sha256(data)}]
            root["licenses"] = [{"expression": licence}]
    standard = {"type": "library", "bom-ref": "rust-std", "name": "rust-std", "version": rustc["release"]}
    standard |= {"purl": f"pkg:github/rust-lang/rust@{rustc['release']}", "scope": "required"}
    standard["licenses"] = [{"expression": "MIT OR Apache-2.0"}]
    needs[root["bom-ref"]].add("rust-std")
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": [*(crates[key] for key in sorted(crates)), standard],
        "dependencies": [{"ref": ref, "dependsOn": sorted(needs[ref])} for ref in sorted(needs)],
    }
    return json.dumps(bom, indent=2).encode() + b"\n"
