"""The HTML page of a run: figures inside, no other file needed."""

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from redflower.files import written_whole
from redflower.plot.style import save_figure

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.6rem;line-height:1.2}figure{margin:1.5rem 0}img{max-width:100%;height:auto}"
    "figcaption{color:#555;font-size:.9rem}.wide{overflow-x:auto}"
    "@media(max-width:600px){.scrolled+figcaption::before{content:'Wider than the screen: scroll sideways. '}}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}"
    "td:first-child,th:first-child{text-align:left}"
    "pre{overflow:auto;background:#f5f5f5;padding:.8rem;font-size:.8rem}"
)

#: Figures up to this width fit a common phone, but for a few pixels of margin.
_PHONE_PX = 380


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
        save_figure(figure, buffer, format="png", dpi=150)
        image = base64.b64encode(buffer.getvalue()).decode()
        text = html.escape(caption)
        # On a narrow screen a wide figure is scrolled, not shrunk beyond reading.
        width = min(576, int(100 * figure.get_figwidth()))
        kind = "wide scrolled" if width > _PHONE_PX else "wide"
        parts.append(
            f"<figure><div class='{kind}'><img alt='{text}' style='min-width:{width}px' "
            f"src='data:image/png;base64,{image}'></div>"
        )
        parts.append(f"<figcaption>{text}</figcaption></figure>")
    for caption, names, rows in tables:
        parts.append(f"<h2>{html.escape(caption)}</h2><div class='wide'><table><tr>")
        parts += [f"<th>{html.escape(name)}</th>" for name in names]
        parts.append("</tr>")
        parts += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
        parts.append("</table></div>" + ("" if rows else "<p>None.</p>"))
    parts.append(
        "<h2>Provenance</h2><details><summary>what this run used</summary>"
        f"<pre>{html.escape(json.dumps(provenance, indent=1, default=str))}</pre></details></body></html>"
    )
    with written_whole(path) as part:
        part.write_text("\n".join(parts), encoding="utf-8")
