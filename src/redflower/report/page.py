"""The HTML page of a run: figures inside, no other file needed."""

import base64
import html
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:50rem;margin:2rem auto;padding:0 1rem}"
    "img{max-width:100%}table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;"
    "text-align:right}pre{overflow:auto;background:#f5f5f5;padding:.8rem;font-size:.8rem}"
)


def write_page(
    path: Path,
    *,
    title: str,
    summary: str,
    figures: Sequence[tuple[str, Figure]],
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]],
    provenance: dict[str, Any],
) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    path : the HTML file.
    title, summary : the heading, and the sentence that says what was found.
    figures : captions and figures.
    tables : captions, column names and rows.
    provenance : what the run used, shown as JSON.
    """
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1><p>{html.escape(summary)}</p>",
    ]
    for caption, figure in figures:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150)
        image = base64.b64encode(buffer.getvalue()).decode()
        text = html.escape(caption)
        parts.append(f"<figure><img alt='{text}' src='data:image/png;base64,{image}'>")
        parts.append(f"<figcaption>{text}</figcaption></figure>")
    for caption, names, rows in tables:
        parts.append(f"<h2>{html.escape(caption)}</h2><table><tr>")
        parts += [f"<th>{html.escape(name)}</th>" for name in names]
        parts.append("</tr>")
        parts += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
        parts.append("</table>")
    parts.append(
        f"<h2>Provenance</h2><pre>{html.escape(json.dumps(provenance, indent=1))}</pre></body></html>"
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text("\n".join(parts), encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
