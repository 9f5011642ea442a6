#!/usr/bin/env python3
"""Writes what the product's image is made of, as CycloneDX JSON.

    sbom.py ROOTFS VERSION      on stdout

Crates are those that the two binaries link, by cargo; programs that only build (build scripts,
macros) are not in the image and not in the list. Libraries are the staged ones, by the Debian
package that they come from. The same sources give the same bytes.
"""

import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.parse
import uuid
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BINARIES = ["watchkeeper", "watchkeeper-operator"]


def output(*command, check=True):
    ran = subprocess.run(command, cwd=REPOSITORY, check=check, stdout=subprocess.PIPE, text=True,
                         stderr=None if check else subprocess.DEVNULL)
    return ran.stdout


def sha256(path):
    return [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]


def crates():
    """The linked crates, and what each of them depends on."""
    lock = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    packages = [word for name in BINARIES for word in ("--package", name)]
    tree = output("cargo", "tree", *packages, "--edges", "no-dev,no-build,no-proc-macro",
                  "--prefix", "depth", "--format", " {p}\t{l}")
    components, dependencies, above = {}, {}, []
    for line in tree.splitlines():
        if not line:
            continue
        # "3 serde v1.0.228\tMIT OR Apache-2.0", with " (*)" where the children stood before.
        depth, name, version, licence = re.fullmatch(
            r"(\d+) (\S+) v(\S+)[^\t]*\t(.*?)(?: \(\*\))?", line).groups()
        ref = f"{name}@{version}"
        del above[int(depth):]
        if above:
            dependencies[above[-1]].add(ref)
        above.append(ref)
        dependencies.setdefault(ref, set())
        component = {"type": "application" if name in BINARIES else "library", "bom-ref": ref,
                     "name": name, "version": version}
        if licence:
            # Some crates still separate alternatives as Cargo did at first.
            component["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", licence)}]
        checksum = checksums.get((name, version))
        if checksum:
            component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
            # A `+` would be read as a space.
            component["purl"] = f"pkg:cargo/{name}@{urllib.parse.quote(version)}"
        components[ref] = component
    return components, dependencies


def standard_library():
    release = re.search(r"^release: (\S+)$", output("rustc", "--version", "--verbose"), re.M).group(1)
    return {"type": "library", "bom-ref": f"rust-std@{release}", "name": "rust-std", "version": release,
            "description": "Rust's standard library",
            "licenses": [{"expression": "MIT OR Apache-2.0"}]}


def distribution():
    fields = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(), re.M))
    return fields.get("ID", "linux"), fields.get("VERSION_ID", "")


def owner(path):
    """The Debian package that has brought the file to this machine."""
    # On a machine with merged /usr, packages may still name a file by its old place.
    for candidate in (path, path.removeprefix("/usr")):
        found = output("dpkg-query", "--search", candidate, check=False)
        if found:
            return found.split(": ")[0]
    return None


def debian_packages(root):
    wanted = {"ca-certificates", "tzdata"}
    for library in sorted((root / "usr").glob("lib*/**/*.so*")):
        wanted.add(owner(f"/{library.relative_to(root)}"))
    vendor, release = distribution()
    for package in sorted(filter(None, wanted)):
        found = output("dpkg-query", "--show", "--showformat",
                       "${Package}\t${Version}\t${Architecture}\n", package, check=False)
        if not found:
            continue
        name, version, architecture = found.splitlines()[0].split("\t")
        purl = (f"pkg:deb/{vendor}/{name}@{urllib.parse.quote(version, safe='')}"
                f"?arch={architecture}&distro={vendor}-{release}")
        yield {"type": "library", "bom-ref": f"{vendor}:{name}@{version}", "name": name,
               "version": version, "purl": purl}


def country_database(root):
    file = root / "usr/share/watchkeeper/country.mmdb"
    return {"type": "data", "bom-ref": "country-database", "name": "@ip-location-db/geo-whois-asn-country-mmdb",
            "licenses": [{"license": {"id": "CC0-1.0"}}], "hashes": sha256(file)}


def main(root, version):
    components, dependencies = crates()
    rest = [standard_library(), *debian_packages(root), country_database(root)]
    for component in rest:
        components[component["bom-ref"]] = component
    binaries = [c for c in components.values() if c["name"] in BINARIES]
    for binary in binaries:
        binary["hashes"] = sha256(root / "usr/local/bin" / binary["name"])
    dependencies["image"] = {c["bom-ref"] for c in binaries + rest}
    created = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC)
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "container", "bom-ref": "image", "name": "watchkeeper", "version": version,
                          "licenses": [{"expression": "Apache-2.0"}]},
        },
        "components": [components[ref] for ref in sorted(components)],
        "dependencies": [{"ref": ref, "dependsOn": sorted(dependencies[ref])} for ref in sorted(dependencies)],
    }
    name = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))
    json.dump({"serialNumber": f"urn:uuid:{name}", **content}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2])
