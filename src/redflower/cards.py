"""How results and models show themselves: a line in a terminal, a small table in a notebook."""

import html
from collections.abc import Sequence


def line(kind: str, rows: Sequence[tuple[str, str]]) -> str:
    """Return one line: what it is, and a few facts."""
    return f"<{kind}: {'; '.join(f'{name} {value}' for name, value in rows)}>"


def card(kind: str, rows: Sequence[tuple[str, str]]) -> str:
    """Return the same as a small table for notebooks."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th><td style='text-align:left'>{html.escape(value)}</td></tr>"
        for name, value in rows
    )
    return f"<table><caption style='text-align:left'><b>{html.escape(kind)}</b></caption>{cells}</table>"
