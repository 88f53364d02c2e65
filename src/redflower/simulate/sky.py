"""The mock sky: a catalogue of stars on chosen sightlines, as the Gaia archive would give it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

import astropy.units as u
import jax
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from redflower.bands import BP, RP, STANDARD_SURVEYS, BandSet, G, band_set
from redflower.distances import distance_from_modulus
from redflower.errors import InputError
from redflower.photometric_scales import default_release_name
from redflower.physics.extinction import extinction_mag
from redflower.physics.extinction_laws import ExtinctionLaw
from redflower.platforms import compute_platform
from redflower.seeds import check_seed
from redflower.simulate import survey
from redflower.simulate.colours import band_normals
from redflower.simulate.dust_field import DustField
from redflower.simulate.further_survey import SKYMAPPER_DECLINATION_MAX_DEG, correlated
from redflower.simulate.galaxy import galactic_position
from redflower.simulate.population import Population, find_population
from redflower.simulate.populations import Library
from redflower.simulate.sightlines import MU_NODES_MAG, Cone, HighLatitudeSky, draw_distances
from redflower.simulate.table import MockStars, catalogue_table

#: How far intrinsic scatter, metallicity gradients and noise may carry G past the limits used to propose stars. [mag]
_WINDOW_PAD_MAG: Final = 0.8
_LIBRARY_SIZE: Final = 250_000
_CHUNK: Final = 16_384
_CHUNKS_PER_LIBRARY: Final = 16
#: More than any law's coefficient in G. [mag per mag]
_G_COEFFICIENT_MAX: Final = 3.6


@dataclass(frozen=True)
class Preset:
    """A place on the sky, None for the high-latitude sky within some declinations, and the clouds that lie there by default."""

    cone: Cone | None
    clouds: tuple[tuple[float, float], ...]
    declination_deg: tuple[float, float] = (survey.PS1_DECLINATION_MIN_DEG, 90.0)


#: The two calibration regions of O'Callaghan et al. (2025, section 5), with clouds of about the size seen there.
PRESETS: Final[dict[str, Preset]] = {
    "high-latitude": Preset(None, ()),
    "southern": Preset(None, (), (-90.0, SKYMAPPER_DECLINATION_MAX_DEG)),
    "two-cloud": Preset(Cone(104.08, 22.31, 0.16), ((370.0, 0.12), (1500.0, 0.08))),
    "one-cloud": Preset(Cone(103.90, 21.97, 0.16), ((370.0, 0.12),)),
    "cone": Preset(None, ()),
}


def simulate_stars(
    n_stars: int,
    *,
    seed: int,
    preset: str = "high-latitude",
    population: str = "mock",
    clouds: Sequence[tuple[float, float]] | None = None,
    l_deg: float | None = None,
    b_deg: float | None = None,
    radius_deg: float | None = None,
    cloud_scatter: float = 0.0,
    dust: DustField | None = None,
    g_bright_mag: float = 13.5,
    g_faint_mag: float = 20.5,
    include_truth: bool = False,
    surveys: Sequence[str] = (),
) -> QTable:
    """Simulate a catalogue of stars in Gaia, Pan-STARRS1 and 2MASS.

    Components of the Galaxy, each smooth in (R, Z), of single stars, unresolved binaries, giants and white dwarfs. The
    distribution of intrinsic colours and magnitudes depends on (R, Z) alone. Distances follow the density along each
    sightline; stars outside the limits in observed G are left out.

    Parameters
    ----------
    n_stars : number of stars in the catalogue, >= 1.
    seed : of the random numbers; the same seed gives the same catalogue.
    preset : ``high-latitude`` (the sky at |b| > 20 deg north of declination -30 deg, no dust), ``southern`` (the same south of
        +2 deg, which SkyMapper sees), ``two-cloud``, ``one-cloud``, or ``cone``, which needs ``l_deg`` and ``b_deg``.
    population : ``mock`` (the default), on which the shipped model ``mock-sky`` was trained, or ``sky``, whose
        metallicities, ages and colours are those of published surveys and whose photometry is on the archive's
        scales.
    clouds : (distance in pc, E(B-V) in mag) of each dust cloud; None for those of the preset.
    l_deg, b_deg, radius_deg : centre and radius of the cone, in place of the preset's. [deg]
    cloud_scatter : relative scatter, star by star, of a cloud's E(B-V).
    dust : sheets over a patch of the sky, from `redflower.simulate.draw_dust_field`, in place of a preset and its clouds: stars
        are everywhere on the patch alike.
    g_bright_mag, g_faint_mag : limits in observed G. [mag]
    include_truth : whether to add ``true_x_<band>`` (M_G and colours relative to G, intrinsic), ``true_feh`` and
        ``true_component``.
    surveys : further surveys: ``allwise``, ``sdss``, ``skymapper``, or ``xp``, the bands of BP/RP spectra with their covariance.
        What the others see does not change with them.

    Returns
    -------
    A table with the columns of the Gaia archive, and ``true_ebv`` and ``true_distance``. What a survey would not have
    seen is NaN. The parallax still has its zero point; the columns ``r_*_geo`` are NaN.

    Raises
    ------
    InputError
        If a parameter is out of its range or the limits leave no stars.

    Examples
    --------
    >>> import redflower
    >>> raw = redflower.simulate(50, preset="one-cloud", seed=1)
    >>> len(raw)
    50
    >>> raw["true_ebv"].unit, raw["true_distance"].unit
    (Unit("mag"), Unit("pc"))
    """
    stars_of = find_population(population)
    bands = band_set([*STANDARD_SURVEYS, *surveys])
    compute_platform()
    if dust is not None and (preset, clouds, l_deg, b_deg, radius_deg) != (
        "high-latitude",
        None,
        None,
        None,
        None,
    ):
        raise InputError(
            "simulate_stars(dust) brings its place and its clouds; leave out preset, clouds and l_deg, b_deg, radius_deg."
        )
    place = _place(preset, l_deg, b_deg, radius_deg) if dust is None else dust.patch
    lumps = _checked_clouds(PRESETS[preset].clouds if clouds is None else clouds)
    if n_stars < 1:
        raise InputError(f"simulate_stars(n_stars) needs at least one star; got {n_stars}.")
    if not g_bright_mag < g_faint_mag:
        raise InputError(
            f"simulate_stars needs g_bright_mag < g_faint_mag; got {g_bright_mag} and {g_faint_mag}."
        )
    if not 0.0 <= cloud_scatter < 1.0:
        raise InputError(f"simulate_stars(cloud_scatter) needs 0 <= cloud_scatter < 1; got {cloud_scatter}.")

    rng = np.random.default_rng(check_seed(seed))
    # A star may pass the bright limit only because dust dims it.
    most_mag = (1.0 + 3.0 * cloud_scatter) * sum(ebv for _, ebv in lumps)
    most_mag += 0.0 if dust is None else float(dust.maps_mag.sum(axis=0).max())
    dimming_mag = _G_COEFFICIENT_MAX * most_mag
    limits = (g_bright_mag, g_faint_mag)
    padded = (g_bright_mag - dimming_mag - _WINDOW_PAD_MAG, g_faint_mag + _WINDOW_PAD_MAG)
    reddening = partial(_ebv_of_stars, clouds=lumps, cloud_scatter=cloud_scatter, dust=dust, rng=rng)
    # Whole chunks of one size, so that the compiled functions are compiled once.
    chunk = min(_CHUNK, max(1024, 2 ** int(np.ceil(np.log2(1.5 * n_stars)))))
    # Filled lot by lot: millions of stars should not be held twice.
    stars: MockStars | None = None
    n_found, n_chunks = 0, 0
    while stars is None or n_found < n_stars:
        if n_chunks % _CHUNKS_PER_LIBRARY == 0:
            libraries = [stars_of.draw_library(part, _LIBRARY_SIZE, rng) for part in stars_of.components]
            window = _window(libraries, padded)
            sky = (
                place
                if place is not None
                else HighLatitudeSky(stars_of.components, window, PRESETS[preset].declination_deg)
            )
        l_all, b_all = sky.draw(chunk, rng)
        lot = _observe(l_all, b_all, stars_of, libraries, window, padded, limits, reddening, rng, bands)
        stars = lot.room(n_stars) if stars is None else stars
        stars.put(n_found, lot)
        n_found += len(lot.l_deg)
        n_chunks += 1
        if n_chunks == 50 and n_found == 0:
            raise InputError(
                f"simulate_stars found no star with {g_bright_mag} < G < {g_faint_mag} among {50 * chunk}. "
                "Widen the limits."
            )
    scale = stars_of.scale().stating({name: default_release_name(name) for name in bands.surveys})
    table = catalogue_table(
        stars, include_truth=include_truth, scale=scale, law=stars_of.law.name, bands=bands
    )
    table.meta["simulation"] = {
        "preset": preset, "population": population, "seed": seed, "clouds_pc_mag": [list(cloud) for cloud in lumps],
        "cloud_scatter": cloud_scatter, "g_limits_mag": list(limits),
        "cone_deg": [place.l_deg, place.b_deg, place.radius_deg] if isinstance(place, Cone) else None,
    }  # fmt: skip
    if dust is not None:
        table.meta["simulation"] |= {
            "patch": vars(dust.patch),
            "sheets": [vars(s) for s in dust.sheets],
            "dust_seed": dust.seed,
        }
    return table


def _place(preset: str, l_deg: float | None, b_deg: float | None, radius_deg: float | None) -> Cone | None:
    """Return the requested cone, or None for the high-latitude sky."""
    if preset not in PRESETS:
        raise InputError(f"simulate_stars(preset) needs one of {', '.join(PRESETS)}; got {preset!r}.")
    given = (l_deg, b_deg, radius_deg)
    if preset in ("high-latitude", "southern"):
        if any(value is not None for value in given):
            raise InputError(
                f"simulate_stars(preset={preset!r}) takes no l_deg, b_deg or radius_deg; "
                f"got {given}. Use preset='cone'."
            )
        return None
    default = PRESETS[preset].cone or Cone(np.nan, np.nan, 0.16)
    own = (default.l_deg, default.b_deg, default.radius_deg)
    cone = Cone(*(float(mine if value is None else value) for value, mine in zip(given, own, strict=True)))
    if not (np.isfinite(cone.l_deg) and -90.0 <= cone.b_deg <= 90.0 and 0.0 < cone.radius_deg <= 90.0):
        raise InputError(
            f"simulate_stars(preset={preset!r}) needs l_deg, b_deg within +-90 and 0 < radius_deg <= 90; "
            f"got {given}."
        )
    return cone


def _checked_clouds(clouds: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    for cloud in clouds:
        if len(cloud) != 2 or not (np.isfinite(cloud).all() and cloud[0] > 0 and cloud[1] >= 0):
            raise InputError(
                f"simulate_stars(clouds) needs pairs (distance_pc > 0, ebv_mag >= 0); got {cloud!r}."
            )
    return tuple((float(distance), float(ebv)) for distance, ebv in clouds)


def _window(libraries: list[Library], padded_limits: tuple[float, float]) -> np.ndarray:
    """Return each component's share of systems inside the padded limits, at every node of the distance modulus."""
    bright, faint = (limit - MU_NODES_MAG for limit in padded_limits)
    return np.stack([library.share_below(faint) - library.share_below(bright) for library in libraries])


