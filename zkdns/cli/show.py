"""Tables for people: they fit the terminal, and piped they are plain lines for grep.

Rules: colour only on a terminal; text from the registry is never read as markup, and what a terminal might
act on is written out (`printable`): in each cell here, and once more where a console draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from zkdns.printable import printable

WIDEST: Final = 100_000
GAP: Final = 2

NARROW: Final = 8
"""To which a column is cut before the others are, where there is no room for all."""

WIDE: Final = 100
"""Characters of a cell that a column makes room for: one that is longer stands out on its own line, and does
not push away what all others say."""

STYLES: Final = {
    "healthy": "green",
    "warming": "cyan",
    "suspect": "yellow",
    "starting": "yellow",
    "draining": "yellow",
    "drained": "yellow",
    "down": "red",
    "failing": "red",
    "in": "green",
    "out": "red",
    "added": "green",
    "removed": "red",
}


class Column(Struct, frozen=True):
    """`spare`: left out where the terminal is narrow, the highest first; 0 never. `folds`: what is
    longer goes on below, in at least this width; 0 is never folded."""

    title: str
    right: bool = False
    spare: int = 0
    folds: int = 0


class _Console(Console):
    """Whatever is drawn: of a text only line ends act on the terminal; colours are rich's own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                plain = "\n".join(map(printable, segment.text.split("\n")))
                yield Segment(plain, segment.style)


def open_console(stderr: bool = False) -> Console:
    """Piped, a width that nobody has would fold lines: there is none."""
    console = _Console(highlight=False, markup=False, emoji=False, stderr=stderr)
    if not console.is_terminal:
        console.width = WIDEST
    return console


def print_table(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """One line a row where there is room; piped, always."""
    cells = [[_cell(value) for value in row] for row in rows]
    if console.is_terminal:
        console.print(_build(columns, cells, console.width))
    else:
        _print_plainly(console, columns, [[cell.plain for cell in row] for row in cells])


def build_table(columns: Sequence[Column], rows: Iterable[Sequence[object]], width: int) -> Table:
    """The same for a terminal of that width, to be drawn with other things."""
    return _build(columns, [[_cell(value) for value in row] for row in rows], width)


def _build(columns: Sequence[Column], cells: Sequence[Sequence[Text]], width: int) -> Table:
    widths = _measure(columns, [[cell.plain for cell in row] for row in cells])
    shown = fit(columns, widths, width)
    least = cut_widest({at: min(widths[at], columns[at].folds or widths[at]) for at in shown}, width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for at in shown:
        column = columns[at]
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
            min_width=least[at],
            max_width=None if column.folds else least[at],
        )
    for row in cells:
        table.add_row(*(row[at] for at in shown))
    return table


def _measure(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max([len(c.title), *(min(len(row[at]), WIDE) for row in rows)]) for at, c in enumerate(columns)]


def fit(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Which columns there is room for, by their place."""
    shown = list(range(len(columns)))

    def needed() -> int:
        least = (min(widths[at], columns[at].folds or widths[at]) for at in shown)
        return sum(least) + GAP * (len(shown) - 1)

    while needed() > room:
        spare = max(shown, key=lambda at: columns[at].spare)
        if not columns[spare].spare:
            break
        shown.remove(spare)
    return shown


def cut_widest(widths: Mapping[int, int], room: int) -> dict[int, int]:
    """As much of each column as there is room for: one long name costs the words of the others nothing."""
    cut = dict(widths)
    over = sum(cut.values()) + GAP * (len(cut) - 1) - room
    for _ in range(max(0, over)):
        widest = max(cut, key=cut.__getitem__)
        if cut[widest] <= NARROW:
            break
        cut[widest] -= 1
    return cut


def _print_plainly(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    widths = _measure(columns, rows)
    for cells in [[column.title for column in columns], *rows]:
        line = (" " * GAP).join(
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(cells, widths, columns, strict=True)
        )
        console.file.write(line.rstrip() + "\n")


def _cell(value: object) -> Text:
    """Text in the colour of its word; a Text has one already."""
    if isinstance(value, Text):
        return value
    plain = clean("-" if value is None or value == "" else str(value))
    return Text(plain, STYLES.get(plain, ""))


def clean(text: str) -> str:
    """Without what could move the cursor or recolour the terminal."""
    return printable(text)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
