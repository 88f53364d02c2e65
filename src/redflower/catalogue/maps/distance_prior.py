"""Distance priors by position: generalised gamma parameters on a HEALPix grid (docs/explanation/model.md, E13)."""

import csv
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import astropy.units as u
import numpy as np
from astropy_healpix import HEALPix
from jaxtyping import Float, Int

from redflower.errors import InputError
from redflower.files import file_sha256

_LOG: Final = logging.getLogger(__name__)

_BAILER_JONES_ROWS: Final = 12_288
#: Bailer-Jones et al. (2021) fitted their prior to the stars of a mock Gaia catalogue to this limit in G. [mag]
BAILER_JONES_LIMIT_MAG: Final = 20.7
#: Checksum of the table published with the authors' notebook.
BAILER_JONES_SHA256: Final = "19e849119beaeeeede430d8dc5c4390928883f19e8c3ae0b705822bb60be2f8a"
#: The priors that come with redflower, by the population of `redflower.simulate` that each was made from.
PACKAGED: Final = {"mock": "mock_distance_prior.csv", "sky": "sky_distance_prior.csv"}


@dataclass(frozen=True)
class DistancePrior:
    """Generalised gamma parameters of distance per HEALPix pixel, nested, ICRS.

    Attributes
    ----------
    log_length_pc : natural log of the length scale in pc; the scale itself spans ten decades.
    alpha : the exponent inside the exponential, > 0.
    beta : the exponent of distance, > -1.
    name : what the prior is, for provenance.
    sha256 : checksum of the file it was read from.
    g_limit_mag : limit in G of the catalogue whose stars' distances these are; None if they are those of all stars
        (docs/decisions/0018-which-stars-the-distance-prior-means.md). [mag]
    """

    log_length_pc: Float[np.ndarray, " pixel"]
    alpha: Float[np.ndarray, " _"]
    beta: Float[np.ndarray, " _"]
    name: str
    sha256: str
    g_limit_mag: float | None = None

    def __post_init__(self) -> None:
        n = len(self.log_length_pc)
        nside = round((n / 12) ** 0.5) if n else 0
        if n == 0 or 12 * nside**2 != n or nside & (nside - 1):
            raise InputError(f"distance prior {self.name}: {n} pixels are no full HEALPix grid (12 NSIDE^2).")
        if not (len(self.alpha) == len(self.beta) == n):
            raise InputError(f"distance prior {self.name}: its three columns differ in length.")
        for label, values, low in (
            ("log_length_pc", self.log_length_pc, -np.inf),
            ("alpha", self.alpha, 0.0),
            ("beta", self.beta, -1.0),
        ):
            bad = ~(np.isfinite(values) & (values > low))
            if bad.any():
                raise InputError(
                    f"distance prior {self.name}: {label} must be finite and above {low:g}; pixel "
                    f"{int(np.flatnonzero(bad)[0])} has {values[bad][0]!r}."
                )

    def as_dict(self) -> dict[str, Any]:
        """Return name, checksum and, for the prior of a catalogue, its limit, as a model keeps them."""
        limit = {} if self.g_limit_mag is None else {"g_limit_mag": self.g_limit_mag}
        return {"name": self.name, "sha256": self.sha256, **limit}

    @property
    def nside(self) -> int:
        """HEALPix resolution."""
        return round((len(self.log_length_pc) / 12) ** 0.5)

    def pixel(
        self, ra_deg: Float[np.ndarray, " star"], dec_deg: Float[np.ndarray, " star"]
    ) -> Int[np.ndarray, " star"]:
        """Return the nested HEALPix pixel of each ICRS position, which must be finite."""
        grid = HEALPix(self.nside, order="nested")
        return np.asarray(grid.lonlat_to_healpix(np.asarray(ra_deg) * u.deg, np.asarray(dec_deg) * u.deg))

    def lookup(
        self, ra_deg: Float[np.ndarray, " star"], dec_deg: Float[np.ndarray, " star"]
    ) -> tuple[Float[np.ndarray, " star"], Float[np.ndarray, " star"], Float[np.ndarray, " star"]]:
        """Return the natural log of the length in pc, alpha and beta at ICRS positions; NaN where those are not finite."""
        ra_deg, dec_deg = np.asarray(ra_deg, float), np.asarray(dec_deg, float)
        finite = np.isfinite(ra_deg) & np.isfinite(dec_deg)
        found = [np.full(ra_deg.shape, np.nan) for _ in range(3)]
        pixels = self.pixel(ra_deg[finite], dec_deg[finite])
        for out, table in zip(found, (self.log_length_pc, self.alpha, self.beta), strict=True):
            out[finite] = table[pixels]
        return found[0], found[1], found[2]


