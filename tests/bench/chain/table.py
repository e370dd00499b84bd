"""Rows from samples, and the rows as text, as a document's table and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .contestants import CONTESTANTS
from .engine import EngineFigures
from .figures import Comparison, Row, Series
from .measure import WIDTH, Run, Samples
from .nerdctl import NerdctlFigures
from .networks import BACKENDS, plugin_list
from .promises import EXISTING, IDLE_SWITCHES, MEMORY_MB, NERDCTL, PARALLEL, READY_SECONDS, Pair, Promise

__all__ = [
    "chain_rows",
    "engine_rows",
    "existing_rows",
    "milliseconds",
    "nerdctl_rows",
    "parallel_rows",
    "ratio_row",
    "samples_as_json",
    "steps_table",
    "table",
]

HEAD = ("what", "theirs, ms", "ours, ms", "ratio", "of minima", "goal", "at least", "reached")


def milliseconds(series: Series) -> str:
    """Median, and the minimum in brackets."""
    return f"{series.median * 1e3:.1f} ({series.minimum * 1e3:.1f})"


def ratio_row(group: str, what: str, comparison: Comparison, promise: Promise) -> Row:
    """A line that compares two series of seconds."""
    return Row(
        group=group,
        what=what,
        base=milliseconds(comparison.base),
        ours=milliseconds(comparison.ours),
        value=comparison.ratio,
        minima=comparison.ratio_of_minima,
        goal=promise.goal,
        at_least=promise.at_least,
        samples=len(comparison.ours.samples),
    )


def chain_rows(run: Run, pairs: Iterable[Pair]) -> list[Row]:
    """Lines of the pairs whose two sides have finished."""
    rows = []
    for pair in pairs:
        if pair.ours not in run.samples or pair.base not in run.samples:
            continue
        ours, base = run.samples[pair.ours], run.samples[pair.base]
        name = f"{CONTESTANTS[pair.ours].label} / {CONTESTANTS[pair.base].label}"
        for verb, promise in (("ADD", pair.add), ("DEL", pair.delete)):
            comparison = Comparison(base.series(verb), ours.series(verb))
            rows.append(ratio_row(pair.group, f"{verb}: {name}", comparison, promise))
        if pair.deferred:
            comparison = Comparison(base.whole_delete(), ours.whole_delete())
            rows.append(ratio_row(pair.group, "DEL and the link's end after it: the same two", comparison, Promise()))
    return rows


def existing_rows(runs: Mapping[int, Run], ours: str, base: str) -> list[Row]:
    """ADD and DEL with containers present."""
    rows = []
    for count, run in runs.items():
        if ours in run.samples and base in run.samples:
            for verb, promise in (("ADD", EXISTING.get(count, Promise())), ("DEL", Promise())):
                comparison = Comparison(run.samples[base].series(verb), run.samples[ours].series(verb))
                rows.append(ratio_row("existing", f"{verb} with {count} containers present", comparison, promise))
    return rows


def parallel_rows(run: Run, ours: str, base: str) -> list[Row]:
    """Throughput of many at once, as containers a second."""
    rows = []
    if ours in run.samples and base in run.samples:
        for verb, promise in (("ADD", PARALLEL), ("DEL", Promise())):
            comparison = Comparison(run.samples[base].series(verb), run.samples[ours].series(verb))
            row = ratio_row("parallel", f"{WIDTH} at once, {verb}, until all are done", comparison, promise)
            rates = [f"; {WIDTH / side.median:.0f}/s" for side in (comparison.base, comparison.ours)]
            rows.append(row.with_cells(row.base + rates[0], row.ours + rates[1]))
    return rows


def engine_rows(figures: EngineFigures) -> list[Row]:
    """The engine's own lines."""

    def row(what: str, text: str, value: float, unit: str, promise: Promise) -> Row:
        return Row("engine", what, "", text, value, unit, goal=promise.goal, at_least=promise.at_least, smaller=True)

    ready = f"{milliseconds(figures.ready)} ms"
    memory = f"{figures.memory_at_start:.1f} MB at start, {figures.memory_after:.1f} MB after their end"
    idle = f"{figures.ticks} CPU ticks, {figures.threads} threads"
    return [
        row(f"engine: memory, {figures.attached} containers", memory, figures.memory_attached, " MB", MEMORY_MB),
        row(f"engine: wake-ups in {figures.seconds:g} s of idling", idle, figures.switches, "", IDLE_SWITCHES),
        row("engine: start until it answers", ready, figures.ready.median, " s", READY_SECONDS),
    ]


def nerdctl_rows(figures: NerdctlFigures) -> list[Row]:
    """nerdctl's lines; those with --net host tell how much of the time is not the plugins'."""
    network = Comparison(figures.reference, figures.ours)
    without = Comparison(figures.reference_host, figures.ours_host)
    saved = (figures.reference.median - figures.ours.median) * 1e3
    return [
        ratio_row("nerdctl", f"nerdctl run --rm: {saved:.0f} ms saved", network, NERDCTL),
        ratio_row("nerdctl", "nerdctl run --rm --net host", without, Promise()),
    ]


def table(rows: Sequence[Row]) -> str:
    """A Markdown table that also reads well in a terminal."""
    return _aligned([HEAD, *(_cells(row) for row in rows)])


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.what,
        row.base,
        row.ours,
        _number(row.value, row.unit),
        "" if row.minima is None else _number(row.minima, "x"),
        "" if row.goal is None else _number(row.goal, row.unit, exact=True),
        "" if row.at_least is None else _number(row.at_least, row.unit, exact=True),
        row.verdict,
    )


def _number(value: float, unit: str, *, exact: bool = False) -> str:
    return f"{value:g}{unit}" if exact else f"{value:.2f}{unit}" if abs(value) < 2 else f"{value:.1f}{unit}"


def steps_table(run: Run) -> str:
    """The median of each plugin on its own, in the order of ADD."""
    plugins = [str(plugin["type"]) for plugin in plugin_list(BACKENDS["default"], 1)]
    lines = [("ADD + DEL of each plugin, ms", *plugins)]
    for name, samples in run.samples.items():
        add, delete = samples.steps("ADD"), samples.steps("DEL")[::-1]
        if len(add) == len(plugins):
            cells = [f"{a.median * 1e3:.2f} + {d.median * 1e3:.2f}" for a, d in zip(add, delete, strict=True)]
            lines.append((CONTESTANTS[name].label, *cells))
    return _aligned(lines) if len(lines) > 1 else ""


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts)


def samples_as_json(samples: Mapping[str, Samples]) -> dict[str, object]:
    """Every sample, in seconds, of each program."""
    return {name: {"add": one.add, "delete": one.delete, "deferred": one.deferred} for name, one in samples.items()}
