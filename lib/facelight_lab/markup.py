"""A table as notebooks and pages show it: text where there is nothing else, HTML in a browser."""

from __future__ import annotations

import html
import itertools
import re

from facelight._extras import extra
from facelight_lab.statistics import NOTHING

with extra("book"):
    import pandas as pd

FOLDED = 8
"""A table of more rows is folded below its title."""
DENSE = 7
"""A table of more columns has smaller letters."""

_NUMBER = re.compile(r"Table (\w+)\.(\d+)\. ")
_WORD = re.compile(r"(?!inf|nan)[^\W\d_]{3}")


class Table:
    """What `tables.show` displays: its text is what nbval compares, its HTML what a reader sees.

    Args:
        frame: the rows.
        title: what is measured, on what, and the unit; "Table 3.2. Mean PSNR, dB" has a number, which makes the table's
            anchor `#table-3-2`.

    >>> print(Table(pd.DataFrame({"x1": ["2.0"]}, index=["plain network"]), "Error, %"))
    Error, %
                    x1
    plain network  2.0
    """

    def __init__(self, frame: pd.DataFrame, title: str) -> None:
        self.frame, self.title = frame.copy(), title
        self.frame.index.names = [None] * frame.index.nlevels
        self.frame.columns.names = [None] * frame.columns.nlevels

    def __repr__(self) -> str:
        lines = self.frame.to_string(na_rep=NOTHING).splitlines()
        return "\n".join([self.title, *(line.rstrip() for line in lines)])

    def _repr_html_(self) -> str:
        title = html.escape(self.title, quote=False)
        if number := _NUMBER.match(self.title):
            title = f"<b>{number[0].strip()}</b> {title[number.end() :]}"
        anchor = f' id="table-{number[1]}-{number[2]}"'.lower() if number else ""
        rows = len(self.frame)
        if rows <= FOLDED:
            return f'<div class="lab-table"{anchor}>{_scrolling(self.frame, title)}</div>'
        summary = f'<summary>{title} <span class="lab-rows">({rows} rows)</span></summary>'
        inside = _scrolling(self.frame, title, hidden=True)
        return f'<details class="lab-table"{anchor}>{summary}{inside}</details>'


def _scrolling(frame: pd.DataFrame, title: str, *, hidden: bool = False) -> str:
    """The table in a box that scrolls sideways by itself, on a narrow screen."""
    caption = f'<caption class="lab-hidden">{title}</caption>' if hidden else f"<caption><span>{title}</span></caption>"
    with pd.option_context("display.max_colwidth", None):
        text = frame.to_html(na_rep=NOTHING, border=0)
    names = "dataframe" + " lab-levels" * (frame.index.nlevels > 1) + " lab-dense" * (frame.shape[1] > DENSE)
    head, _, body = text.partition("<tbody>")
    head = re.sub(r"<table[^>]*>", lambda _: f'<table class="{names}">{caption}', head, count=1)
    return f'<div class="lab-scroll">{_headings(head, frame)}<tbody>{_rows(body, frame)}</div>'


def _headings(head: str, frame: pd.DataFrame) -> str:
    """The first lines with their scopes; the corner is no heading."""
    head = re.sub(r' style="[^"]*"| [hv]align="\w+"', "", head).replace("<th></th>", "<td></td>")
    head = re.sub(r'<th colspan="(\d+)">', r'<th scope="colgroup" colspan="\1">', head)
    above, start, last = head.rpartition("<tr>")
    kinds = iter(_alignments(frame))
    last = re.sub("<th>", lambda _: f'<th scope="col"{next(kinds)}>', last)
    return above.replace("<th>", '<th scope="col">') + start + last


def _rows(body: str, frame: pd.DataFrame) -> str:
    """The other lines: names of rows are headings, numbers stand at the right."""
    body = re.sub(r'<th rowspan="(\d+)"[^>]*>', r'<th scope="rowgroup" rowspan="\1">', body)
    body = body.replace("<th>", '<th scope="row">')
    kinds = itertools.cycle(_alignments(frame))
    return re.sub(r"<td>([^<]*)", lambda cell: f"<td{next(kinds)}>{_together(cell[1])}", body)


def _alignments(frame: pd.DataFrame) -> list[str]:
    """For each column nothing where it holds numbers, perhaps with their intervals, else the class of text."""
    columns = [[str(value) for value in frame.iloc[:, k]] for k in range(frame.shape[1])]
    text = [any(map(_WORD.search, cells)) or not re.search(r"\d", "".join(cells)) for cells in columns]
    return [' class="lab-text"' if words else "" for words in text]


def _together(cell: str) -> str:
    """A cell that breaks before an interval in brackets or a scatter, if it must, and not within it."""
    return re.sub(r"\[[^\]]*\]", lambda interval: interval[0].replace(" ", "&nbsp;"), cell).replace("±", "<wbr/>±")
