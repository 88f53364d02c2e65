"""The HTML page of a run: figures inside, no other file needed."""

import base64
import html
import io
import json
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from redflower.calibrate.verdict import Verdict
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
    ".verdict{border-left:.4rem solid #888;background:#f5f5f5;padding:.6rem 1rem;margin:1rem 0}"
    ".verdict p,.verdict ul{margin:.2rem 0}.right{border-color:#1a7f37}.right strong{color:#176b30}"
    ".wrong{border-color:#b3261e;background:#fdf1f0}.wrong strong,.wrong>ul{color:#a11c15}"
    "pre{overflow:auto;background:#f5f5f5;padding:.8rem;font-size:.8rem}"
)


class NotJudged(Enum):
    """The mark of a page on which no verdict is due."""

    NOT_JUDGED = "not judged"


NOT_JUDGED: Final = NotJudged.NOT_JUDGED

#: Figures up to this width fit a common phone, but for a few pixels of margin.
_PHONE_PX = 380


def verdict_block(verdict: Verdict | None) -> str:
    """Return whether the model is right for the stars, as HTML: in words, and in green or red."""
    if verdict is None:
        return (
            "<section class='verdict'><p><strong>Verdict: none came with these stars.</strong> Another program dropped "
            "it, or an earlier version of redflower inferred them: infer them again to know whether the model is right "
            "for them.</p></section>"
        )
    kind = "wrong" if not verdict.good else "right" if verdict.enough else ""
    parts = [
        f"<section class='verdict {kind}'><p><strong>Verdict: {html.escape(verdict.heading)}.</strong></p>"
    ]
    parts.append(_list(verdict.bad_lines))
    fine = [text for good, text in verdict.lines if good]
    if fine:
        parts.append(
            f"<details{'' if verdict.enough else ' open'}><summary>what was found in order</summary>{_list(fine)}</details>"
        )
    return "".join([*parts, "</section>"])


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}.</li>" for line in lines) + "</ul>" if lines else ""


def write_page(
    path: Path,
    *,
    title: str,
    summary: str,
    figures: Sequence[tuple[str, Figure]],
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]],
    provenance: dict[str, Any],
    verdict: "Verdict | None | NotJudged" = NOT_JUDGED,
) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    path : the HTML file.
    title, summary : the heading, and the sentence that says what was found.
    figures : captions and figures.
    tables : captions, column names and rows.
    provenance : what the run used, shown as JSON.
    verdict : on the stars, which stands first; None says that none came with them. Defaults to leaving the matter out.
    """
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        "" if isinstance(verdict, NotJudged) else verdict_block(verdict),
        f"<p>{html.escape(summary)}</p>",
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
