"""How time and memory grow with the file, and what more slaves bring."""

import sys
from pathlib import Path

import inputs
import measure
import rounds
import store
import tally
from kinds import KINDS, Kind

SLAVES = (1, 2, 4)
SLAVES_SIZE_MOST = 10**9


def measured(bench, work: Path) -> None:
    """All sizes of all kinds; a size for which there is no room is left out."""
    args = bench.args
    kept = {"machine": store.machine(), "threads": args.threads, "runs": args.runs, "growth": {}, "slaves": {}}
    for kind in args.kinds:
        sizes = args.sizes.split(",")
        kept["growth"][kind] = {}
        for size in sizes:
            try:
                entry = one_size(bench, KINDS[kind], size, work)
            except measure.Failed as error:
                print(f"{kind}, {size}: {error}", file=sys.stderr)
                continue
            kept["growth"][kind][size] = entry
            store.write(work / "growth.json", kept)
        fit = [size for size in sizes if inputs.size_bytes(size) <= SLAVES_SIZE_MOST] or sizes[:1]
        kept["slaves"][kind] = slaves(bench, KINDS[kind], max(fit, key=inputs.size_bytes), work)
        store.write(work / "growth.json", kept)


def one_size(bench, kind: Kind, size: str, work: Path) -> dict:
    """The contenders as for a kind, on a file of one size."""
    source = None
    ours, others = bench.contenders(kind.name)
    try:
        source, rows = inputs.generate(bench.binary, kind, size, work)
        results, groups = rounds.play([*ours, *others], kind, source, bench.args.runs, bench.args.patience)
        length = source.stat().st_size
    finally:
        for contender in ours:
            contender.close()
        if source:
            source.unlink()
    return {"bytes": length, "rows": rows, "groups": groups, "results": store.pack(results)}


def slaves(bench, kind: Kind, size: str, work: Path) -> dict:
    """Clusters of different sizes; only the one whose turn it is runs."""
    source, _ = inputs.generate(bench.binary, kind, size, work)
    contenders = [Fresh(bench, number, work) for number in SLAVES]
    try:
        results, _ = rounds.play(contenders, kind, source, bench.args.runs, bench.args.patience)
    finally:
        source.unlink()
    return {"size": size, "results": store.pack(results)}


class Fresh:
    """A cluster that is started for each count, and idle before it."""

    ours = True

    def __init__(self, bench, slaves: int, work: Path):
        self.key, self.label = str(slaves), f"{slaves} slave{'' if slaves == 1 else 's'}"
        self._start = lambda: tally.Cluster(bench.binary, slaves, bench.limits, work)

    def count(self, kind: Kind, source: Path, target: Path) -> measure.Sample:
        cluster = self._start()
        try:
            return cluster.count(kind, source, target)
        finally:
            cluster.close()
