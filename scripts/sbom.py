"""The software bill of materials (SBOM) of the filter or of the command, in CycloneDX JSON, from the library of CycloneDX.

The data is from cargo, for that package and its target: each crate with its licence and the checksum in
Cargo.lock. Crates that only run while it is built, such as macros, have the scope "excluded". The same build of the same
source gives the same bytes: its time is that of the source, and its serial number is derived from the build result.
"""

import os
import re
import sys
import tomllib
import uuid
from datetime import datetime, timezone

from common import ROOT, Failure
from packing import COMMAND, MODULE, TARGET, built, cargo, sha256, source_time

# Name -> package, build result, target (None: this machine).
PARTS = {"filter": ("portcullis", MODULE, "wasm32-wasip1"), "command": ("portcullis-cli", COMMAND, TARGET or None)}

LINE = re.compile(r"(\d+)\|(\S+) v(\S+)([^|]*)\|([^|]*)\|(.*)")


def tree(name, target, edges):
    """Lines of `cargo tree`: (depth, name, version, licence, repository)."""
    arguments = ["tree", "--locked", "--package", name, "--target", target, "--edges", edges, "--no-dedupe"]
    lines = cargo(*arguments, "--prefix", "depth", "--format", "|{p}|{l}|{r}").splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    if not all(found):
        raise Failure("cargo tree prints lines that this script cannot read: correct LINE in scripts/sbom.py")
    return [(int(line[1]), line[2], line[3], line[5], line[6]) for line in found]


def sbom(part):
    """The document of a part, as bytes."""
    name, file, target = PARTS[part]
    data, seconds = built(file), source_time()
    sys.path.append(os.environ.get("PORTCULLIS_CYCLONEDX") or str(ROOT / ".cache" / "tools" / "cyclonedx"))
    try:
        from cyclonedx.contrib.license.factories import LicenseFactory
        from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
        from cyclonedx.model.bom import Bom, BomMetaData
        from cyclonedx.model.component import Component, ComponentScope, ComponentType
        from cyclonedx.output.json import JsonV1Dot6
        from packageurl import PackageURL
    except ModuleNotFoundError:
        raise Failure("the library of CycloneDX is missing: run `make cyclonedx` first") from None

    def component(name, version, licence, checksum=None, **more):
        hashes = [HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else None
        licences = [LicenseFactory().make_from_string(licence.replace("/", " OR "))]
        return Component(name=name, version=version, licenses=licences, hashes=hashes, **more)

    def crate(name, version, licence, home):
        """A crate of this workspace has no checksum, and is in no registry."""
        checksum, url = checksums.get((name, version)), PackageURL("cargo", None, name, version)
        links = [ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(home))] if home else None
        scope = ComponentScope.REQUIRED if (name, version) in linked else ComponentScope.EXCLUDED
        more = {"bom_ref": str(url), "purl": url if checksum else None, "scope": scope, "external_references": links}
        return component(name, version, licence, checksum, **more)

    rustc = dict(line.split(": ", 1) for line in cargo("version", "--verbose").splitlines() if ": " in line)
    target = target or rustc["host"]
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(one["name"], one["version"]): one.get("checksum") for one in locked}
    linked = {line[1:3] for line in tree(name, target, "normal,no-proc-macro")}
    (_, _, version, licence, _), *lines = tree(name, target, "normal,build")
    root = component(file.name, version, licence, sha256(data), type=ComponentType.APPLICATION, bom_ref="root")
    release = rustc["release"]
    url = PackageURL("github", "rust-lang", "rust", release)
    standard = component("rust-std", release, "MIT OR Apache-2.0", purl=url, bom_ref="rust-std", scope=ComponentScope.REQUIRED)
    crates, needs, path = {}, {root: {standard}}, [root]
    for depth, *about in lines:
        path[depth:] = [crates.setdefault(tuple(about[:2]), crate(*about))]
        needs.setdefault(path[-1], set())
        needs[path[-2]].add(path[-1])
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, sha256(data)),
        metadata=BomMetaData(component=root, timestamp=datetime.fromtimestamp(seconds, timezone.utc)),
        components=[*crates.values(), standard],
    )
    for one, others in needs.items():
        bom.register_dependency(one, others)
    return JsonV1Dot6(bom).output_as_string(indent=2).encode() + b"\n"
