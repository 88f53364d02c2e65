"""Coefficients of BP/RP spectra from the Gaia archive's data server, for the stars of a table, in blocks.

The archive has spectra by DataLink alone: its data server takes identifiers and answers with a ZIP of one CSV file. Users had
fewer spectra from it than there are, without a word (astroquery's issue 2973), so each block is counted first, in the table of
them that the TAP service has. A block is a tile of the sky, so that it is split, resumed and reported as tiles of stars are.
"""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.table import Column, MaskedColumn, Table

from redflower.catalogue.archive.defaults import GAIA_DATA
from redflower.catalogue.archive.patience import (
    PassingError,
    brief,
    judged,
    make_session,
    patiently,
    save_body,
)
from redflower.catalogue.archive.regions import TILE_ORDER, Tile, id_range
from redflower.catalogue.archive.tap import TapService
from redflower.catalogue.gaia_release import GaiaRelease
from redflower.catalogue.releases import default_release
from redflower.catalogue.spectra.coefficients import PHOTOMETERS, numbers_of, source_id
from redflower.catalogue.spectra.files import read_rows
from redflower.errors import FetchError, InputError, RowLimitError, TableError

#: Stars of one request. The data server takes 5,000 identifiers; a spectrum is some 40 kB on the way.
BLOCK_STARS_MAX: Final = 2_000
#: A spectrum in the table that is written. [byte]
BYTES_PER_SPECTRUM: Final = 15_000
#: Arrays of a row, and the types that the archive has them in.
_ARRAYS: Final = {
    "coefficients": np.float64,
    "coefficient_errors": np.float32,
    "coefficient_correlations": np.float32,
}
_AREA_DEG2: Final = 41252.96 / (12 * 4**TILE_ORDER)


