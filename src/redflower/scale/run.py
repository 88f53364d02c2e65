"""All steps of a usual run: prepare, infer, judge, and where it is asked for the clouds and the map; tables and one page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import astropy.units as u
import numpy as np
from astropy.table import Table
from astropy_healpix import HEALPix

from redflower.api.inference import matching_prior
from redflower.api.posteriors import ebv_prior_mag
from redflower.api.sightlines import fit_posteriors, sightline_rows
from redflower.api.sky_maps import MIN_STARS, make_sky_map
from redflower.api.statuses import status_counts, usable_rows
from redflower.calibrate.verdict import verdict_of
from redflower.catalogue import (
    DistancePrior,
    PreparedStars,
    QualityLimits,
    prepare,
    read_table,
    write_table,
)
from redflower.catalogue.io.sources import TableSource
from redflower.catalogue.maps.distance_prior import named_distance_prior
from redflower.catalogue.prepared import is_simulated, table_scale
from redflower.catalogue.quality.zero_point import ZeroPoint
from redflower.catalogue.reading.reader import Duplicates
from redflower.errors import InputError
from redflower.files import check_new_folder
from redflower.flow import Model, load_model
from redflower.photometric_scales import MOCK_SKY_SCALE, make_scale
from redflower.posterior import InferenceSettings, Status
from redflower.posterior.columns import DENSITY_COLUMNS, EBV_PRIOR_COLUMNS
from redflower.posterior.density import joint_density
from redflower.posterior.status import STATUS_MESSAGES
from redflower.products.run import (
    BINS,
    CLOUDS,
    CUTS,
    DRAWN_COLUMNS,
    MAP,
    POSTERIORS,
    STARS,
    write_run,
)
from redflower.products.sightline import write_sightline
from redflower.products.skymap import write_sky_map
from redflower.progress import say, shown
from redflower.provenance import META_KEY
from redflower.scale.run_commands import Commands
from redflower.scale.run_result import RunResult
from redflower.scale.stream import infer_file
from redflower.sightline import binned_profile, mean_reddening

#: Of more stars than this the mean reddening is of so many of them at random. [-]
MEAN_OF: Final = 20_000
#: Stars of a bin of distance, and at most so many bins.
STARS_A_BIN, MAX_BINS = 25, 14
#: What `redflower sightline` and `redflower map` compare by default.
MAX_CLOUDS, MAP_CLOUDS = 4, 2
MAP_DISTANCES_PC: Final = (200.0, 400.0, 700.0, 1000.0, 1500.0, 2000.0, 3000.0)
_FINEST_NSIDE: Final = 64


def run(
    table: TableSource,
    out: "str | Path",
    *,
    model: Model | str | Path | None = None,
    sightline: bool = False,
    sky_map: bool = False,
    columns: "str | Path | None" = None,
    photometry: str | None = None,
    zero_point: str | float = "auto",
    ebv_map: str | None = None,
    distance_prior: "DistancePrior | str | Path | None" = None,
    duplicates: Duplicates = "error",
    keep: Sequence[str] = (),
    nside: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> RunResult:
    """Go from a table of stars to posteriors, a verdict and one page, in one call.

    Parameters
    ----------
    table : stars as an archive delivers them: the path of a file, an astropy table, a data frame, an Arrow table.
    out : folder to make. It will hold ``index.html``, ``stars.parquet`` (prepared), ``posteriors.parquet``, ``bins.ecsv``,
        ``cuts.json`` and ``run.json``.
    model : a model, the name of a shipped one, or the path of a model file. Defaults to ``archive-sky``, which was trained for
        real stars; for stars of `redflower.simulate`'s mock Galaxy to ``mock-sky``, which was trained on it.
    sightline : also find the clouds along the line of sight, in the folder ``clouds``. It takes minutes.
    sky_map : also map the reddening over the sky, in ``sky.fits``.
    columns, photometry, zero_point, ebv_map, duplicates, keep : as of `redflower.prepare`.
    distance_prior : the one that the model was trained with, or its file. Defaults to the one that comes with the model.
    nside : HEALPix resolution of the map; by default as fine as the stars allow, 64 at most.
    seed : of the random numbers.
    progress : whether to say what is done. Defaults to True on a terminal and in a notebook.

    Returns
    -------
    The posteriors, the verdict, the numbers of the page, and the commands that do the same by hand.

    Raises
    ------
    InputError : the folder holds something already, or a step refuses its input.

    Examples
    --------
    >>> import redflower
    >>> result = redflower.run("raw.parquet", "field", progress=False)
    >>> redflower.read_table("field/posteriors.parquet", columns=["ebv_mean", "status"]).colnames
    ['ebv_mean', 'status']
    """
    out = Path(out)
    check_new_folder(out)
    tell: Callable[[str], None] = _silent if progress is False else say
    name = Path(table).name if isinstance(table, (str, Path)) else "a table in memory"
    chosen, why = _chosen_model(model)
    prior = _prior(distance_prior)
    request = _Request(table, chosen, columns, photometry, zero_point, ebv_map, duplicates, keep)
    prepared = request.prepare()
    simulated = _is_mock(prepared.table)
    if model is None and simulated:
        chosen, why = (
            load_model("mock-sky"),
            "mock-sky, for these stars are of the simulated mock Galaxy that it was trained on.",
        )
        prepared = _Request(
            table, chosen, columns, photometry, zero_point, ebv_map, duplicates, keep
        ).prepare()
    chosen, prior = matching_prior(chosen, prior, prepared.table.colnames)
    said_model = str(model) if isinstance(model, (str, Path)) else chosen.name
    steps = Commands(out, str(table) if isinstance(table, (str, Path)) else "TABLE", said_model, seed)
    out.mkdir(exist_ok=True)
    commands = [steps.prepare(chosen, columns, photometry, zero_point, ebv_map, duplicates, keep)]
    tell(f"$ {commands[-1]}")
    write_table(prepared.table, out / STARS)
    prepared.report.write_json(out / CUTS)
    tell(f"{prepared.report.n_after:,} of {prepared.report.n_before:,} stars are left")
    commands.append(steps.infer(distance_prior))
    tell(f"$ {commands[-1]}")
    with shown(progress, "stars", None) as call:
        infer_file(
            out / STARS, out / POSTERIORS, chosen, settings=InferenceSettings(density=True, seed=seed), distance_prior=prior,
            progress=call,
        )  # fmt: skip
    dust = _dust_of(out / POSTERIORS, seed)
    write_table(dust.bins, out / BINS)
    links = [
        ("stars after the cuts (prepared)", STARS),
        ("posteriors, a row per star", POSTERIORS),
        ("mean reddening in bins", BINS),
    ]
    clouds = sky = None
    if sightline:
        commands.append(steps.sightline())
        tell(f"$ {commands[-1]}")
        with shown(progress, "models fitted", MAX_CLOUDS + 2) as call:
            clouds = fit_posteriors(
                out / POSTERIORS, max_clouds=MAX_CLOUDS, seed=seed, prepared=prepared.table, progress=call
            )
        write_sightline(clouds, out / CLOUDS)
        links.append(("the clouds, a page of their own", f"{CLOUDS}/report.html"))
    if sky_map:
        nside = nside or _nside_for(dust.shown)
        commands.append(steps.sky_map(nside))
        tell(f"$ {commands[-1]}")
        with shown(progress, "pixels", None) as call:
            sky = make_sky_map(
                out / POSTERIORS,
                nside=nside,
                distance_pc=MAP_DISTANCES_PC,
                max_clouds=MAP_CLOUDS,
                seed=seed,
                progress=call,
            )
        write_sky_map(sky, out / MAP)
        links.append((f"map of the reddening, HEALPix of nside {nside}", MAP))
    provenance = dust.shown.meta[META_KEY]
    counts = status_counts(dust.shown)
    numbers = {
        "stage": "run",
        "table": name,
        "model": chosen.model_id,
        "model_why": f"Model {why}",
        "commands": commands,
        "links": links,
        "n_rows": prepared.report.n_before,
        "n_prepared": prepared.report.n_after,
        "n_usable": int(usable_rows(dust.shown).sum()),
        "bands": prepared.report.bands,
        "statuses": [(word, n, STATUS_MESSAGES[Status(word)]) for word, n in counts.items()],
        "cuts": prepared.report.as_dict()["cuts"],
        "mean_reddening": dust.mean,
        "distance_pc": dust.distance_pc,
        "clouds": None if clouds is None else clouds.summary,
        "provenance": provenance,
    }
    write_run(out, numbers)
    return RunResult(out, dust.shown, verdict_of(provenance), numbers, tuple(commands), clouds, sky)


@dataclass(frozen=True)
class _Request:
    """What `prepare` is asked for."""

    table: TableSource
    model: Model
    columns: "str | Path | None"
    photometry: str | None
    zero_point: str | float
    ebv_map: str | None
    duplicates: Duplicates
    keep: Sequence[str]

    def prepare(self) -> PreparedStars:
        """Return the stars within the model's limits in G."""
        zero: ZeroPoint = _zero_point(self.zero_point)
        return prepare(
            self.table,
            purpose="inference",
            columns=self.columns,
            photometry=self.photometry,
            limits=QualityLimits(self.model.g_bright_mag, self.model.g_faint_mag),
            zero_point=zero,
            ebv_map=self.ebv_map,
            duplicates=self.duplicates,
            keep=self.keep,
        )


