"""What every command says: progress, and the verdict on the stars."""

from typing import TYPE_CHECKING

from rich.console import Console

from redflower.progress import counter as counter
from redflower.progress import say as say

if TYPE_CHECKING:
    from redflower.calibrate.verdict import Verdict


def show_verdict(verdict: "Verdict") -> None:
    """Say whether the stars are of the model's sky: what is right in green, what is wrong in red where colours are shown."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    style = "bold green" if verdict.good else "bold red"
    console.print(f"verdict: {verdict.heading}", style=style, markup=False)
    for fine, text in verdict.lines:
        console.print(f"  {'ok ' if fine else 'BAD'} {text}", style="green" if fine else "red", markup=False)


def warn_of_verdict(verdict: "Verdict | None") -> None:
    """Say it again, of a result made from inferred stars, where the model was not right for them."""
    if verdict is not None and not verdict.good:
        show_verdict(verdict)
