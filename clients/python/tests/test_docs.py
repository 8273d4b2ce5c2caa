"""What is written of the client is so: the examples run, the types hold, and the oldest Python can read it."""

import ast
import doctest
import subprocess
import sys
from pathlib import Path

import pytest
from tally_cluster import Cluster

import tally
import tally.spec

CLIENT = Path(__file__).resolve().parent.parent
PLAYS = b"""Song,Date,Number of Plays
Clair de Lune,2020-02-01,4
So What,2020-02-01,5
Clair de Lune,2020-02-02,2
Clair de Lune,2020-02-01,5
"""


@pytest.mark.parametrize("page", [CLIENT / "README.md", CLIENT.parent.parent / "docs" / "python.md"], ids=lambda page: page.name)
def test_the_examples_run(tmp_path, monkeypatch, page):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plays.csv").write_bytes(PLAYS)
    cluster = Cluster(slaves=2)
    try:
        # The master of the examples is where masters listen; this one is elsewhere.
        text = page.read_text().replace(tally.DEFAULT_URL, cluster.http)
        for function in (tally.count, tally.submit):
            monkeypatch.setitem(function.__kwdefaults__, "url", cluster.http)
        test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
        assert len(test.examples) > 5
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        failures = []
        runner.run(test, out=failures.append)
        assert runner.summarize(verbose=False).failed == 0, "".join(failures)
    finally:
        cluster.stop()


def test_the_examples_in_the_code_run():
    found = doctest.testmod(tally.spec)
    assert found.attempted > 1 and found.failed == 0


def test_the_types_hold():
    package = Path(tally.__file__).parent
    assert (package / "py.typed").exists()
    mypy = [sys.executable, "-m", "mypy", "--config-file", CLIENT / "pyproject.toml", "--cache-dir=/dev/null"]
    ran = subprocess.run([*mypy, CLIENT / "src" / "tally"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_the_types_help(tmp_path):
    """A user's own code is checked against them: an option that is misspelt is found."""
    (tmp_path / "right.py").write_text(
        "import tally\n"
        "rows: tally.Rows = tally.count('a.csv', group_by=['Shop'], sum='Price')\n"
        "view: tally.JobView = tally.count('a.csv', out='b.csv')\n"
        "data: bytes = tally.Client().job('x').result()\n"
    )
    (tmp_path / "wrong.py").write_text("import tally\ntally.count('a.csv', grup_by=['Shop'])\n")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir=/dev/null"]
    right = subprocess.run([*mypy, tmp_path / "right.py"], capture_output=True, text=True)
    assert right.returncode == 0, right.stdout
    wrong = subprocess.run([*mypy, tmp_path / "wrong.py"], capture_output=True, text=True)
    assert wrong.returncode == 1 and "grup_by" in wrong.stdout


def test_the_oldest_python_can_read_it():
    for path in (CLIENT / "src").rglob("*.py"):
        ast.parse(path.read_text(), str(path), feature_version=(3, 9))
