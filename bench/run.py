"""Counts the same CSV files with DuckDB and with Tally, in turn, on this machine.

Every contender reads a CSV from disk and writes the sorted totals as a CSV to disk; the results are
compared. Prints medians and ratios, keeps every sample in target/bench/results.json. Wall times of
different sessions do not compare; ratios do, more or less.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import compare
import measure
import peers
import report
import tally

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "bench"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--size", default="1GB", help="of each file [1GB]")
    parser.add_argument("--kinds", default="low,high", help="as of tally generate [low,high]")
    parser.add_argument("--runs", type=int, default=3, help="of each contender [3]")
    parser.add_argument("--threads", type=int, default=2, help="each contender's [2]")
    parser.add_argument("--peers", action="store_true", help="Polars, too")
    parser.add_argument("--slaves-check", action="store_true", help="compare 1, 2 and 5 slaves")
    parser.add_argument("--tally", type=Path, help="a binary that is built [build one]")
    return parser.parse_args()


def build() -> Path:
    subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "tally-cli"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "tally"


def generated(binary: Path, kind: str, size: str) -> Path:
    """The input, made anew each time: it is quick, and an older generator's file would not do."""
    path = WORK / f"{kind}-{size}.csv"
    measure.run([binary, "generate", "--kind", kind, "--size", size, "-o", path], "generate")
    return path


def rounds(contenders: list, source: Path, runs: int) -> report.Samples:
    """Runs the contenders in turn, so that a machine whose speed drifts is the same for all."""
    samples: report.Samples = {contender.name: [] for contender in contenders}
    reference = WORK / "reference.csv"
    reference.unlink(missing_ok=True)
    for number in range(runs):
        for contender in contenders:
            target = WORK / "totals.csv"
            target.unlink(missing_ok=True)
            os.sync()  # nobody pays for what another has left to be written
            sample = contender.count(source, target)
            samples[contender.name].append(sample)
            print(f"{source.stem}, run {number + 1}: {contender.name} {sample.wall:.2f} s", file=sys.stderr)
            check(contender, reference, target)
    reference.unlink(missing_ok=True)
    return samples


def check(contender, reference: Path, target: Path) -> None:
    """Compares a result with the first of Tally's, which becomes the reference."""
    if isinstance(contender, peers.Peer):
        compare.must_agree(reference, target, contender.name)
    elif reference.exists():
        compare.must_be_equal(reference, target, contender.name)
    else:
        target.rename(reference)


def check_slaves(binary: Path, source: Path) -> None:
    """Whether any number of slaves gives the same bytes."""
    expected, found = WORK / "embedded.csv", WORK / "cluster.csv"
    tally.Embedded(binary, 2).count(source, expected)
    for slaves in (1, 2, 5):
        cluster = tally.Cluster(binary, slaves, WORK)
        try:
            cluster.count(source, found)
        finally:
            cluster.close()
        compare.must_be_equal(expected, found, cluster.name)
        print(f"{source.stem}: {cluster.name} gives the same bytes", file=sys.stderr)
    expected.unlink()
    found.unlink()


def bench(args: argparse.Namespace) -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    binary = args.tally.resolve() if args.tally else build()
    packages = {"DuckDB": "duckdb"} | ({"Polars": "polars"} if args.peers else {})
    python = peers.environment(WORK, list(packages.values()))
    # Tally is first: the others are compared with what it writes.
    contenders = [tally.Embedded(binary, args.threads)]
    others = [peers.Peer(name, package, python, args.threads, WORK) for name, package in packages.items()]
    results = {}
    versions = {peer.name: peer.version() for peer in others}
    facts = {"machine": report.machine(), "size": args.size, "threads": args.threads, "versions": versions}
    try:
        contenders.append(tally.Cluster(binary, args.threads, WORK))
        contenders += others
        print(f"{facts['machine']}; {', '.join(' '.join(pair) for pair in versions.items())}")
        for kind in args.kinds.split(","):
            source = generated(binary, kind, args.size)
            results[kind] = rounds(contenders, source, args.runs)
            print(f"\n**{kind}**, {args.size}, {args.threads} threads, medians of {args.runs}\n")
            print(report.table(results[kind], "DuckDB"), flush=True)
            report.write(WORK / "results.json", facts, results)
            if args.slaves_check:
                check_slaves(binary, source)
            source.unlink()
    finally:
        for contender in contenders:
            contender.close()
        (WORK / "totals.csv").unlink(missing_ok=True)
        shutil.rmtree(WORK / "scratch", ignore_errors=True)


def main() -> None:
    args = options()
    # As Ctrl-C does, so that no master or slave stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        bench(args)
    except measure.Failed as error:
        sys.exit(f"bench/run: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