def _chosen_model(model: Model | str | Path | None) -> tuple[Model, str]:
    """Return the model, and why it is that."""
    if model is None:
        return load_model("archive-sky"), "archive-sky, trained for stars as the archives deliver them."
    if isinstance(model, Model):
        return model, f"{model.name}, as asked."
    return load_model(model), f"{model}, as asked."


def _is_mock(prepared: Table) -> bool:
    """Return whether stars are of the simulated mock Galaxy: those of the population ``sky`` are on the archives' scale."""
    return is_simulated(prepared.colnames) and table_scale(prepared) == make_scale(MOCK_SKY_SCALE)


def _prior(given: "DistancePrior | str | Path | None") -> DistancePrior | None:
    if given is None or isinstance(given, DistancePrior):
        return given
    return named_distance_prior(given)


def _zero_point(given: str | float) -> ZeroPoint:
    if given in ("auto", "none"):
        return given  # type: ignore[return-value]
    try:
        return float(given)
    except ValueError:
        raise InputError(
            f"zero_point {given!r}: give auto, none, or the zero point in mas, e.g. -0.029."
        ) from None


@dataclass(frozen=True)
class _Dust:
    """What the posteriors say of the dust: the columns to show, the mean, and the mean in bins."""

    shown: Table
    mean: dict[str, Any]
    bins: Table
    distance_pc: list[float]


