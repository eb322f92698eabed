# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes sbom.cdx.json, what a bundle is made of, as CycloneDX 1.6; its digests are those of the bundle's manifest.

Argument: the directory of the bundle, which has its manifest.  Run by a Python with cyclonedx-python-lib.  Wheels say
their licences in their metadata, models in their README.md, and Debian's packages in the copyright file that they
install, by Debian's short names.
"""

from __future__ import annotations

import email.message
import email.parser
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

SBOM = "sbom.cdx.json"
# Longer is the text of a licence, and not its name.
LONGEST_NAME = 100
LICENSES = LicenseFactory()


def read_manifest(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of every file by its path."""
    lines = (directory / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    digest_by_path = {line[66:]: line[:64] for line in lines if not line.startswith("#")}
    digest_by_path.pop(SBOM, None)
    return digest_by_path


def component(path: str, digest: str, name: str, licence: str = "", **more: Any) -> Component:
    """Return what one file of the bundle is."""
    made = Component(name=name, bom_ref=path, **{"type": ComponentType.LIBRARY, **more})
    made.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=digest))
    if licence:
        made.licenses.add(LICENSES.make_from_string(licence))
    return made


def wheel(path: Path, name: str, digest: str) -> Component:
    """Return a Python package."""
    with zipfile.ZipFile(path) as archive:
        (metadata,) = (one for one in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one))
        said = email.parser.BytesParser().parsebytes(archive.read(metadata), headersonly=True)
    package = re.sub(r"[-_.]+", "-", said["Name"]).lower()
    purl = PackageURL("pypi", name=package, version=said["Version"], qualifiers={"file_name": path.name})
    return component(name, digest, package, licence_of(said), version=said["Version"], purl=purl)


def licence_of(said: email.message.Message) -> str:
    """Return a wheel's licence: the expression, the old field, or the classifiers, whichever there is first."""
    expression, old = said["License-Expression"], (said["License"] or "").strip()
    if expression or (old and "\n" not in old and len(old) <= LONGEST_NAME):
        return str(expression or old)
    classifiers = [one.rpartition(" :: ")[2] for one in said.get_all("Classifier", []) if one.startswith("License :: ")]
    return ", ".join(classifiers)


def debian(path: Path, name: str, digest: str) -> Component:
    """Return a Debian package."""
    fields = ("Package", "Version", "Architecture")
    shown = subprocess.run(["dpkg-deb", "--field", path, *fields], capture_output=True, text=True, check=True).stdout
    said = dict(line.split(": ", 1) for line in shown.splitlines())
    release = path.parent.name.rpartition("-")[0]
    qualifiers = {"arch": said["Architecture"], "distro": release}
    purl = PackageURL("deb", "debian", said["Package"], said["Version"], qualifiers)
    made = component(name, digest, said["Package"], version=said["Version"], purl=purl)
    made.licenses.update(LICENSES.make_with_name(licence) for licence in debian_licences(path))
    return made


def debian_licences(path: Path) -> set[str]:
    """Return the licences of a Debian package, where its copyright file has the form that a program can read."""
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        for member in archive:
            if member.isfile() and re.fullmatch(r"\./usr/share/doc/[^/]+/copyright", member.name):
                content = archive.extractfile(member)
                text = content.read().decode("utf-8", "replace") if content else ""
                found = re.findall(r"^License: *(\S.*?) *$", text, re.MULTILINE) if text.startswith("Format:") else []
                return {licence for licence in found if len(licence) <= LONGEST_NAME}
    return set()


def collection(path: Path, name: str, digest: str) -> Component:
    """Return the collection, of what its own manifest says."""
    with tarfile.open(path) as archive:
        member = archive.extractfile("MANIFEST.json")
        assert member is not None
        said = json.load(member)["collection_info"]
    full_name = f"{said['namespace']}.{said['name']}"
    return component(name, digest, full_name, " AND ".join(said["license"]), version=said["version"])


def models(directory: Path, files: Mapping[str, str]) -> Iterator[Component]:
    """Yield the models, each with its files."""
    for name in sorted({path.split("/")[1] for path in files if path.startswith("models/")}):
        prefix = f"models/{name}/"
        below = [
            component(path, files[path], path[len(prefix) :], type=ComponentType.FILE)
            for path in files
            if path.startswith(prefix)
        ]
        record = directory / prefix / ".fetched.json"
        fetched = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        purl = None
        if fetched:
            owner, _slash, repository = fetched["repo_id"].rpartition("/")
            purl = PackageURL("huggingface", owner, repository, fetched["commit"])
        model = Component(
            name=fetched.get("repo_id", name),
            version=fetched.get("commit"),
            type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref=prefix,
            purl=purl,
            components=below,
        )
        card = directory / prefix / "README.md"
        found = (
            re.search(r"^license: *(\S+)$", card.read_text(encoding="utf-8"), re.MULTILINE) if card.exists() else None
        )
        if found:
            model.licenses.add(LICENSES.make_from_string(found.group(1)))
        yield model


def bill_of(directory: Path) -> Bom:
    """Return the bill of materials of a bundle."""
    files = read_manifest(directory)
    readers = {".whl": wheel, ".deb": debian, ".gz": collection}
    bom = Bom()
    bom.metadata.component = Component(name="llmops.inference bundle", type=ComponentType.APPLICATION, bom_ref="bundle")
    for path, digest in files.items():
        if path.startswith("models/"):
            continue
        read = readers.get(Path(path).suffix)
        if read:
            bom.components.add(read(directory / path, path, digest))
        elif path.startswith("images/"):
            bom.components.add(component(path, digest, Path(path).stem, type=ComponentType.CONTAINER))
    bom.components.update(models(directory, files))
    bom.register_dependency(bom.metadata.component, bom.components)
    return bom


def main() -> None:
    """Write the bill, where it keeps to the schema."""
    directory = Path(sys.argv[1])
    text = make_outputter(bill_of(directory), OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem:
        raise SystemExit(f"the bill of materials does not keep to CycloneDX 1.6: {problem}")
    (directory / SBOM).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
