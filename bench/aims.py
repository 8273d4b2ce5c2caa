"""What was aimed for, in aims.json, beside what was measured."""

import json
from pathlib import Path

import figures
from rounds import Results

AIMS = Path(__file__).resolve().parent / "aims.json"
WHO = {
    "count": "`tally count`",
    "cluster": "cluster, file and result sent",
    "inplace": "cluster, master reads and writes the files",
    "nearby": "cluster, slaves read the file, too",
}
CLUSTERS = ["cluster", "inplace", "nearby"]
"""An aim of a cluster is held against each way of using one."""


def table(kinds: dict[str, Results]) -> str:
    """A Markdown table of all aims that the kinds measured can answer."""
    lines = ["| kind | aim | measured | reached |", "|---|---|---|---|"]
    for kind, results in kinds.items():
        for aim in json.loads(AIMS.read_text()):
            if aim["kind"] in (kind, "any") and not (aim["kind"] == "any" and kind == "small"):
                for who in CLUSTERS if aim["who"] == "cluster" else [aim["who"]]:
                    if line := row(aim | {"who": who}, kind, results):
                        lines.append(line)
    return "\n".join(lines) if len(lines) > 2 else ""


def row(aim: dict, kind: str, results: Results) -> str:
    """One line; empty where there is nothing to compare with."""
    ours = results.get(aim["who"])
    if ours is None or not ours.samples:
        return ""
    who = WHO[aim["who"]]
    if "seconds" in aim:
        wall = figures.median(ours, "wall")
        aimed = f"{who}: result in less than {aim['seconds']} s"
        return line(kind, aimed, f"{wall:.3f} s", wall < aim["seconds"])
    base = figures.fastest(results, aim["than"])
    if base is None:
        return ""
    if "memory_share" in aim:
        share = figures.share(base, ours)
        aimed = f"{who}: at most {aim['memory_share']:.2f} of {base.label}'s peak memory"
        return line(kind, aimed, f"{share:.2f}", share <= aim["memory_share"])
    times = figures.times(base, ours)
    return line(kind, f"{who}: {aim['times']} × as fast as {against(aim, base)}", said(base, ours), times >= aim["times"])


def said(base, ours) -> str:
    """The ratio, and what it would be if the other engine had been running before."""
    text = f"{figures.times(base, ours):.2f} ×"
    without = figures.times_query(base, ours)
    return text if without is None else f"{text} ({without:.2f} × without its start)"


def against(aim: dict, base) -> str:
    """Whom an aim names, and who of them was the fastest."""
    return base.label if len(aim["than"]) == 1 else f"{base.label}, the fastest of {', '.join(aim['than'])}"


def line(kind: str, aim: str, measured: str, reached: bool) -> str:
    return f"| {kind} | {aim} | {measured} | {'yes' if reached else '**no**'} |"
