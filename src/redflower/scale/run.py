"""All steps of a usual run: prepare, infer, judge, and where it is asked for the clouds and the map; tables and one page."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import astropy.units as u
import numpy as np
from astropy.table import Table
from astropy_healpix import HEALPix

from redflower.api.inference import matching_prior
from redflower.api.kept import KeptPieces
from redflower.api.sightlines import fit_posteriors
from redflower.api.sky_maps import MIN_STARS, make_sky_map
from redflower.api.statuses import status_counts, usable_rows
from redflower.calibrate.verdict import verdict_of
from redflower.catalogue import DistancePrior, PreparedStars, write_table
from redflower.catalogue.io.sources import TableSource
from redflower.catalogue.maps.distance_prior import named_distance_prior
from redflower.catalogue.reading.reader import Duplicates
from redflower.flow import Model
from redflower.posterior import InferenceSettings, Status
from redflower.posterior.status import STATUS_MESSAGES
from redflower.products.run import BINS, CLOUDS, CUTS, LEFT_OUT, MAP, POSTERIORS, STARS, write_run
from redflower.products.sightline import SightlineResult, write_sightline
from redflower.products.skymap import SkyMap, read_sky_map, write_sky_map
from redflower.progress import ShowProgress, say, shown
from redflower.provenance import META_KEY
from redflower.scale.run_commands import Commands
from redflower.scale.run_dust import Dust, dust_of
from redflower.scale.run_folder import RunFolder
from redflower.scale.run_record import map_content, record_path, write_record
from redflower.scale.run_request import Request, prepared_for
from redflower.scale.run_result import RunResult
from redflower.scale.stream import infer_file

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
    workers: int | None = None,
    resume: bool = False,
    progress: ShowProgress = None,
) -> RunResult:
    """Go from a table of stars to posteriors, a verdict and one page, in one call.

    Parameters
    ----------
    table : stars as an archive delivers them: the path of a file, an astropy table, a data frame, an Arrow table.
    out : folder to make. It will hold ``index.html``, ``stars.parquet`` (prepared), ``posteriors.parquet``, ``bins.ecsv``,
        ``cuts.json``, ``request.json`` and ``run.json``, and where stars are cut ``left_out.parquet``, which names them.
    model : a model, the name of a shipped one, or the path of a model file. Defaults to ``archive-sky``, which was trained for
        real stars; for stars of `redflower.simulate`'s mock Galaxy to ``mock-sky``, which was trained on it.
    sightline : also find the clouds along the line of sight, in the folder ``clouds``. It takes minutes.
    sky_map : also map the reddening over the sky, in ``sky.fits``.
    columns, photometry, zero_point, ebv_map, duplicates, keep : as of `redflower.prepare`.
    distance_prior : the one that the model was trained with, or its file. Defaults to the one that comes with the model.
    nside : HEALPix resolution of the map; by default as fine as the stars allow, 64 at most.
    seed : of the random numbers.
    workers : processes that share the stars. If None, one for every core where there are enough stars.
    resume : whether to go on with an earlier run of the same stars in the folder: what it finished is not done again. Clouds
        and a map can be asked for that the earlier run did not make.
    progress : whether to say what is done. Defaults to True on a terminal and in a notebook.

    Returns
    -------
    The posteriors, the verdict, the numbers of the page, and the commands that do the same by hand.

    Raises
    ------
    InputError : the folder holds something already, or another run; or a step refuses its input.

    Examples
    --------
    >>> import redflower
    >>> result = redflower.run("raw.parquet", "field", progress=False)
    >>> redflower.read_table("field/posteriors.parquet", columns=["ebv_mean", "status"]).colnames
    ['ebv_mean', 'status']
    """
    folder = RunFolder(Path(out), resume=resume)
    tell: Callable[[str], None] = _silent if progress is False else say
    request = Request(table, columns, photometry, zero_point, ebv_map, duplicates, tuple(keep))
    chosen, why, prepared = prepared_for(request, model)
    prior = distance_prior
    if isinstance(prior, (str, Path)):
        prior = named_distance_prior(prior)
    chosen, prior = matching_prior(chosen, prior, prepared.table.colnames)
    said_model = str(model) if isinstance(model, (str, Path)) else chosen.name
    steps = Commands(folder.path, request.said, said_model, seed)
    commands = [steps.prepare(chosen, request, cut=_any_cut(prepared))]
    tell(f"$ {commands[-1]}")
    folder.start(prepared.table, {"model": chosen.model_id, "distance_prior": prior.sha256, "seed": seed})
    prepared.report.write_json(folder.path / CUTS)
    if prepared.left_out is not None and _any_cut(prepared):
        write_table(prepared.left_out, folder.path / LEFT_OUT, overwrite=True)
    tell(_said_cuts(prepared))
    commands.append(steps.infer(distance_prior))
    tell(f"$ {commands[-1]}")
    settings = InferenceSettings(density=True, seed=seed)
    if not folder.has(POSTERIORS):
        with shown(progress, "stars", None) as call:
            infer_file(
                folder.path / STARS, folder.path / POSTERIORS, chosen, settings=settings, distance_prior=prior,
                resume=resume, workers=workers, estimate=tell, progress=call,
            )  # fmt: skip
    dust = dust_of(folder.path / POSTERIORS, seed)
    write_table(dust.bins, folder.path / BINS, overwrite=True)
    page = _Page(folder.path, request, prepared, chosen, why, dust)
    clouds: SightlineResult | None = None
    sky: SkyMap | None = None
    if sightline:
        commands.append(steps.sightline())
        tell(f"$ {commands[-1]}")
        if not folder.has_clouds():
            page.write(commands)  # something to look at while the clouds are fitted
            tell(f"look at {page.index}; the clouds come in some minutes")
            with shown(progress, "models fitted", MAX_CLOUDS + 2) as call:
                clouds = fit_posteriors(
                    folder.path / POSTERIORS,
                    max_clouds=MAX_CLOUDS,
                    seed=seed,
                    prepared=prepared.table,
                    progress=call,
                )
            write_sightline(clouds, folder.path / CLOUDS)
    if sky_map:
        nside = nside or _nside_for(dust.shown)
        commands.append(steps.sky_map(nside))
        tell(f"$ {commands[-1]}")
        out_map, posteriors = folder.path / MAP, folder.path / POSTERIORS
        if folder.has(MAP) and folder.has(record_path(out_map).name):
            sky = read_sky_map(out_map)
        else:
            began_s = time.monotonic()
            with KeptPieces(folder.path / f"{MAP}.parts", "run", resume=resume) as kept:
                with shown(progress, "pixels", None) as call:
                    sky = make_sky_map(
                        posteriors, nside=nside, distance_pc=MAP_DISTANCES_PC, max_clouds=MAP_CLOUDS, seed=seed,
                        workers=workers, kept=kept, estimate=tell, progress=call,
                    )  # fmt: skip
                write_sky_map(sky, out_map)
                seconds = time.monotonic() - began_s
                content = map_content(
                    posteriors, sky, max_clouds=MAP_CLOUDS, seed=seed, seconds=seconds, command="run --map"
                )
                write_record(out_map, content)
                kept.remove()
    numbers = page.write(commands)
    verdict = verdict_of(dust.shown.meta[META_KEY])
    return RunResult(folder.path, dust.shown, verdict, numbers, tuple(commands), clouds, sky)


class _Page:
    """What is needed to write the numbers of a run and its page, as often as more is known."""

    def __init__(
        self, folder: Path, request: Request, prepared: PreparedStars, model: Model, why: str, dust: Dust
    ) -> None:
        self.folder, self.request, self.prepared = folder, request, prepared
        self.model, self.why, self.dust = model, why, dust

    @property
    def index(self) -> Path:
        """The page."""
        return self.folder / "index.html"

    def write(self, commands: Sequence[str]) -> dict[str, Any]:
        """Write the numbers of what is there, then the page; return the numbers."""
        report, dust = self.prepared.report, self.dust
        repeated = int(self.prepared.table.meta[META_KEY].get("repeated_rows", 0))
        clouds = RunFolder.clouds_of(self.folder)
        numbers = {
            "stage": "run",
            "table": self.request.name,
            "model": self.model.model_id,
            "model_why": f"Model {self.why}",
            "commands": list(commands),
            "links": self._links(),
            "n_rows": report.n_before + repeated,
            "n_repeated": repeated,
            "n_prepared": report.n_after,
            "n_usable": int(usable_rows(dust.shown).sum()),
            "bands": report.bands,
            "statuses": [
                (word, n, STATUS_MESSAGES[Status(word)]) for word, n in status_counts(dust.shown).items()
            ],
            "cuts": report.as_dict()["cuts"],
            "mean_reddening": dust.mean,
            "distance_pc": dust.distance_pc,
            "clouds": clouds,
            "provenance": dust.shown.meta[META_KEY],
        }
        write_run(self.folder, numbers)
        return numbers

    def _links(self) -> list[tuple[str, str]]:
        """Return texts and places of the files that are there."""
        said = {
            STARS: "stars after the cuts (prepared)",
            LEFT_OUT: "stars that were cut, and by which cut",
            POSTERIORS: "posteriors, a row per star",
            BINS: "mean reddening in bins",
            f"{CLOUDS}/report.html": "the clouds, a page of their own",
            MAP: "map of the reddening, HEALPix",
        }
        return [(text, name) for name, text in said.items() if (self.folder / name).is_file()]


def _any_cut(prepared: PreparedStars) -> bool:
    return prepared.left_out is not None and len(prepared.left_out) > 0


def _said_cuts(prepared: PreparedStars) -> str:
    """Say how many stars are left, and what took the others."""
    report = prepared.report
    lost = [
        f"{cut.before - cut.after:,} by {cut.name} ({cut.condition})"
        for cut in report.cuts
        if cut.after < cut.before
    ]
    said = f"{report.n_after:,} of {report.n_before:,} stars are left"
    return f"{said}; cut were {', '.join(lost)}" if lost else said


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