def star_tiles(ids: Sequence[int] | np.ndarray) -> tuple[Tile, ...]:
    """Return the tiles that hold some stars, by the pixel in their identifiers.

    Parameters
    ----------
    ids : of Gaia.

    Raises
    ------
    InputError
        If one can be none of Gaia's.
    """
    pixels = np.unique(np.asarray(ids, dtype=np.int64) // (id_range(TILE_ORDER, 0)[1] + 1))
    if len(pixels) == 0 or pixels[0] < 0 or pixels[-1] >= 12 * 4**TILE_ORDER:
        raise InputError(
            "--spectra-of: source_id must be identifiers of Gaia, which hold a pixel of the sky; got "
            f"{'none' if len(pixels) == 0 else f'{int(np.min(ids))} to {int(np.max(ids))}'}."
        )
    return tuple(
        Tile(TILE_ORDER, int(pixel), (id_range(TILE_ORDER, int(pixel)),), None, _AREA_DEG2)
        for pixel in pixels
    )


def count_spectra_query(ids: Sequence[int] | np.ndarray, release: GaiaRelease) -> str:
    """Write the query for the number of stars that have a spectrum."""
    assert release.spectra is not None
    listed = ", ".join(str(int(star)) for star in ids)
    return f"SELECT COUNT(*) AS n FROM {release.spectra.table} AS x\nWHERE x.source_id IN ({listed})"


class SpectraSource:
    """The Gaia archive as a source of the BP/RP coefficients of some stars; see `redflower.catalogue.archive.fetch.Source`.

    Parameters
    ----------
    service : TAP service that counts them.
    ids : ``source_id`` of the stars.
    data_url : address of the data server.
    release : of Gaia. Defaults to `redflower.catalogue.releases.default_release`.

    Raises
    ------
    InputError
        If the spectra of the release are not described.
    """

    def __init__(
        self,
        service: TapService,
        ids: Sequence[int] | np.ndarray,
        data_url: str = GAIA_DATA,
        release: GaiaRelease | None = None,
    ) -> None:
        self.release = release or default_release()
        if self.release.spectra is None:
            raise InputError(
                f"--spectra-of: how {self.release.title} serves its spectra is not known to redflower. Get its coefficients from "
                "the archive, or take --release dr3."
            )
        if not data_url.startswith(("http://", "https://")):
            raise InputError(
                f"--data-server {data_url!r} must be the address of a data server, such as {GAIA_DATA}."
            )
        self._service, self._data_url = service, data_url
        self._ids = np.unique(np.asarray(ids, dtype=np.int64))
        self.url = service.url
        self._session = make_session(service.patience.request_s)

    @property
    def request(self) -> dict[str, Any]:
        """What tells this download from another, for its manifest."""
        return {
            "data_server": self._data_url,
            "stars": len(self._ids),
            "sha256_of_stars": hashlib.sha256(self._ids.tobytes()).hexdigest(),
        }

    def stars_of(self, tile: Tile) -> np.ndarray:
        """Return the identifiers of the stars within a tile."""
        places = [np.searchsorted(self._ids, (first, last + 1)) for first, last in tile.ranges]
        return np.concatenate([self._ids[low:high] for low, high in places])

    def asked(self, ids: np.ndarray) -> dict[str, str]:
        """Return what is asked of the data server for some stars."""
        assert self.release.spectra is not None
        return {
            "RETRIEVAL_TYPE": self.release.spectra.retrieval_type,
            "RELEASE": self.release.spectra.data_release,
            "DATA_STRUCTURE": "RAW",
            "FORMAT": "csv",
            "USE_ZIP_ALWAYS": "true",
            "VALID_DATA": "false",
            "ID": ",".join(str(star) for star in ids),
        }

    def tile(
        self, tile: Tile, surveys: tuple[str, ...], g_faint_mag: float | None, rows_max: int, scratch: Path
    ) -> tuple[Table, list[str]]:
        """Fetch the spectra of the stars within a tile, a row each; ``surveys`` and ``g_faint_mag`` mean nothing here."""
        ids = self.stars_of(tile)
        if len(ids) == 0:
            return Table(), []
        if len(ids) > rows_max:
            raise RowLimitError(f"it holds {len(ids):,} of the stars, more than {rows_max:,}.")
        expected = self._service.count(count_spectra_query(ids, self.release))
        if expected == 0:
            return Table(), []
        table = patiently(lambda: self._attempt(ids, scratch), self._service.patience)
        found = np.asarray(table["source_id"]) if len(table) else np.zeros(0, np.int64)
        if not np.isin(found, ids).all() or len(np.unique(found)) != len(found):
            raise FetchError(f"{self._data_url} sent spectra of stars that were not asked for, or one twice.")
        if len(table) < expected:
            raise RowLimitError(
                f"{self._data_url} sent {len(table):,} of {expected:,} spectra without a word."
            )
        if len(table) > expected:
            raise FetchError(
                f"{self._data_url} sent {len(table):,} spectra where {self.url} had counted {expected:,}."
            )
        return table, []

    def _attempt(self, ids: np.ndarray, scratch: Path) -> Table:
        import time

        import requests

        deadline = time.monotonic() + self._service.patience.job_s
        text = scratch.with_suffix(".csv")
        try:
            with self._session.post(self._data_url, data=self.asked(ids), stream=True) as response:
                response.raise_for_status()
                save_body(response, scratch, deadline, self._data_url)
            if not _unpacked(scratch, text, self._data_url):
                return Table()
            return _as_table([_numbers(row, self._data_url) for row in read_rows(text)], self._data_url)
        except requests.RequestException as problem:
            raise judged(problem, self._data_url) from None
        except InputError as problem:
            raise PassingError(
                f"{self._data_url} sent spectra that cannot be read: {brief(problem)}."
            ) from None
        finally:
            scratch.unlink(missing_ok=True)
            text.unlink(missing_ok=True)


def _unpacked(archive: Path, text: Path, url: str) -> bool:
    """Unpack the file of coefficients from what the server sent; False where it sent none."""
    try:
        with zipfile.ZipFile(archive) as packed:
            names = [name for name in packed.namelist() if "continuous" in name.lower()]
            if not names:
                return False
            if len(names) > 1:
                raise PassingError(
                    f"{url} sent {len(names)} files of coefficients where one holds all stars."
                )
            text.write_bytes(packed.read(names[0]))  # its checksum is tested on the way
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as problem:
        raise PassingError(f"{url} sent something that is no whole ZIP file: {brief(problem)}.") from None
    return True


def _numbers(row: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return a row with numbers in place of text; None where there is none."""
    out: dict[str, Any] = {"source_id": source_id(row, url)}
    for name, cell in row.items():
        if name == "source_id":
            continue
        if _array_type(name) is not None:
            out[name] = numbers_of(cell, f"{url}, {name}")
            continue
        word = str(cell).strip()
        try:
            missing = word.lower() in ("", "null", "nan", "none")
            out[name] = None if missing else int(word) if _is_whole(name) else float(word)
        except ValueError:
            what = "a whole number" if _is_whole(name) else "a number"
            raise TableError(f"{name} must be {what}; got {word!r:.60}.") from None
    return out


def _as_table(rows: list[dict[str, Any]], url: str) -> Table:
    """Return rows as a table with a column of arrays for each array; a star without one photometer has NaN."""
    table = Table()
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        kind = _array_type(name)
        if kind is None:
            table[name] = _whole(values) if _is_whole(name) else Column(np.array(values, dtype=np.float64))
            continue
        # Where no star has the one photometer, its arrays are as long as the other's.
        other = {"bp": "rp", "rp": "bp"}[name[:2]] + name[2:]
        sizes = {len(value) for value in values if value is not None} or {
            len(row[other]) for row in rows if row.get(other) is not None
        }
        if len(sizes) != 1:
            raise TableError(
                f"{name} must have one length for all stars of a release; got {sorted(sizes) or 'none'}."
            )
        missing = np.full(sizes.pop(), np.nan)
        table[name] = Column(np.stack([missing if v is None else v for v in values]).astype(kind))
    return table


def _whole(values: list[int | None]) -> Column:
    """Return a column of whole numbers; missing ones are masked."""
    missing = np.array([value is None for value in values])
    whole = np.array([value or 0 for value in values], dtype=np.int64)
    return MaskedColumn(whole, mask=missing) if missing.any() else Column(whole)


def _is_whole(name: str) -> bool:
    """Tell by its name whether a column is of whole numbers: a tile without a value has the type of the others."""
    return name.endswith(("_id", "_degrees_of_freedom")) or "_n_" in name


def _array_type(name: str) -> type | None:
    photometer, _, what = name.partition("_")
    return _ARRAYS.get(what) if photometer in PHOTOMETERS else None
