"""Counts the same CSV files with Tally and with other engines, in turn, on this machine.

Every contender reads a CSV from disk and writes the sorted totals as a CSV to disk; the results are
compared. Prints medians and ratios, and writes report.md, plots and every sample to target/bench. Wall
times of different sessions do not compare; ratios do, more or less.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import compare
import environment
import growth
import inputs
import measure
import peer
import report
import rounds
import store
import tally
from kinds import KINDS, SMALL_SIZE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = ROOT / "target" / "bench"
SMALL_RUNS = 9
"""At least: they are short, and so differ more."""
MEMORY_SHARE = 0.8
"""Of the machine's, as DuckDB takes it."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    add = parser.add_argument
    add("--size", default="1GB", help="of each file [1GB]")
    add("--kinds", help=f"some of {','.join(KINDS)}, or all [low,high; low with --growth]")
    add("--runs", type=int, default=5, help="of each contender [5]")
    add("--threads", type=int, default=2, help="each contender's, and the cores it may use [2]")
    add("--peers", help=f"some of {','.join(peer.ABOUT)}, or all, or none [duckdb; none with --growth]")
    add("--timeout", type=float, default=300, help="seconds that one run may take [300]")
    add("--memory", help="that one contender may take, such as 8GB [80%% of the machine's]")
    add("--patience", type=float, default=600, help="seconds after which a slow contender is not run again [600]")
    add("--growth", action="store_true", help="measure how time and memory grow with the file instead")
    add("--sizes", default="100MB,300MB,1GB,3GB,10GB", help="for --growth [100MB,300MB,1GB,3GB,10GB]")
    add("--slaves-check", action="store_true", help="compare the bytes of 1, 2 and 5 slaves")
    add("--keep", action="store_true", help="keep what was measured before of other kinds")
    add("--redraw", action="store_true", help="measure nothing: write reports and plots of what is kept")
    add("--plots", type=Path, default=WORK / "plots", help="folder for plots [target/bench/plots]")
    add("--tally", type=Path, help="a binary that is built [build one]")
    args = parser.parse_args()
    args.kinds = listed(parser, args.kinds or ("low" if args.growth else "low,high"), KINDS)
    args.peers = listed(parser, args.peers or ("none" if args.growth else "duckdb"), peer.ABOUT)
    return args


def listed(parser: argparse.ArgumentParser, text: str, known: dict) -> list[str]:
    """Names of a list that the user gave, in the user's order."""
    names = list(known) if text == "all" else [name for name in text.split(",") if name not in ("", "none")]
    for name in names:
        if name not in known:
            parser.error(f"{name!r} is none of {', '.join(known)}")
    return names


def build() -> Path:
    subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "tally-cli"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "tally"


