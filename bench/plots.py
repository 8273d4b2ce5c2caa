"""Draws what results.json and growth.json hold: python plots.py RESULTS GROWTH FOLDER.

Runs in the benchmark's virtual environment. Each plot is written as PNG and as SVG.
"""

import sys
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot, ticker  # noqa: E402

import figures  # noqa: E402
import report  # noqa: E402
import store  # noqa: E402

OURS, OTHERS, FAINT, INK = "#0b6e99", "#b4bcc4", "#e4e7eb", "#222b33"
LINES = ["#0b6e99", "#d1495b", "#7a8794", "#c58b1b", "#5b8c5a", "#8e6bb0", "#2f3e46"]
MARKERS = "osD^vP*"
LOG_FROM = 12
"""The longest bar is this many times the shortest: a linear axis would hide the short ones."""
STYLE = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#8a949e",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "tally",
}


def main() -> None:
    results, growth, folder = (Path(argument) for argument in sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    matplotlib.rcParams.update(STYLE)
    if kept := store.read(results):
        kinds = {name: store.unpack(entry["results"]) for name, entry in kept["kinds"].items()}
        large = {name: found for name, found in kinds.items() if name != "small"}
        if large:
            bars(large, kept, WALL).write(folder / "wall")
            bars(large, kept, MEMORY).write(folder / "memory")
        if "small" in kinds:
            bars({"small": kinds["small"]}, kept, SMALL).write(folder / "small")
    if kept := store.read(growth):
        for kind, sizes in kept["growth"].items():
            if sizes:
                grown(kind, sizes, kept).write(folder / f"growth-{kind}")
        for kind, entry in kept["slaves"].items():
            slaves(kind, entry, kept).write(folder / f"slaves-{kind}")


class Drawing:
    """A figure with a title above and small print below, and how it is kept."""

    TITLE, LINE = 0.42, 0.16
    """Inches."""

    def __init__(self, width: float, height: float, lines: int, columns: int, title: str, small: list[str], **rest):
        self.small = [part for text in small for part in textwrap.wrap(text, int(width * 17))]
        below = self.LINE * len(self.small) + 0.1
        height += self.TITLE + below
        self.figure, self.grid = pyplot.subplots(
            lines, columns, figsize=(width, height), squeeze=False, layout="constrained", **rest
        )
        room = (0, below / height, 1, 1 - (self.TITLE + below) / height)
        self.figure.get_layout_engine().set(rect=room, wspace=0.04, hspace=0.06, w_pad=0.1)
        self.figure.text(0.1 / width, 1 - 0.12 / height, title, fontsize=13, fontweight="bold", va="top")
        text = "\n".join(self.small)
        self.figure.text(0.1 / width, 0.06 / height, text, fontsize=8, color="#66717c", va="bottom")

    def write(self, path: Path) -> None:
        self.figure.savefig(path.with_suffix(".png"), dpi=150)
        self.figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        pyplot.close(self.figure)
        print(f"drew {path}.png and .svg", file=sys.stderr)


class Measure:
    """What a plot of bars shows: a figure of the samples, and how it is written."""

    def __init__(self, name: str, factor: float, title: str, axis: str, written, ratio):
        self.name, self.factor, self.title, self.axis = name, factor, title, axis
        self.written, self.ratio = written, ratio

    def value(self, result) -> float:
        return figures.median(result, self.name) * self.factor

    def span(self, result) -> tuple[float, float]:
        values = [getattr(sample, self.name) * self.factor for sample in result.samples]
        return min(values), max(values)


def faster(base, result) -> str:
    return f"{figures.times(base, result):.{precision(figures.times(base, result))}f} ×"


def less(base, result) -> str:
    return f"{figures.share(base, result):.2f} of DuckDB's"


def precision(value: float) -> int:
    return 1 if value >= 1 else 2


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


WALL = Measure("wall", 1, "Time from start to result (× as fast as DuckDB)", "seconds", seconds, faster)
MEMORY = Measure(
    "peak", 1e-6, "Peak memory of all processes together", "MB", lambda value: f"{value:,.0f} MB", less
)
SMALL = Measure(
    "wall",
    1000,
    "A file of 10 MB: whole commands (× as fast as DuckDB)",
    "milliseconds",
    lambda value: f"{value:,.0f} ms",
    faster,
)


def bars(kinds: dict, kept: dict, shown: Measure) -> Drawing:
    """A panel for each kind, a bar for each contender, the best on top."""
    columns = 1 if len(kinds) == 1 else 2
    # Panels beside each other are as tall as the one with more bars.
    order = list(kinds)
    lines = [order[at : at + columns] for at in range(0, len(order), columns)]
    heights = [max(len(kinds[name]) for name in line) * 0.34 + 1.15 for line in lines]
    labels = {result.label for results in kinds.values() for result in results.values()}
    used = {name: version for name, version in kept["versions"].items() if name in labels}
    small = [kept["machine"], report.versions(used)]
    drawing = Drawing(
        6.6 * columns, sum(heights), len(lines), columns, shown.title, small, height_ratios=heights
    )
    for axes in drawing.grid.flat[len(order) :]:
        axes.axis("off")
    for axes, name in zip(drawing.grid.flat, order):
        panel(axes, name, kinds[name], kept["kinds"][name], shown)
    return drawing


def panel(axes, name: str, results: dict, entry: dict, shown: Measure) -> None:
    measured = sorted((found for found in results.values() if found.samples), key=shown.value)
    failed = [found for found in results.values() if not found.samples]
    runs = max((len(found.samples) for found in measured), default=0)
    axes.set_title(f"{name}, {entry['size']}: {report.human(entry['groups'])} groups", pad=8)
    if not measured:
        return
    values = [shown.value(found) for found in measured]
    logarithmic = values[-1] > LOG_FROM * values[0]
    left = values[0] / 2 if logarithmic else 0
    end = max(shown.span(found)[1] for found in measured)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(left, end * (end / left) ** 0.45)
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if end < 100 * left else (1,)))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.10g}"))
    else:
        axes.set_xlim(0, end * 1.45)
    base = figures.fastest(results, ["duckdb"])
    for at, (found, value) in enumerate(zip(measured, values)):
        colour = OURS if found.ours else OTHERS
        axes.barh(at, value - left, left=left, height=0.66, color=colour)
        low, high = shown.span(found)
        if runs > 1:
            axes.plot([low, high], [at, at], color=INK, linewidth=1, alpha=0.7)
        text = shown.written(value)
        if base is not None:
            text += f"   {shown.ratio(base, found)}"
        weight = "bold" if found.ours else "normal"
        axes.annotate(text, (high, at), (5, 0), textcoords="offset points", va="center", fontsize=9, fontweight=weight)
    for at, found in enumerate(failed, start=len(measured)):
        place = (0.01, at)
        axes.annotate(f"failed: {found.failed[:60]}", place, xycoords=axes.get_yaxis_transform(), va="center", fontsize=8)
    labels = [found.label for found in [*measured, *failed]]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    thing = f"median of {runs}, line: fastest to slowest" if shown.name == "wall" else f"median of {runs}"
    thing = thing if runs > 1 else "one run"
    axes.set_xlabel(f"{shown.axis}{', logarithmic' if logarithmic else ''} ({thing})", fontsize=9)


