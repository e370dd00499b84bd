"""Rows, JSON and templates on standard output."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned to the widest cell, three blanks apart, with a line for the headings."""
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    return "".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )


def json_text(value: Any) -> str:
    """Indented, for people and for jq."""
    import json

    return json.dumps(value, indent=4, ensure_ascii=False) + "\n"


def formatted(template: str, items: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """One line an item.  `json` gives one object a line; `table …` adds headings from `columns` (field to heading);
    raises TemplateError."""
    if template == "json":
        import json

        return "".join(json.dumps(item, ensure_ascii=False, separators=(",", ":")) + "\n" for item in items)
    if template == "table":
        chosen = list(columns)
        return table([columns[field] for field in chosen], [[str(item[field]) for field in chosen] for item in items])
    from netd.cli.template import Template

    if template.startswith("table "):
        compiled = Template(template.removeprefix("table "))
        headings = compiled.render(_Headings(columns))
        lines = [headings, *(compiled.render(item) for item in items)]
        cells = [line.split("\t") for line in lines]
        width = max(len(row) for row in cells)
        padded = [row + [""] * (width - len(row)) for row in cells]
        return table(padded[0], padded[1:])
    compiled = Template(template)
    return "".join(compiled.render(item) + "\n" for item in items)


class _Headings(dict[str, object]):
    """Stands in for an item where the headings of a table are rendered."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        super().__init__(columns)

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> object:
        return name.upper()
