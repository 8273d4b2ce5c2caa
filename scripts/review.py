"""Compares docs/dependencies.md with the crates that ours name, as `cargo metadata` on stdin has them."""

import json
import re
import sys
from pathlib import Path

SECTIONS = {"At run time": None, "At build time": "build", "In tests and benchmarks alone": "dev"}


def used(metadata):
    """Each crate that one of ours names, and the strongest use of it."""
    members = set(metadata["workspace_members"])
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    uses = {}
    for node in metadata["resolve"]["nodes"]:
        if node["id"] in members:
            for dep in node["deps"]:
                if dep["pkg"] not in members:
                    kinds = {kind["kind"] for kind in dep["dep_kinds"]}
                    uses.setdefault(names[dep["pkg"]], set()).update(kinds)
    order = [None, "build", "dev"]
    return {name: min(kinds, key=order.index) for name, kinds in uses.items()}


def listed(page):
    """Each crate of the page's tables, and the use that its section stands for."""
    section, crates = None, {}
    for line in page.splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif section in SECTIONS and (row := re.match(r"\| ([a-z0-9_, -]+) \|", line)):
            if row[1] != "crate":
                for name in row[1].split(", "):
                    if name in crates:
                        sys.exit(f"{name} is listed twice")
                    crates[name] = SECTIONS[section]
    return crates


path = Path(sys.argv[1])
is_used, is_listed = used(json.load(sys.stdin)), listed(path.read_text())
problems = [f"{name} is used, and not reviewed" for name in sorted(is_used.keys() - is_listed.keys())]
problems += [f"{name} is listed, and not used" for name in sorted(is_listed.keys() - is_used.keys())]
problems += [
    f"{name} is in the wrong section: it is used as {is_used[name] or 'part of the binary'}"
    for name in sorted(is_used.keys() & is_listed.keys())
    if is_used[name] != is_listed[name]
]
for problem in problems:
    print(f"{path}: {problem}", file=sys.stderr)
if problems:
    sys.exit(1)
print(f"{path}: {len(is_used)} crates are reviewed")