def grown(kind: str, sizes: dict, kept: dict) -> Drawing:
    """Time, time per GB and memory over the size of the file."""
    title = f"Growth with the file: {kind}, {runs(kept)}"
    drawing = Drawing(13.2, 4.2, 1, 3, title, [kept["machine"]])
    time, pace, memory = drawing.grid.flat
    steps = {size: store.unpack(entry["results"]) for size, entry in sizes.items()}
    gigabytes = {size: entry["bytes"] / 1e9 for size, entry in sizes.items()}
    base = report.linear({size: entry["bytes"] for size, entry in sizes.items()})
    keys = list(next(iter(steps.values())))
    for key, colour, marker in zip(keys, LINES, MARKERS):
        found = [(gigabytes[size], results[key]) for size, results in steps.items() if results[key].samples]
        if not found:
            continue
        across = [size for size, _ in found]
        wall = [figures.median(result, "wall") for _, result in found]
        peak = [figures.median(result, "peak") / 1e6 for _, result in found]
        drawn = {"color": colour, "marker": marker, "label": found[0][1].label, "linewidth": 1.8, "markersize": 5}
        time.plot(across, wall, **drawn)
        pace.plot(across, [seconds / size for seconds, size in zip(wall, across)], **drawn)
        memory.plot(across, peak, **drawn)
        anchor = steps[base][key]
        if anchor.samples:
            each = figures.median(anchor, "wall") / gigabytes[base]
            time.plot(across, [each * size for size in across], color=colour, linewidth=1, linestyle=":")
    plain = ticker.FuncFormatter(lambda value, _: f"{value:,.10g}")
    for axes in (time, pace, memory):
        axes.set_xscale("log")
        axes.set_xticks(list(gigabytes.values()), list(gigabytes))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.set_xlabel("size of the file")
        axes.grid()
    time.set_yscale("log")
    time.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    time.yaxis.set_minor_locator(ticker.NullLocator())
    time.yaxis.set_major_formatter(plain)
    time.set_title("Time")
    time.set_ylabel(f"seconds, logarithmic (dotted: as at {base})")
    pace.set_title("Time per GB")
    pace.set_ylabel("seconds per GB")
    pace.set_ylim(bottom=0)
    memory.set_title("Peak memory of all processes")
    memory.set_ylabel("MB")
    memory.set_ylim(bottom=0)
    time.legend(frameon=False, loc="upper left", fontsize=8)
    return drawing


def slaves(kind: str, entry: dict, kept: dict) -> Drawing:
    """Time and CPU seconds for each number of slaves."""
    results = {name: found for name, found in store.unpack(entry["results"]).items() if found.samples}
    title = f"More slaves of one worker each: {kind}, {entry['size']}"
    drawing = Drawing(7.2, 3.4, 1, 1, title, [f"{kept['machine']}; {runs(kept)}"])
    axes = drawing.grid[0, 0]
    one = results.get("1")
    most = 0.0
    for at, result in enumerate(results.values()):
        for name, shift, colour in (("wall", -0.2, OURS), ("cpu", 0.2, OTHERS)):
            value = figures.median(result, name)
            most = max(most, value)
            axes.bar(at + shift, value, 0.38, color=colour, label={"wall": "wall time", "cpu": "CPU, all processes"}[name] if at == 0 else None)
            ratio = f"\n{figures.times(one, result):.2f} ×" if one and name == "wall" else ""
            axes.annotate(f"{value:.2f} s{ratio}", (at + shift, value), (0, 3), textcoords="offset points", ha="center", fontsize=9)
    axes.set_xticks(range(len(results)), [result.label for result in results.values()])
    axes.set_ylim(0, most * 1.4 or 1)
    axes.set_ylabel("seconds (× as fast as one slave)")
    axes.grid(axis="y")
    axes.legend(frameon=False, loc="upper right", ncols=2)
    return drawing


def runs(kept: dict) -> str:
    return "one run" if kept["runs"] == 1 else f"medians of {kept['runs']}"


if __name__ == "__main__":
    main()
