"""What results.json and growth.json say, as Markdown for docs/benchmarks.md."""

import aims
import figures
import store
from kinds import KINDS
from rounds import Result, Results


def kinds(kept: dict) -> str:
    """All kinds that were measured, and what was aimed for."""
    parts = [f"{kept['machine']}; {versions(kept['versions'])}"]
    measured = {name: store.unpack(entry["results"]) for name, entry in kept["kinds"].items()}
    for name, results in measured.items():
        parts.append(heading(name, kept["kinds"][name]))
        parts.append(table(results, "ms" if name == "small" else "s"))
        parts += remarks(results)
    if aimed := aims.table(measured):
        parts += ["What was aimed for, and what was reached:", aimed]
    return "\n\n".join(parts) + "\n"


def versions(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


def heading(name: str, entry: dict) -> str:
    rows, groups = human(entry["rows"]), human(entry["groups"])
    runs = max(len(result["samples"]) for result in entry["results"].values())
    return (
        f"**{name}**: {KINDS[name].about}. {entry['size']}, {rows} rows, {groups} groups; "
        f"{entry['threads']} threads, medians of {runs}"
    )


def human(number: int) -> str:
    return f"{number / 1e6:.1f} million" if number >= 1e6 else f"{number:,}"


def table(results: Results, unit: str) -> str:
    """Medians, and how many times as fast as others each contender is."""
    duckdb = figures.fastest(results, ["duckdb"])
    other = figures.fastest(results, [key for key in results if key in figures.ENGINES and key != "duckdb"])
    columns = [f"wall {unit}"]
    columns += ["× DuckDB"] if duckdb else []
    columns += [f"× {other.label}"] if other else []
    columns += [f"query alone {unit}", "CPU s", "peak memory, MB"]
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    factor = 1000 if unit == "ms" else 1
    for result in results.values():
        if not result.samples:
            lines.append(f"| {result.label} | failed: {escaped(result.failed)} |" + " |" * (len(columns) - 1))
            continue
        cells = [number(figures.median(result, "wall") * factor, unit)]
        cells += [ratio(figures.times(base, result)) for base in (duckdb, other) if base]
        known = all(sample.query is not None for sample in result.samples)
        cells += [number(figures.median(result, "query") * factor, unit) if known else ""]
        cells += [f"{figures.median(result, 'cpu'):.2f}", f"{figures.median(result, 'peak') / 1e6:.0f}"]
        lines.append(f"| {result.label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def number(value: float, unit: str) -> str:
    return f"{value:.0f}" if unit == "ms" else f"{value:.2f}"


def escaped(text: str) -> str:
    """Text that a cell of a table can hold."""
    return text.replace("|", "\\|")[:200]


def remarks(results: Results) -> list[str]:
    """What the table does not say."""
    lines = []
    most = max(len(result.samples) for result in results.values())
    for result in results.values():
        if not result.samples:
            continue
        last = result.samples[-1]
        if last.note:
            lines.append(f"- {result.label}: {last.note}.")
        if result.failed:
            lines.append(f"- {result.label} failed in a later run: {escaped(result.failed)}.")
        elif len(result.samples) < most:
            lines.append(f"- {result.label}: runs: {len(result.samples)}, as it is slow.")
        if len(last.peaks) > 1:
            lines.append(f"- {result.label}, peaks of single processes, MB: {peaks(result)}.")
        resident, anonymous = figures.median(result, "peak"), figures.median(result, "anonymous")
        if resident - anonymous > max(0.2 * resident, 100e6):
            lines.append(f"- {result.label}: {anonymous / 1e6:.0f} MB without pages of files (its program, a mapped input).")
    return ["\n".join(lines)] if lines else []


def peaks(result: Result) -> str:
    each = {name: sorted(s.peaks[name] for s in result.samples) for name in result.samples[0].peaks}
    return ", ".join(f"{name} {found[len(found) // 2] / 1e6:.0f}" for name, found in each.items())


def growth(kept: dict) -> str:
    """Time, CPU seconds and memory as the file grows, and as slaves are added."""
    parts = [kept["machine"]]
    for kind, sizes in kept["growth"].items():
        steps = {size: store.unpack(entry["results"]) for size, entry in sizes.items()}
        for key, result in next(iter(steps.values())).items():
            parts.append(f"**{result.label}**, {kind}, {kept['threads']} threads, medians of {kept['runs']}")
            parts.append(growth_table(key, steps, {size: entry["bytes"] for size, entry in sizes.items()}))
    for kind, entry in kept["slaves"].items():
        parts.append(f"**More slaves** of one worker each, {kind}, {entry['size']}, medians of {kept['runs']}")
        parts.append(slaves_table(store.unpack(entry["results"])))
    return "\n\n".join(parts) + "\n"


def linear(sizes: dict[str, int]) -> str:
    """The size that the others are compared with: the one nearest to 1 GB."""
    return min(sizes, key=lambda size: abs(sizes[size] - 1e9))


def growth_table(key: str, steps: dict[str, Results], sizes: dict[str, int]) -> str:
    base = linear(sizes)
    columns = ["wall s", "s per GB", f"against {base}", "CPU s", "CPU s per GB", "peak memory, MB"]
    lines = [f"| size | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    first = steps[base].get(key)
    for size, results in steps.items():
        result, gigabytes = results.get(key), sizes[size] / 1e9
        if result is None or not result.samples:
            lines.append(f"| {size} | failed: {escaped(result.failed) if result else ''} |" + " |" * 5)
            continue
        wall, cpu, peak = (figures.median(result, name) for name in ("wall", "cpu", "peak"))
        deviation = ""
        if first and first.samples:
            deviation = f"{(wall / gigabytes) / (figures.median(first, 'wall') / (sizes[base] / 1e9)) - 1:+.0%}"
        cells = [f"{wall:.2f}", f"{wall / gigabytes:.2f}", deviation, f"{cpu:.2f}", f"{cpu / gigabytes:.2f}"]
        lines.append(f"| {size} | {' | '.join(cells)} | {peak / 1e6:.0f} |")
    return "\n".join(lines)


def slaves_table(results: Results) -> str:
    one = next(iter(results.values()))
    lines = [
        "| slaves | wall s | × one slave | CPU s | peak memory, MB | of single processes, MB |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for slaves, result in results.items():
        if not result.samples:
            lines.append(f"| {slaves} | failed: {escaped(result.failed)} |" + " |" * 4)
            continue
        wall, cpu, peak = (figures.median(result, name) for name in ("wall", "cpu", "peak"))
        times = ratio(figures.times(one, result)) if one.samples else ""
        lines.append(f"| {slaves} | {wall:.2f} | {times} | {cpu:.2f} | {peak / 1e6:.0f} | {peaks(result)} |")
    return "\n".join(lines)
