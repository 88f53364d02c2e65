"""The HTML page of a run: figures inside, no other file needed."""

import base64
import html
import io
import json
import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

from matplotlib.figure import Figure

from redflower.calibrate.verdict import Verdict
from redflower.files import written_whole
from redflower.plot.style import save_figure

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:72rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.6rem;line-height:1.2}p{max-width:60rem}figure{margin:1.5rem 0}img{max-width:100%;height:auto}"
    ".facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:.8rem;margin:1rem 0}"
    ".facts div{background:#f5f5f5;border-top:.3rem solid #888;padding:.6rem 1rem}.facts h2{font-size:.9rem;margin:0;color:#555}"
    ".facts .value{font-size:1.35rem;line-height:1.25;margin:.3rem 0;font-weight:600}.facts p{margin:0;font-size:.9rem}"
    ".facts .right{border-color:#1a7f37}.facts .wrong{border-color:#b3261e;background:#fdf1f0}.facts .wrong .value{color:#a11c15}"
    ".side{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,28rem),1fr));gap:0 1.5rem;align-items:start}"
    ".side>*{min-width:0}.side>.whole{grid-column:1/-1}"
    "nav a{margin-right:1rem;display:inline-block}"
    "figcaption{color:#555;font-size:.9rem}.wide{overflow-x:auto}"
    "@media(max-width:600px){img{min-width:var(--narrowest)}}"
    "@media(max-width:600px){.scrolled+figcaption::before{content:'Wider than the screen: scroll sideways. '}}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}"
    "td:first-child,th:first-child,td.text,th.text{text-align:left}td.text{white-space:normal;min-width:16rem;max-width:48rem}"
    ".verdict{border-left:.4rem solid #888;background:#f5f5f5;padding:.6rem 1rem;margin:1rem 0}"
    ".verdict p,.verdict ul{margin:.2rem 0}.right{border-color:#1a7f37}.right strong{color:#176b30}"
    ".wrong{border-color:#b3261e;background:#fdf1f0}.wrong strong,.wrong>ul{color:#a11c15}"
    "pre{overflow:auto;background:#f5f5f5;padding:.8rem;font-size:.8rem}"
)


class NotJudged(Enum):
    """The mark of a page on which no verdict is due."""

    NOT_JUDGED = "not judged"


NOT_JUDGED: Final = NotJudged.NOT_JUDGED

#: Wider figures cannot be read in half of the page: they get a row of their own. [inch]
_HALF_INCH = 7.5
#: Cells of more letters are text: they stand left and are wrapped.
_TEXT_LETTERS = 32
#: Figures up to this width fit a common phone, but for a few pixels of margin.
_PHONE_PX = 380


class Fact(NamedTuple):
    """What a page says first.

    Attributes
    ----------
    question, value, note : what is asked, the answer in large letters, and a sentence on it.
    good : whether the answer is good news; None where it is neither.
    """

    question: str
    value: str
    note: str
    good: bool | None = None


def verdict_fact(verdict: Verdict | None, why: str = "") -> Fact:
    """Return the first fact of every page: whether the model is right for the stars.

    Parameters
    ----------
    verdict : on the stars; None if none came with them.
    why : what to say where it is right, such as which model it is.
    """
    question = "Is the model right for these stars?"
    if verdict is None:
        return Fact(question, "not known", "No verdict came with them.")
    if not verdict.good:
        return Fact(
            question,
            "no",
            "What is wrong stands below; numbers beside are not to be believed yet.",
            good=False,
        )
    answer = "yes" if verdict.enough else "too few stars to say"
    return Fact(
        question,
        answer,
        why or "Nothing in the stars speaks against it; what was looked at stands below.",
        verdict.good if verdict.enough else None,
    )


