"""What the peers need: packages from PyPI in a virtual environment, and Java for Spark."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import measure

VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class Environment:
    """A virtual environment of the benchmark's own, made when it is first needed."""

    def __init__(self, folder: Path):
        self.python = folder / "bin" / "python"
        if not self.python.exists():
            made = subprocess.run([sys.executable, "-m", "venv", folder])
            if made.returncode != 0:  # Debian keeps a part of Python's venv in a package of its own
                shutil.rmtree(folder, ignore_errors=True)
                install_system("python3-venv")
                subprocess.run([sys.executable, "-m", "venv", folder], check=True)

    def versions(self, packages: list[str]) -> dict[str, str]:
        """The versions of those of the packages that are installed."""
        return json.loads(subprocess.check_output([self.python, "-c", VERSIONS, *packages], text=True))

    def package(self, name: str) -> Path:
        """Where an installed package is."""
        code = f"import importlib.util; print(importlib.util.find_spec({name!r}).submodule_search_locations[0])"
        return Path(subprocess.check_output([self.python, "-c", code], text=True).strip())

    def need(self, packages: list[str]) -> None:
        """Installs what is missing; raises where that does not work."""
        names = [package.partition("[")[0] for package in packages]
        if len(self.versions(names)) == len(names):
            return
        print(f"installing {', '.join(packages)} from PyPI", file=sys.stderr)
        pip = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        ran = subprocess.run([*pip, *packages], capture_output=True, text=True)
        if ran.returncode != 0:
            raise measure.Failed(f"pip install {' '.join(packages)}\n{ran.stderr}")


def need_java() -> None:
    """Installs a Java runtime by apt where there is none and that is allowed."""
    if shutil.which("java") or os.environ.get("JAVA_HOME"):
        return
    for package in ("openjdk-17-jre-headless", "openjdk-21-jre-headless", "default-jre-headless"):
        try:
            return install_system(package)
        except measure.Failed as error:
            last = error
    raise measure.Failed(f"Spark needs a Java runtime, version 17 or newer: {last}")


def install_system(package: str) -> None:
    """Installs a Debian package, as root or by sudo."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    print(f"installing {package} by apt", file=sys.stderr)
    for step in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
        try:
            ran = subprocess.run([*sudo, "apt-get", *step], capture_output=True, text=True)
        except FileNotFoundError as error:
            raise measure.Failed(f"install {package}, please: {error}") from error
    if ran.returncode != 0:
        raise measure.Failed(f"apt-get install {package}\n{ran.stderr}")
