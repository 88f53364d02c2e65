"""From a file of stars to a file of posteriors, part by part."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.table import Table

from redflower.api import inference as api
from redflower.calibrate.verdict import SampleFit, Verdict, judge
from redflower.catalogue import (
    DistancePrior,
    check_writable,
    count_rows,
    file_sha256,
    join_tables,
    read_table,
    read_table_parts,
    write_table,
)
from redflower.catalogue.prepared import table_scale
from redflower.catalogue.reading.prepared_stars import clean_prepared
from redflower.errors import InputError, RedflowerError
from redflower.files import written_whole
from redflower.flow import Model, load_model
from redflower.photometric_offsets import PhotometricOffsets, offsets_content
from redflower.photometric_scales import PhotometricScale, describe_move
from redflower.posterior import InferenceSettings, Status
from redflower.posterior.columns import DENSITY_COLUMNS, EBV_PRIOR_COLUMNS, OUTPUT_COLUMNS, PRIOR_COLUMNS
from redflower.provenance import META_KEY
from redflower.scale.defaults import PART_ROWS

MANIFEST: Final = "manifest.json"


@dataclass(frozen=True)
class StreamReport:
    """What a run did.

    Attributes
    ----------
    n_stars : rows written.
    statuses, engines : stars by status word and by engine.
    moved : what was done to the magnitudes to bring them to the model's photometric scale, a sentence per survey.
    verdict : whether the stars are of the model's sky.
    failed_parts : number and message of every part that failed; its rows have the status ``failed``.
    """

    n_stars: int
    statuses: dict[str, int]
    engines: dict[str, int]
    moved: tuple[str, ...]
    verdict: Verdict
    failed_parts: tuple[tuple[int, str], ...]


def infer_file(
    stars: "str | Path",
    out: "str | Path",
    model: "Model | str | Path",
    *,
    settings: InferenceSettings | None = None,
    distance_prior: DistancePrior | None = None,
    photometry: PhotometricScale | str | None = None,
    offsets: PhotometricOffsets | None = None,
    keep: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    part_rows: int = PART_ROWS,
    progress: Callable[[int, int | None], None] | None = None,
) -> StreamReport:
    """Infer every star of a prepared table and write the posteriors, one part at a time.

    Finished parts wait in the folder ``OUT.parts`` beside the output, so that a killed run loses at most one. At the end
    they become the one output table, and the folder goes. A part that raises an error keeps its rows, with NaN and the
    status ``failed``.

    Parameters
    ----------
    stars : file of a prepared table; Parquet is never held in memory whole.
    out : file to write.
    model, settings, distance_prior, photometry, offsets, keep : as in `redflower.infer`.
    resume : continue with the parts of an earlier run.
    overwrite : whether to replace a table that is there, when all is done.
    part_rows : rows of a part.
    progress : called with the number of stars done, and of all stars where it is known.

    Raises
    ------
    InputError : bad input, or parts of another run are in the way.
    ModelError : as in `redflower.infer`.
    """
    stars, out = Path(stars), Path(out)
    settings = settings or InferenceSettings()
    check_writable(out, overwrite=overwrite)
    if out.resolve() == stars.resolve():
        raise InputError(
            f"infer: {out} is also the table of stars, which would be lost; choose another name."
        )
    if settings.density and out.suffix.lower() == ".csv":
        raise InputError(
            f"infer: {out} cannot hold densities, for CSV has no columns of arrays. Write .parquet, .fits, .ecsv or "
            ".vot, or leave --density out."
        )
    model = model if isinstance(model, Model) else load_model(model)
    n_total = count_rows(stars)
    # Every part is looked at before the first is inferred: what is wrong in the last one should not be found after hours.
    moved: list[str] = []
    names: list[str] = []
    for number, part in enumerate(_parts(stars, part_rows, say=True)):
        if number == 0:
            moved, names = describe_move(table_scale(part, photometry), model.scale()), part.colnames
            api.passed_on(part, keep, {*OUTPUT_COLUMNS, *DENSITY_COLUMNS, *PRIOR_COLUMNS, *EBV_PRIOR_COLUMNS})
    model, prior = api.matching_prior(model, distance_prior, names)
    folder = out.with_name(f"{out.name}.parts")
    _open_folder(
        folder, _fingerprint(stars, model, settings, part_rows, photometry, offsets, keep), resume=resume
    )
    paths: list[Path] = []
    failed: list[tuple[int, str]] = []
    n_done = 0
    for number, part in enumerate(_parts(stars, part_rows, say=False)):
        path = folder / f"part-{number:06d}.parquet"
        if not path.exists():
            try:
                table = api.posterior_table(
                    part,
                    model,
                    settings,
                    prior,
                    photometry=photometry,
                    offsets=offsets,
                    keep=keep,
                    progress=_shifted(progress, n_done, n_total),
                )
            except RedflowerError:
                if number == 0:  # what is wrong with the first part is wrong with the request
                    shutil.rmtree(folder)
                raise
            except Exception as error:  # one bad part must not cost the others
                failed.append((number, f"{type(error).__name__}: {error}"))
                table = _failed_part(part, model, settings, prior, photometry, keep)
            write_table(table, path)
        paths.append(path)
        n_done += len(part)
        if progress is not None:
            progress(n_done, n_total)
    columns = ["status", "engine"]
    seen = [read_table(path, columns=columns) for path in paths]
    if not any(api.inferable(table) for table in seen):
        shutil.rmtree(folder)
        raise api.nothing_to_infer(model)
    verdict, meta = _judged(paths)
    join_tables(paths, out, meta, overwrite=overwrite)
    shutil.rmtree(folder)
    statuses, engines = (_counts(seen, name) for name in columns)
    engines.pop("", None)
    return StreamReport(n_done, statuses, engines, tuple(moved), verdict, tuple(failed))


def rows_kept(out: "str | Path") -> tuple[int, Path]:
    """Return how many stars the finished parts of an unfinished run hold, and their folder."""
    folder = Path(out).with_name(f"{Path(out).name}.parts")
    return sum(count_rows(path) or 0 for path in folder.glob("part-*.parquet")), folder


def _judged(paths: list[Path]) -> tuple[Verdict, dict[str, Any]]:
    """Return the verdict on the stars of all parts, and the provenance of their table with it."""
    metas = [read_table(path, columns=["status"]).meta[META_KEY] for path in paths]
    total = reduce(add, (SampleFit(**meta["fit"]) for meta in metas))
    verdict = judge(total)
    return verdict, {**metas[0], "fit": total.as_dict(), "verdict": verdict.as_dict()}


def _shifted(
    progress: Callable[[int, int | None], None] | None, base: int, n_total: int | None
) -> Callable[[int], None] | None:
    """Report progress within a part as progress of the whole."""
    return None if progress is None else lambda done: progress(base + done, n_total)


def _parts(stars: Path, part_rows: int, *, say: bool) -> Iterator[Table]:
    """Read the parts of a prepared table and clean them."""
    for part in read_table_parts(stars, part_rows):
        yield clean_prepared(part, str(stars), say=say)


def _counts(tables: list[Table], name: str) -> dict[str, int]:
    words, counts = np.unique(
        np.concatenate([np.asarray(table[name]).astype(str) for table in tables]), return_counts=True
    )
    return {str(words[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}


def _failed_part(
    part: Table,
    model: Model,
    settings: InferenceSettings,
    prior: DistancePrior,
    photometry: PhotometricScale | str | None,
    keep: Sequence[str],
) -> Table:
    """Return the part's rows with nothing inferred: made by the same code with every magnitude hidden."""
    hidden = part.copy()
    for name in model.band_names:
        if name in hidden.colnames:
            hidden[name] = np.full(len(hidden), np.nan)
    table = api.posterior_table(hidden, model, settings, prior, photometry=photometry, keep=keep)
    table["status"] = np.full(len(table), Status.FAILED.value)
    table["bands"] = np.full(len(table), "")
    return table