def _dust_of(path: Path, seed: int) -> _Dust:
    """Read the posteriors of a run, and take means with the reddening prior divided out."""
    shown = read_table(path, columns=[*DRAWN_COLUMNS, "bands", "engine", "p_fit"])
    rows = np.flatnonzero(usable_rows(shown))
    chosen = rows
    if len(rows) > MEAN_OF:
        chosen = np.sort(np.random.default_rng(seed).choice(rows, MEAN_OF, replace=False))
    held = read_table(path, columns=[*DENSITY_COLUMNS, *EBV_PRIOR_COLUMNS, "status", "flags"])[chosen]
    distance = np.asarray(shown["distance_mean"], dtype=float)
    quantiles = np.quantile(distance[rows], (0.16, 0.5, 0.84)).tolist() if len(rows) else [np.nan] * 3
    bins = Table(
        names=("distance_low", "distance_high", "n_stars", "ebv_mean", "ebv_error"),
        dtype=(float, float, int, float, float),
    )
    mean = {"ebv_mag": float("nan"), "ebv_error_mag": float("nan"), "n_stars": 0}
    if len(chosen):
        density, limits = joint_density(held), ebv_prior_mag(held)
        kept = sightline_rows(held, density)
        mean = vars(mean_reddening(density.rows(kept), limits)).copy()
        edges = bin_edges_pc(distance[chosen][kept])
        profile = binned_profile(density.rows(kept), limits, distance[chosen][kept], edges)
        for k, n in enumerate(profile.n_stars):
            if n:
                bins.add_row((edges[k], edges[k + 1], n, profile.ebv_mag[k], profile.ebv_error_mag[k]))
    for column, unit in (
        ("distance_low", "pc"),
        ("distance_high", "pc"),
        ("ebv_mean", "mag"),
        ("ebv_error", "mag"),
    ):
        bins[column].unit = unit
    bins.meta[META_KEY] = {"stage": "bins", "mean_of": int(len(chosen)), "of_usable": int(len(rows))}
    return _Dust(shown, mean, bins, [float(v) for v in quantiles])


def bin_edges_pc(distance_pc: np.ndarray) -> np.ndarray:
    """Return edges of bins that hold about equally many stars, rounded to two digits. [pc]"""
    n_bins = int(np.clip(len(distance_pc) // STARS_A_BIN, 1, MAX_BINS))
    edges = (
        np.quantile(distance_pc, np.linspace(0.0, 1.0, n_bins + 1))
        if len(distance_pc)
        else np.array([1.0, 2.0])
    )
    step = 10.0 ** (np.floor(np.log10(np.maximum(edges, 1e-3))) - 1)
    rounded = np.round(edges / step) * step
    rounded[0], rounded[-1] = (
        np.floor(edges[0] / step[0]) * step[0],
        np.ceil(edges[-1] / step[-1]) * step[-1] + 1e-9,
    )
    edges = np.unique(rounded)
    return edges if len(edges) > 1 else np.array([edges[0], edges[0] + 1.0])


def _nside_for(posteriors: Table) -> int:
    """Return the finest resolution at which half of the stars are in pixels that can be fitted well, 64 at most."""
    fine = np.isfinite(np.asarray(posteriors["ebv_mean"], dtype=float))
    l_deg, b_deg = (np.asarray(posteriors[name], dtype=float)[fine] for name in ("l", "b"))
    nside = _FINEST_NSIDE
    while nside > 1:
        pixel = HEALPix(nside=nside, order="nested").lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg)
        _, inverse, counts = np.unique(pixel, return_inverse=True, return_counts=True)
        if np.median(counts[inverse]) >= 2 * MIN_STARS:
            return nside
        nside //= 2
    return nside


def _silent(_: str) -> None:
    pass
