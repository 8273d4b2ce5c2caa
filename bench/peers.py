"""Other engines, from PyPI, in a virtual environment of the benchmark's own."""

import json
import subprocess
import sys
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent


def environment(work: Path, packages: list[str]) -> Path:
    """Makes the virtual environment if it is not there; gives its Python."""
    python = work / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
    have = subprocess.run([python, "-c", f"import {', '.join(packages)}"], capture_output=True)
    if have.returncode != 0:
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
    return python


class Peer:
    """An engine with a script of its own, `peer_NAME.py`."""

    def __init__(self, name: str, package: str, python: Path, threads: int, work: Path):
        self.name, self.package, self.python = name, package, python
        self.threads, self.scratch = threads, work / "scratch"

    def version(self) -> str:
        code = f"import {self.package}; print({self.package}.__version__)"
        return subprocess.check_output([self.python, "-c", code], text=True).strip()

    def count(self, source: Path, target: Path) -> measure.Sample:
        script = HERE / f"peer_{self.package}.py"
        command = [self.python, script, source, target, self.threads, self.scratch]
        sample, printed = measure.run(command, self.name)
        query = json.loads(printed.splitlines()[-1])
        return measure.Sample(query["wall"], query["cpu"], sample.peaks)

    def close(self) -> None:
        """Nothing runs between counts."""
