"""What a whole run gives back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.table import Table

from redflower.calibrate.verdict import Verdict
from redflower.cards import card, line
from redflower.products.page_run import facts
from redflower.products.sightline import SightlineResult
from redflower.products.skymap import SkyMap


@dataclass(frozen=True, repr=False)
class RunResult:
    """What `redflower.run` made.

    Attributes
    ----------
    folder : that holds it all; its ``index.html`` is the page.
    posteriors : a row per star, without the joint densities, which are in the file.
    verdict : whether the model is right for the stars.
    numbers : of ``run.json``.
    commands : that do the same by hand.
    clouds, sky : of ``sightline=True`` and ``sky_map=True``; None without.
    """

    folder: Path
    posteriors: Table
    verdict: Verdict | None
    numbers: dict[str, Any]
    commands: tuple[str, ...]
    clouds: SightlineResult | None = None
    sky: SkyMap | None = None

    def __repr__(self) -> str:
        return line(f"redflower run in {self.folder}", self._facts())

    def _repr_html_(self) -> str:
        return card(f"redflower run in {self.folder}", self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        return [(fact.question, fact.value) for fact in facts(self.numbers, self.verdict)]
