"""Makes a CycloneDX SBOM of the tally binary out of what `cargo metadata` says on stdin."""

import json
import sys
import tomllib
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = "tally-cli"


def linked(nodes, root):
    """The packages that end up in the binary: without what only builds or tests it."""
    seen, todo = set(), [root]
    while todo:
        package = todo.pop()
        if package in seen:
            continue
        seen.add(package)
        for dep in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dep["dep_kinds"]):
                todo.append(dep["pkg"])
    return seen


def main():
    metadata = json.load(sys.stdin)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    lock = tomllib.loads(Path(metadata["workspace_root"], "Cargo.lock").read_text())
    sums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    root = next(id for id in metadata["workspace_members"] if packages[id]["name"] == ROOT)
    licences = LicenseFactory()
    components = {}
    for id in sorted(linked(nodes, root)):
        package = packages[id]
        name, version = package["name"], package["version"]
        checksum = sums.get((name, version))
        component = Component(
            type=ComponentType.APPLICATION if id == root else ComponentType.LIBRARY,
            name="tally" if id == root else name,
            version=version,
            description=" ".join((package["description"] or "").split()) or None,
            purl=PackageURL("cargo", name=name, version=version),
            bom_ref=f"{name}@{version}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
        )
        if package["license"]:
            # An older way to write OR, which SPDX does not have.
            words = package["license"].replace("/", " OR ")
            component.licenses.add(licences.make_from_string(words))
        if package["repository"]:
            component.external_references.add(
                ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(package["repository"]))
            )
        components[id] = component
    bom = Bom(components=[c for id, c in components.items() if id != root])
    bom.metadata.component = components[root]
    for id, component in components.items():
        deps = {dep["pkg"] for dep in nodes[id]["deps"]}
        bom.register_dependency(component, [components[dep] for dep in sorted(deps) if dep in components])
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    if errors := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"the SBOM is not valid: {errors}")
    Path(sys.argv[1]).write_text(text + "\n")
    print(f"{sys.argv[1]}: {len(components)} crates, a valid CycloneDX 1.6")


main()
