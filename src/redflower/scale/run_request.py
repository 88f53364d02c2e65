"""What a run is asked to prepare, and the model that fits it."""

from dataclasses import dataclass
from pathlib import Path

from astropy.table import Table

from redflower.catalogue import PreparedStars, QualityLimits, prepare
from redflower.catalogue.io.sources import TableSource
from redflower.catalogue.prepared import is_simulated, table_scale
from redflower.catalogue.quality.zero_point import ZeroPoint
from redflower.catalogue.reading.reader import Duplicates
from redflower.errors import InputError
from redflower.flow import Model, load_model
from redflower.photometric_scales import MOCK_SKY_SCALE, make_scale


@dataclass(frozen=True)
class Request:
    """What `prepare` is asked for."""

    table: TableSource
    columns: "str | Path | None"
    photometry: str | None
    zero_point: str | float
    ebv_map: str | None
    duplicates: Duplicates
    keep: tuple[str, ...]

    @property
    def said(self) -> str:
        """The table as a command has it."""
        return str(self.table) if isinstance(self.table, (str, Path)) else "TABLE"

    @property
    def name(self) -> str:
        """The table as a page has it."""
        return Path(self.table).name if isinstance(self.table, (str, Path)) else "a table in memory"

    def prepare(self, model: Model) -> PreparedStars:
        """Return the stars within the model's limits in G."""
        return prepare(
            self.table,
            purpose="inference",
            columns=self.columns,
            photometry=self.photometry,
            limits=QualityLimits(model.g_bright_mag, model.g_faint_mag),
            zero_point=_zero_point(self.zero_point),
            ebv_map=self.ebv_map,
            duplicates=self.duplicates,
            keep=self.keep,
        )


def prepared_for(request: Request, model: Model | str | Path | None) -> tuple[Model, str, PreparedStars]:
    """Return the model of a run, why it is that, and the stars prepared for it.

    Parameters
    ----------
    request : the stars.
    model : what the user asked for. If None, ``archive-sky``, or ``mock-sky`` for stars of the mock Galaxy.
    """
    if isinstance(model, Model):
        return model, f"{model.name}, as asked.", request.prepare(model)
    if model is not None:
        loaded = load_model(model)
        return loaded, f"{model}, as asked.", request.prepare(loaded)
    loaded = load_model("archive-sky")
    prepared = request.prepare(loaded)
    if not _is_mock(prepared.table):
        return loaded, "archive-sky, trained for stars as the archives deliver them.", prepared
    loaded = load_model("mock-sky")
    why = "mock-sky, for these stars are of the simulated mock Galaxy that it was trained on."
    return loaded, why, request.prepare(loaded)


def _is_mock(prepared: Table) -> bool:
    """Return whether stars are of the simulated mock Galaxy: those of the population ``sky`` are on the archives' scale."""
    return is_simulated(prepared.colnames) and table_scale(prepared) == make_scale(MOCK_SKY_SCALE)


def _zero_point(given: str | float) -> ZeroPoint:
    if given in ("auto", "none"):
        return given  # type: ignore[return-value]
    try:
        return float(given)
    except ValueError:
        raise InputError(
            f"zero_point {given!r}: give auto, none, or the zero point in mas, e.g. -0.029."
        ) from None