def _observe(
    l_deg: np.ndarray,
    b_deg: np.ndarray,
    population: Population,
    libraries: list[Library],
    window: np.ndarray,
    padded_limits: tuple[float, float],
    limits: tuple[float, float],
    reddening: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    rng: np.random.Generator,
    bands: BandSet,
) -> MockStars:
    """Observe one star on each sightline; those outside the limits are left out."""
    n = len(l_deg)
    mu, component = draw_distances(l_deg, b_deg, population.components, window, rng)
    distance_pc = distance_from_modulus(mu)
    radius_pc, height_pc = galactic_position(distance_pc, l_deg, b_deg)
    absolute, feh = np.empty((n, len(bands))), np.empty(n)
    for k, (parent, library) in enumerate(zip(population.components, libraries, strict=True)):
        here = np.flatnonzero(component == k)
        row = library.draw_between(padded_limits[0] - mu[here], padded_limits[1] - mu[here], rng)
        feh[here] = library.feh_dex[row] + parent.feh_shift_dex(radius_pc[here], height_pc[here])
        absolute[here] = population.system_magnitudes(library, row, feh[here], rng, bands)
    ebv = reddening(l_deg, b_deg, distance_pc)
    apparent = absolute + mu[:, None]
    if ebv.any():
        apparent = apparent + np.asarray(
            _extinction(population.law.of_bands(bands))(ebv, absolute[:, BP] - absolute[:, RP])
        )
    if population.ps1_drift is not None:
        apparent = apparent + survey.ps1_drift_mag(apparent, population.ps1_drift(), bands)
    dec_deg = SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic").icrs.dec.deg
    error = survey.catalogue_errors(apparent, rng, bands)
    floor_mag = np.array([band.error_floor_mag for band in bands])
    # The catalogue's error is not all of the scatter: the calibration adds the floor that the likelihood adds.
    normal = correlated(band_normals(rng, apparent.shape), error, floor_mag, bands)
    observed = apparent + np.hypot(error, floor_mag) * normal
    listed = survey.listed(observed, error, dec_deg, bands)
    stars = MockStars(
        l_deg=l_deg,
        b_deg=b_deg,
        distance_pc=distance_pc,
        ebv_mag=ebv,
        absolute_mag=absolute,
        feh_dex=feh,
        component=component.astype(np.int16),
        observed_mag=np.where(listed, observed, np.nan),
        error_mag=np.where(listed, error, np.nan),
        parallax_error_mas=survey.parallax_errors(apparent[:, G], rng),
        parallax_noise=rng.standard_normal(n),
        ruwe=np.exp(0.02 + 0.05 * rng.standard_normal(n)),
        visibility_periods=rng.integers(12, 30, n),
        g_observations=rng.integers(150, 450, n),
    )
    return stars.at((observed[:, G] > limits[0]) & (observed[:, G] < limits[1]))


def _ebv_of_stars(
    l_deg: np.ndarray,
    b_deg: np.ndarray,
    distance_pc: np.ndarray,
    *,
    clouds: tuple[tuple[float, float], ...],
    cloud_scatter: float,
    dust: DustField | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the E(B-V) of stars, from clouds or from a field of dust. [mag]"""
    if dust is not None:
        return dust.ebv_mag(l_deg, b_deg, distance_pc)
    ebv = np.zeros(len(distance_pc))
    for cloud_pc, cloud_ebv in clouds:
        uneven = (
            np.maximum(1.0 + cloud_scatter * rng.standard_normal(len(ebv)), 0.0) if cloud_scatter else 1.0
        )
        ebv += np.where(distance_pc > cloud_pc, cloud_ebv * uneven, 0.0)
    return ebv


@cache
def _extinction(law: ExtinctionLaw) -> Any:
    """Return the extinction of every band for arrays of stars."""
    return jax.jit(jax.vmap(lambda ebv_mag, bp_rp_mag: extinction_mag(law, ebv_mag, bp_rp_mag)))