def words(text: str) -> str:
    """Return text as HTML, with what is between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _facts(facts: Sequence[Fact]) -> str:
    if not facts:
        return ""
    parts = ["<div class='facts'>"]
    for fact in facts:
        kind = "" if fact.good is None else "right" if fact.good else "wrong"
        parts.append(
            f"<div class='{kind}'><h2>{html.escape(fact.question)}</h2><p class='value'>{html.escape(fact.value)}</p>"
            f"<p>{words(fact.note)}</p></div>"
        )
    return "".join([*parts, "</div>"])


def _contents(
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]],
    commands: Sequence[str],
    links: Sequence[tuple[str, str]],
) -> str:
    """Return links to what follows the first figure."""
    places = [("more figures", "figures")]
    places += [("files and pages", "files")] if links else []
    places += [("the same by hand", "commands")] if commands else []
    places += [
        (caption.partition("\n")[0].partition(" (")[0], f"table-{k}")
        for k, (caption, _, _) in enumerate(tables)
    ]
    places.append(("provenance", "provenance"))
    anchors = [f"<a href='#{place}'>{words(text)}</a>" for text, place in places]
    return f"<nav aria-label='contents'>{' '.join(anchors)}</nav>"


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
    return "<ul>" + "".join(f"<li>{words(line)}.</li>" for line in lines) + "</ul>" if lines else ""


def write_page(
    path: Path,
    *,
    title: str,
    summary: str,
    figures: Sequence[tuple[str, Figure]],
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]],
    provenance: dict[str, Any],
    verdict: "Verdict | None | NotJudged" = NOT_JUDGED,
    facts: Sequence[Fact] = (),
    commands: Sequence[str] = (),
    links: Sequence[tuple[str, str]] = (),
) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    path : the HTML file.
    title, summary : the heading, and the sentence that says what was found.
    figures : captions and figures.
    tables : captions, column names and rows; what follows a caption's first line explains its terms.
    provenance : what the run used, shown as JSON.
    verdict : on the stars, which stands first; None says that none came with them. Defaults to leaving the matter out.
    facts : what a reader should see before all else.
    commands : those that do the same by hand, a line each.
    links : texts and places of other pages and files beside.
    """
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        _facts(facts),
        "" if isinstance(verdict, NotJudged) else verdict_block(verdict),
        f"<p>{html.escape(summary)}</p>" if summary else "",
    ]
    for k, (caption, figure) in enumerate(figures):
        if k == 1:
            parts.append(_contents(tables, commands, links))
            parts.append("<h2 id='figures'>More figures</h2><div class='side'>")
        buffer = io.BytesIO()
        save_figure(figure, buffer, format="png", dpi=150)
        image = base64.b64encode(buffer.getvalue()).decode()
        text = html.escape(caption)
        # On a narrow screen a wide figure is scrolled, not shrunk beyond reading.
        width = min(576, int(100 * figure.get_figwidth()))
        kind = "wide scrolled" if width > _PHONE_PX else "wide"
        place = " class='whole'" if figure.get_figwidth() > _HALF_INCH else ""
        parts.append(
            f"<figure{place}><div class='{kind}'><img alt='{text}' style='--narrowest:{width}px' "
            f"src='data:image/png;base64,{image}'></div>"
        )
        parts.append(f"<figcaption>{text}</figcaption></figure>")
    parts.append("</div>" if len(figures) > 1 else "")
    if links:
        parts.append("<h2 id='files'>Files and pages</h2><ul>")
        parts += [f"<li><a href='{html.escape(place)}'>{html.escape(text)}</a></li>" for text, place in links]
        parts.append("</ul>")
    if commands:
        text = html.escape("\n".join(commands))
        parts.append(f"<h2 id='commands'>The same by hand</h2><pre>{text}</pre>")
    for k, (caption, names, rows) in enumerate(tables):
        heading, _, note = caption.partition("\n")
        parts.append(f"<h2 id='table-{k}'>{words(heading)}</h2>")
        parts.append(f"<p>{words(note)}</p>" if note else "")
        parts.append("<div class='wide'><table><tr>")
        kinds = [
            " class='text'" if any(len(cell) > _TEXT_LETTERS for cell in column) else ""
            for column in (zip(*rows, strict=True) if rows else [()] * len(names))
        ]
        parts += [f"<th{kind}>{html.escape(name)}</th>" for kind, name in zip(kinds, names, strict=True)]
        parts.append("</tr>")
        for row in rows:
            cells = (f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
            parts.append(f"<tr>{''.join(cells)}</tr>")
        parts.append("</table></div>" + ("" if rows else "<p>None.</p>"))
    parts.append(
        "<h2 id='provenance'>Provenance</h2><details><summary>what this run used</summary>"
        f"<pre>{html.escape(json.dumps(provenance, indent=1, default=str))}</pre></details></body></html>"
    )
    with written_whole(path) as part:
        part.write_text("\n".join(parts), encoding="utf-8")