class Bench:
    """One session: what it runs, and within which limits."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.binary = args.tally.resolve() if args.tally else build()
        self.env = environment.Environment(WORK / "venv")
        memory = inputs.size_bytes(args.memory) if args.memory else int(MEMORY_SHARE * store.memory())
        self.limits = measure.Limits(args.timeout, memory)
        self.missing: rounds.Results = {}
        """Peers that can not be had, and why."""
        self.peers = [found for name in args.peers if (found := self._peer(name))]
        self.shell = self._shell() if "duckdb" in args.peers else []
        # For all contenders, which inherit it.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])

    def _peer(self, name: str):
        try:
            return peer.Peer(name, self.env, self.args.threads, self.limits, WORK)
        except (measure.Failed, OSError, subprocess.SubprocessError) as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            self.missing[name] = rounds.Result(peer.ABOUT[name].label, False, [], rounds.last_line(error))
            return None

    def _shell(self) -> list:
        """DuckDB's command line, where it can be had."""
        try:
            return [peer.DuckDbShell(self.env, self.args.threads, self.limits)]
        except (measure.Failed, OSError, subprocess.SubprocessError) as error:
            print(f"DuckDB's command line is left out: {error}", file=sys.stderr)
            return []

    def contenders(self, kind: str) -> tuple[list, list]:
        """Who counts a kind: Tally, which is first, and the others."""
        ours = [tally.Embedded(self.binary, self.args.threads, self.limits)]
        ours.append(tally.Cluster(self.binary, self.args.threads, self.limits, WORK))
        ours.append(tally.InPlace(self.binary, self.args.threads, self.limits, WORK))
        ours.append(tally.Nearby(self.binary, self.args.threads, self.limits, WORK))
        if kind != "small":
            return ours, self.peers
        return ours, [found for found in self.peers if found.key == "duckdb"] + self.shell

    def kind(self, name: str) -> tuple[dict, dict]:
        """Measures one kind; gives what is to be kept, and the versions of the others."""
        kind, small = KINDS[name], name == "small"
        size = SMALL_SIZE if small else self.args.size
        runs = max(self.args.runs, SMALL_RUNS) if small else self.args.runs
        ours, others = self.contenders(name)
        source = None
        try:
            source, rows = inputs.generate(self.binary, kind, size, WORK)
            results, groups = rounds.play([*ours, *others], kind, source, runs, self.args.patience)
            if not small:
                results |= self.missing
            if self.args.slaves_check:
                self.check_slaves(name, source)
        finally:
            for contender in ours:
                contender.close()
            if source:
                source.unlink()
        entry = {"size": size, "rows": rows, "groups": groups, "threads": self.args.threads}
        versions = {found.label: found.version for found in others}
        return entry | {"results": store.pack(results)}, versions

    def check_slaves(self, name: str, source: Path) -> None:
        """Whether any number of slaves gives the same bytes."""
        kind, expected, found = KINDS[name], WORK / "embedded.csv", WORK / "cluster.csv"
        tally.Embedded(self.binary, 2, self.limits).count(kind, source, expected)
        for slaves in (1, 2, 5):
            cluster = tally.Cluster(self.binary, slaves, self.limits, WORK)
            try:
                cluster.count(kind, source, found)
            finally:
                cluster.close()
            compare.Reference(expected).must_equal(found)
            print(f"{source.stem}: {cluster.label} gives the same bytes", file=sys.stderr)
        expected.unlink()
        found.unlink()

    def run(self) -> bool:
        """Measures everything that was asked for; whether Tally did what it should."""
        if self.args.growth:
            growth.measured(self, WORK)
            return True
        kept = store.read(WORK / "results.json") if self.args.keep else {}
        kept = {"machine": store.machine(), "versions": {}, "kinds": {}} | kept
        for name in self.args.kinds:
            entry, versions = self.kind(name)
            kept["kinds"][name] = entry
            kept["versions"] |= versions
            store.write(WORK / "results.json", kept)
        measured = (kept["kinds"][name]["results"] for name in self.args.kinds)
        return not any(result["failed"] for results in measured for result in results.values() if result["ours"])


def show(args: argparse.Namespace) -> None:
    """Writes reports and plots of all that is kept, and prints the report that was asked for."""
    for name, make, wanted in (("results", report.kinds, not args.growth), ("growth", report.growth, args.growth)):
        if kept := store.read(WORK / f"{name}.json"):
            text = make(kept)
            (WORK / ("report.md" if name == "results" else "growth.md")).write_text(text)
            print(f"\n{text}" if wanted else "", end="", flush=True)
    try:
        env = environment.Environment(WORK / "venv")
        env.need(["matplotlib"])
        command = [env.python, HERE / "plots.py", WORK / "results.json", WORK / "growth.json", args.plots]
        subprocess.run(command, check=True)
    except (measure.Failed, OSError, subprocess.SubprocessError) as error:
        print(f"no plots: {error}", file=sys.stderr)


def main() -> None:
    args = options()
    WORK.mkdir(parents=True, exist_ok=True)
    # As Ctrl-C does, so that no master or slave stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        well = args.redraw or Bench(args).run()
        show(args)
    except measure.Failed as error:
        sys.exit(f"bench/run: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        shutil.rmtree(WORK / "scratch", ignore_errors=True)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