def _fingerprint(
    stars: Path,
    model: Model,
    settings: InferenceSettings,
    part_rows: int,
    photometry: PhotometricScale | str | None,
    offsets: PhotometricOffsets | None,
    keep: Sequence[str],
) -> dict[str, object]:
    return {
        "input": stars.name,
        "sha256": file_sha256(stars),
        "model": model.model_id,
        "settings": json.loads(json.dumps(asdict(settings))),
        "part_rows": part_rows,
        "photometry": None if photometry is None else str(photometry),
        "offsets": None if offsets is None else offsets_content(offsets),
        **({"keep": list(keep)} if keep else {}),
    }


def _open_folder(folder: Path, fingerprint: dict[str, object], *, resume: bool) -> None:
    """Make the folder of parts, or check that the one that is there belongs to this run. One without a part is taken over."""
    manifest = folder / MANIFEST
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"infer: {folder}, where the parts of this run would lie, is a file. Give the output another name, or move it."
        )
    try:
        written = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        written = None
    there = [path.name for path in folder.iterdir()] if folder.exists() else []
    if set(there) <= {MANIFEST} and written != fingerprint:
        folder.mkdir(exist_ok=True)
        with written_whole(manifest) as part:
            part.write_text(json.dumps(fingerprint, indent=1), encoding="utf-8")
        return
    if not resume and written is not None and set(there) > {MANIFEST}:
        raise InputError(
            f"infer: {folder} holds the parts of an unfinished run. Go on with it by --resume, or remove the folder."
        )
    if written is None and not resume:
        raise InputError(
            f"infer: {folder}, where the parts of this run would lie, holds other files. Give the output another name."
        )
    if written != fingerprint:
        raise InputError(
            f"infer --resume: the parts in {folder} are of another input, model or setting. Resume with the same "
            "arguments, or remove the folder."
        )
    for path in sorted(folder.glob("part-*.parquet")):
        meta = read_table(path, columns=["status"]).meta.get(META_KEY, {})
        if "fit" not in meta:
            raise InputError(
                f"infer --resume: {path} is of redflower {meta.get('redflower', 'of before 0.1')}, an earlier version that "
                "did not keep how well the stars fit, so that there could be no verdict on them. Remove the folder "
                f"{folder}, and run again without --resume."
            )