def read_distance_prior(path: "str | Path") -> DistancePrior:
    """Read a distance prior from a CSV file.

    Either the table of Bailer-Jones et al. 2021 (AJ 161, 147; columns ``healpix GGDrlen GGDalpha GGDbeta`` among
    others, HEALPix level 5, nested, ICRS, ``GGDrlen`` in pc), or one of redflower's own (``healpix log_length_pc
    alpha beta``, any level). Lines that begin with ``#`` are comments.

    Parameters
    ----------
    path : the CSV file.

    Returns
    -------
    The prior's parameters for every HEALPix pixel.

    Raises
    ------
    InputError
        If the file is absent or damaged, lacks a column, or does not cover the sky exactly once.

    Examples
    --------
    >>> import redflower
    >>> prior = redflower.read_distance_prior("prior.csv")
    >>> prior.nside, prior.name
    (1, 'prior.csv')
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"distance prior {path} cannot be read: {problem}.") from None
    rows = list(csv.DictReader(line for line in text.splitlines() if line.strip() and line[0] != "#"))
    names = set(rows[0]) if rows else set()
    if {"healpix", "GGDrlen", "GGDalpha", "GGDbeta"} <= names:
        columns, bailer_jones = ("GGDrlen", "GGDalpha", "GGDbeta"), True
    elif {"healpix", "log_length_pc", "alpha", "beta"} <= names:
        columns, bailer_jones = ("log_length_pc", "alpha", "beta"), False
    else:
        raise InputError(
            f"distance prior {path} must have the columns healpix, GGDrlen, GGDalpha, GGDbeta (Bailer-Jones "
            "et al. 2021) or healpix, log_length_pc, alpha, beta (redflower)."
        )
    try:
        pixels = np.array([int(row["healpix"]) for row in rows])
        values = np.array([[float(row[name]) for name in columns] for row in rows])
    except (TypeError, ValueError):
        raise InputError(
            f"distance prior {path} is damaged: a row is cut short or holds no number."
        ) from None
    if bailer_jones and len(rows) != _BAILER_JONES_ROWS:
        raise InputError(
            f"distance prior {path}: the table of Bailer-Jones et al. 2021 has {_BAILER_JONES_ROWS} rows; "
            f"this file has {len(rows)}. Fetch it again."
        )
    if not np.array_equal(np.sort(pixels), np.arange(len(rows))):
        raise InputError(f"distance prior {path}: every HEALPix pixel must appear exactly once.")
    values = values[np.argsort(pixels)]
    length = values[:, 0]
    if bailer_jones:
        if not (length > 0).all():
            raise InputError(f"distance prior {path}: every GGDrlen must be positive.")
        length = np.log(length)
    name = f"Bailer-Jones et al. 2021 ({path.name})" if bailer_jones else path.name
    limit_mag = BAILER_JONES_LIMIT_MAG if bailer_jones else None
    return DistancePrior(
        log_length_pc=length,
        alpha=values[:, 1],
        beta=values[:, 2],
        name=name,
        sha256=file_sha256(path),
        g_limit_mag=limit_mag,
    )


def default_distance_prior(population: str = "mock") -> DistancePrior:
    """Read a prior that comes with redflower, of a simulated Galaxy; for real stars prefer Bailer-Jones et al. 2021.

    Parameters
    ----------
    population : of `redflower.simulate`, from whose Galaxy it was made. Defaults to ``mock``.

    Raises
    ------
    InputError
        If there is no such population, or the installation lacks the table.
    """
    if population not in PACKAGED:
        raise InputError(
            f"no distance prior of population {population!r} comes with redflower: {', '.join(PACKAGED)}."
        )
    with resources.as_file(resources.files("redflower") / "data" / PACKAGED[population]) as path:
        return read_distance_prior(path)


def packaged_distance_prior(sha256: str | None) -> DistancePrior:
    """Read the packaged prior with a checksum, or the default one where none has it or no checksum is known."""
    for population in PACKAGED:
        prior = default_distance_prior(population)
        if prior.sha256 == sha256:
            return prior
    return default_distance_prior()


def named_distance_prior(name_or_path: "str | Path") -> DistancePrior:
    """Read a distance prior by the name of a simulated population, or from a file."""
    if str(name_or_path) in PACKAGED and not Path(name_or_path).exists():
        return default_distance_prior(str(name_or_path))
    return read_distance_prior(name_or_path)


def choose_distance_prior(
    given: DistancePrior | None, names: Iterable[str] | None, *, sha256: str | None = None
) -> DistancePrior:
    """Choose the distance prior of a table of stars: the given one, or a packaged one.

    A packaged prior comes with a warning, unless the stars are simulated, which their columns tell.

    Parameters
    ----------
    given : the user's choice, if any.
    names : columns of the stars. If None, no warning is given.
    sha256 : checksum of the prior that the model was trained with, if there is a model.
    """
    if given is not None:
        return given
    if names is None or "true_distance" in names:
        return packaged_distance_prior(sha256)
    return distance_prior_or_fallback(sha256=sha256)


def distance_prior_or_fallback(
    path: "str | Path | None" = None, *, sha256: str | None = None
) -> DistancePrior:
    """Read a user's prior, or a packaged one with a warning that names it: that of the checksum, or the default.

    The packaged priors were fitted to redflower's simulated Galaxies, smooth discs and halo. They are right for simulated stars
    and a stand-in for real ones: they know no dust, no Magellanic Clouds, and not Gaia's true completeness.

    Raises
    ------
    InputError
        If the user's file is no whole prior table.
    """
    if path is not None:
        return read_distance_prior(path)
    prior = packaged_distance_prior(sha256)
    _LOG.warning(
        "no distance prior is given: %s is used, made from a Galaxy that redflower simulates. For real stars give the table of "
        "Bailer-Jones et al. 2021 (redflower fetch prior FILE, then --distance-prior FILE; in Python "
        "distance_prior=redflower.read_distance_prior(FILE)).",
        prior.name,
    )
    return prior
