"""Other engines, from PyPI, each run by a script of its own in a fresh process."""

import dataclasses
import json
import shutil
from pathlib import Path

import environment
import measure
from kinds import Kind

SCRIPTS = Path(__file__).resolve().parent / "peers"


@dataclasses.dataclass
class About:
    """What an engine is called and what it needs."""

    label: str
    packages: list[str]
    """The first one is the engine, whose version is told."""
    java: bool = False


ABOUT = {
    "duckdb": About("DuckDB", ["duckdb"]),
    "polars": About("Polars (streaming)", ["polars"]),
    "datafusion": About("DataFusion", ["datafusion", "pyarrow"]),
    "chdb": About("ClickHouse (chDB)", ["chdb"]),
    "pyarrow": About("pyarrow", ["pyarrow"]),
    "dask": About("Dask (2 processes)", ["dask[dataframe]", "distributed"]),
    "spark": About("Spark (local-cluster)", ["pyspark"], java=True),
}


class Peer:
    """An engine with a script, `peers/with_NAME.py`, for any kind of file."""

    ours = False

    def __init__(self, name: str, env: environment.Environment, threads: int, limits: measure.Limits, work: Path):
        about = ABOUT[name]
        self.key, self.label = name, about.label.replace("2 processes", f"{threads} processes")
        self.env, self.threads, self.limits = env, threads, limits
        self.scratch = work / "scratch"
        env.need(about.packages)
        if about.java:
            environment.need_java()
        engine = about.packages[0].partition("[")[0]
        self.version = env.versions([engine])[engine]

    def count(self, kind: Kind, source: Path, target: Path) -> measure.Sample:
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        job = kind.query() | {
            "source": str(source),
            "target": str(target),
            "scratch": str(self.scratch),
            "threads": self.threads,
            "memory": self.limits.memory,
        }
        command = [self.env.python, SCRIPTS / f"with_{self.key}.py", json.dumps(job)]
        try:
            sample, printed = measure.run(command, "script", self.limits)
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)
        said = json.loads([line for line in printed.splitlines() if line.startswith("{")][-1])
        sample.query, sample.note = said["query"], said["note"]
        return sample

    def close(self) -> None:
        """Nothing runs between counts."""


class DuckDbShell:
    """DuckDB's own command, for plays."""

    ours = False
    key, label = "duckdb-cli", "DuckDB (command line)"

    def __init__(self, env: environment.Environment, threads: int, limits: measure.Limits):
        self.threads, self.limits = threads, limits
        env.need(["duckdb-cli"])
        # The package's own script starts Python, and that starts the program.
        self.program = env.package("duckdb_cli") / "duckdb"
        self.version = env.versions(["duckdb-cli"])["duckdb-cli"]

    def count(self, kind: Kind, source: Path, target: Path) -> measure.Sample:
        query = f"""
            SET threads = {self.threads};
            COPY (
                SELECT Song, Date, sum("Number of Plays") AS "Total Number of Plays for Date"
                FROM read_csv('{quoted(source)}', header = true, auto_detect = false, delim = ',', quote = '"',
                    escape = '"', columns = {{'Song': 'VARCHAR', 'Date': 'DATE', 'Number of Plays': 'BIGINT'}})
                GROUP BY Song, Date ORDER BY Song, Date
            ) TO '{quoted(target)}' (FORMAT csv, HEADER true)"""
        command = [self.program, "-init", "/dev/null", "-c", query]
        return measure.run(command, "command", self.limits)[0]

    def close(self) -> None:
        """Nothing runs between counts."""


def quoted(path: Path) -> str:
    """A path, for between SQL's quotes."""
    return str(path).replace("'", "''")
