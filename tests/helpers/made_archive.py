"""Made-up stars in tables that have the names, columns and types of the Gaia archive's."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Column, MaskedColumn, Table
from astropy_healpix import HEALPix

RANK_0, RANK_3, HAS_PS1 = 0x100, 0x800, 0x10
QUALITY_GOOD = 4
GAIA_ZERO_POINTS_MAG = {"g": 25.6874, "bp": 25.3385, "rp": 24.7479}


@dataclass(frozen=True)
class MadeArchive:
    """The tables by their full name, and the answer that the join of all of them must give, by source_id."""

    tables: dict[str, Table]
    expected: Table


def source_ids(ra_deg: np.ndarray, dec_deg: np.ndarray) -> np.ndarray:
    """Identifiers as Gaia builds them: HEALPix level 12 in the leading bits, a running number behind."""
    pixels = HEALPix(4096, order="nested").lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg)
    return pixels.astype(np.int64) * 2**35 + 4294967296 + np.arange(len(ra_deg))


def made_archive(
    n: int = 400, *, l_deg: float = 104.08, b_deg: float = 22.31, radius_deg: float = 0.3, seed: int = 5
) -> MadeArchive:
    """Stars in a circle; three in four have a Pan-STARRS1 counterpart, half a 2MASS one.

    One 2MASS star has two entries behind one clean_tmass_psc_xsc_oid, as the archive has a few; one Pan-STARRS1 object
    is shared by two Gaia stars; one star has a band of bad pixels.
    """
    rng = np.random.default_rng(seed)
    centre = SkyCoord(l_deg, b_deg, unit="deg", frame="galactic").icrs
    place = centre.directional_offset_by(
        rng.uniform(0, 360, n) * u.deg, radius_deg * np.sqrt(rng.uniform(0, 1, n)) * u.deg
    )
    ra, dec = place.ra.deg, place.dec.deg
    ids = source_ids(ra, dec)
    g_mag = rng.uniform(14.0, 20.4, n)
    five = rng.uniform(size=n) < 0.9
    gaia = Table()
    gaia["source_id"] = ids
    add = _adder(gaia)
    add("ra", ra, "deg")
    add("dec", dec, "deg")
    add("l", place.galactic.l.deg, "deg")
    add("b", place.galactic.b.deg, "deg")
    add("parallax", rng.normal(0.8, 0.5, n), "mas")
    add("parallax_error", rng.uniform(0.02, 0.3, n).astype(np.float32), "mas")
    add("pmra", rng.normal(0, 20, n), "mas / yr")
    add("pmdec", rng.normal(0, 20, n), "mas / yr")
    add("ref_epoch", np.full(n, 2016.0), "yr")
    add("ruwe", rng.uniform(0.9, 2.4, n).astype(np.float32))
    add("visibility_periods_used", rng.integers(8, 30, n).astype(np.int16))
    add("astrometric_params_solved", np.where(five, 31, 95).astype(np.int16))
    add("phot_g_n_obs", rng.integers(50, 500, n).astype(np.int16))
    add(
        "nu_eff_used_in_astrometry",
        np.where(five, rng.uniform(1.3, 1.7, n), np.nan).astype(np.float32),
        "1 / um",
    )
    add("pseudocolour", np.where(five, np.nan, rng.uniform(1.3, 1.7, n)).astype(np.float32), "1 / um")
    add("ecl_lat", place.barycentricmeanecliptic.lat.deg, "deg")
    for short, zero_point in GAIA_ZERO_POINTS_MAG.items():
        magnitude = (g_mag + {"g": 0.0, "bp": 0.4, "rp": -0.5}[short]).astype(np.float32)
        flux = 10 ** (0.4 * (zero_point - magnitude.astype(float)))
        add(f"phot_{short}_mean_mag", magnitude, "mag")
        add(f"phot_{short}_mean_flux", flux, "electron / s")
        add(
            f"phot_{short}_mean_flux_error",
            (flux * rng.uniform(1e-3, 1e-2, n)).astype(np.float32),
            "electron / s",
        )

    add("phot_bp_rp_excess_factor", rng.uniform(1.15, 1.35, n).astype(np.float32))
    add("in_qso_candidates", np.arange(n) % 50 == 3)
    add("in_galaxy_candidates", np.arange(n) % 80 == 5)

    in_ps1 = np.flatnonzero(np.arange(n) % 4 != 3)
    oid = 69742000000000000 + np.arange(len(in_ps1))
    px = Table(
        {"source_id": ids[in_ps1], "original_ext_source_id": oid.copy(), "clean_panstarrs1_oid": oid % 10**6}
    )
    px["number_of_neighbours"] = np.ones(len(in_ps1), np.int16)
    px["number_of_mates"] = np.zeros(len(in_ps1), np.int16)
    px["original_ext_source_id"][1] = oid[0]  # two Gaia stars, one object
    px["number_of_mates"][:2] = 1
    ps1 = Table({"obj_id": oid})
    add = _adder(ps1)
    add("ra", ra[in_ps1], "deg")
    add("dec", dec[in_ps1], "deg")
    for i, label in enumerate("grizy"):
        magnitude = g_mag[in_ps1] + 0.3 - 0.1 * i
        magnitude[5] = -999.0
        add(f"{label}_mean_psf_mag", magnitude, "mag")
        add(
            f"{label}_mean_psf_mag_error",
            np.where(magnitude < 0, -999.0, rng.uniform(0.003, 0.02, len(oid))),
            "mag",
        )
        flags = np.full(len(oid), RANK_0 | HAS_PS1, np.int32)
        if label == "r":
            flags[2] = RANK_3 | HAS_PS1
        add(f"{label}_flags", flags)
    add("quality_flag", np.full(len(oid), QUALITY_GOOD | 16, np.int16))

    in_tmass = np.flatnonzero(np.arange(n) % 2 == 0)
    names = np.array([f"{190000 + i:08d}+7214{i:06d}"[:17] for i in range(len(in_tmass))])
    clean = 300_000_000 + np.arange(len(in_tmass), dtype=np.int32)
    tx = Table(
        {"source_id": ids[in_tmass], "original_ext_source_id": names, "clean_tmass_psc_xsc_oid": clean}
    )
    tx["number_of_mates"] = np.zeros(len(in_tmass), np.int16)
    second = "00000000+0000000"
    doubled = int(np.argmin(place[in_tmass].separation(centre)))
    tj = Table(
        {
            "clean_tmass_psc_xsc_oid": np.append(clean, clean[doubled]),
            "original_psc_source_id": np.append(names, second),
        }
    )
    tmass = Table({"designation": np.append(names, second)})
    add = _adder(tmass)
    for i, name in enumerate(("j", "h", "ks")):
        add(f"{name}_m", np.append(g_mag[in_tmass] - 1.2 - 0.2 * i, 15.0).astype(np.float32), "mag")
        error = np.append(rng.uniform(0.02, 0.06, len(names)), 0.05).astype(np.float32)
        add(f"{name}_msigcom", error, "mag")
    quality = np.full(len(names) + 1, "AAA")
    quality[7] = "AAB"
    add("ph_qual", quality)

    distance = Table({"source_id": ids})
    add = _adder(distance)
    for which, factor in (("med", 1.0), ("lo", 0.9), ("hi", 1.1)):
        add(f"r_{which}_geo", (1200.0 * factor * np.ones(n)).astype(np.float32), "pc")

    tables = {
        "gaiadr3.gaia_source": gaia,
        "gaiadr3.panstarrs1_best_neighbour": px,
        "gaiadr2.panstarrs1_original_valid": ps1,
        "gaiadr3.tmass_psc_xsc_best_neighbour": tx,
        "gaiadr3.tmass_psc_xsc_join": tj,
        "gaiadr1.tmass_original_valid": tmass,
        "external.gaiaedr3_distance": distance,
    }
    return MadeArchive(tables, _joined(gaia, px, ps1, tx, tmass, distance))


def further_tables(archive: MadeArchive, seed: int = 8) -> tuple[dict[str, Table], Table]:
    """SDSS, SkyMapper and the synthetic photometry of a made archive's stars, and what their joins must give, by source_id.

    One star in three has an SDSS counterpart, one in three (others) one in SkyMapper, half a row of synthetic photometry. The
    first SDSS object is unclean, the second shared by two stars; the first SkyMapper object is saturated in g, the second has a
    neighbour; the first star of the synthetic photometry is outside the range in which u was validated.
    """
    gaia = archive.tables["gaiadr3.gaia_source"]
    rng = np.random.default_rng(seed)
    ids, g_mag = np.asarray(gaia["source_id"]), np.asarray(gaia["phot_g_mean_mag"], float)
    tables: dict[str, Table] = {}
    joined = Table({"source_id": ids})

    def objects(rows: np.ndarray, first: int, magnitudes: list[str], errors: list[str]) -> Table:
        table = Table({"key": first + np.arange(len(rows))})
        for k, (magnitude, error) in enumerate(zip(magnitudes, errors, strict=True)):
            table[magnitude] = Column(g_mag[rows] + 0.4 - 0.2 * k, unit="mag")
            table[error] = Column(rng.uniform(0.01, 0.05, len(rows)), unit="mag")
        return table

    def match(rows: np.ndarray, table: Table) -> Table:
        out = Table({"source_id": ids[rows], "original_ext_source_id": np.asarray(table["key"])})
        out["number_of_mates"] = np.zeros(len(rows), np.int16)
        return out

    def take(rows: np.ndarray, columns: dict[str, np.ndarray], units: dict[str, object]) -> None:
        place = np.full(len(ids), -1)
        place[rows] = np.arange(len(rows))
        for name, values in columns.items():
            joined[name] = MaskedColumn(np.asarray(values)[place], mask=place < 0, unit=units.get(name))

    rows = np.flatnonzero(np.arange(len(ids)) % 3 == 0)
    sdss = objects(
        rows, 1237648720693755900, *([f"{what}_{b}" for b in "ugriz"] for what in ("psfmag", "psfmagerr"))
    )
    sdss["clean"] = np.where(np.arange(len(rows)) == 0, 0, 1).astype(np.int16)
    xmatch = match(rows, sdss)
    xmatch["original_ext_source_id"][2] = sdss["key"][1]  # two stars, one object
    xmatch["number_of_mates"][1:3] = 1
    at = np.searchsorted(sdss["key"], xmatch["original_ext_source_id"])
    columns = {name: np.asarray(sdss[name])[at] for name in sdss.colnames[1:-1]}
    take(rows, {**columns, "sdss_clean": np.asarray(sdss["clean"])[at],
                "sdss_number_of_mates": np.asarray(xmatch["number_of_mates"])}, dict.fromkeys(columns, "mag"))  # fmt: skip
    sdss.rename_column("key", "objid")
    tables |= {"gaiadr3.sdssdr13_best_neighbour": xmatch, "external.sdssdr13_photoprimary": sdss}

    rows = np.flatnonzero(np.arange(len(ids)) % 3 == 1)
    sky = objects(rows, 500_000_000, [f"{b}_psf" for b in "uvgriz"], [f"e_{b}_psf" for b in "uvgriz"])
    photometry = sky.colnames[1:]
    for b in "uvgriz":
        sky[f"{b}_flags"] = np.where((np.arange(len(rows)) == 0) & (b == "g"), 4, 0).astype(np.int16)
    sky["flags_psf"] = np.where(np.arange(len(rows)) == 1, 1, 0).astype(np.int16)
    xmatch = match(rows, sky)
    flags = {f"skymapper_{name}": np.asarray(sky[name]) for name in sky.colnames if "flags" in name}
    columns = {name: np.asarray(sky[name]) for name in photometry}
    mates = {"skymapper_number_of_mates": np.asarray(xmatch["number_of_mates"])}
    take(rows, {**columns, **flags, **mates}, dict.fromkeys(photometry, "mag"))
    sky.rename_column("key", "object_id")
    tables |= {"gaiadr3.skymapperdr2_best_neighbour": xmatch, "external.skymapperdr2_master": sky}

    rows = np.flatnonzero(np.arange(len(ids)) % 2 == 0)
    gspc = Table({"source_id": ids[rows]})
    for k, b in enumerate("ugriz"):
        magnitude = g_mag[rows] + 0.4 - 0.2 * k
        flux = 10 ** (-0.4 * (magnitude + 56.1))
        gspc[f"{b}_sdss_mag"] = Column(magnitude, unit="mag")
        gspc[f"{b}_sdss_flux"] = Column(flux, unit="W / (m2 nm)")  # as the archive states them, wrongly
        gspc[f"{b}_sdss_flux_error"] = Column(flux / rng.uniform(40, 200, len(rows)), unit="W / (m2 nm)")
        gspc[f"{b}_sdss_flag"] = np.where((np.arange(len(rows)) == 0) & (b == "u"), 0, 1).astype(np.int16)
    named = gspc.colnames[1:]
    take(rows, {name: np.asarray(gspc[name]) for name in named}, {name: gspc[name].unit for name in named})
    tables["gaiadr3.synthetic_photometry_gspc"] = gspc
    joined.sort("source_id")
    return tables, joined


def _adder(table: Table):
    def add(name: str, values: np.ndarray, unit: str | None = None) -> None:
        table[name] = Column(values, unit=unit)

    return add


def _joined(gaia: Table, px: Table, ps1: Table, tx: Table, tmass: Table, distance: Table) -> Table:
    """The join, made row by row in Python: what any database must come to."""
    of_object = {int(k): i for i, k in enumerate(ps1["obj_id"])}
    of_star_ps1 = {int(s): i for i, s in enumerate(px["source_id"])}
    of_name = {str(k): i for i, k in enumerate(tmass["designation"])}
    of_star_tmass = {int(s): i for i, s in enumerate(tx["source_id"])}
    ids = [int(s) for s in gaia["source_id"]]
    match_ps1 = np.array([of_star_ps1.get(s, -1) for s in ids])
    row_ps1 = np.array([of_object[int(px["original_ext_source_id"][i])] if i >= 0 else -1 for i in match_ps1])
    match_tmass = np.array([of_star_tmass.get(s, -1) for s in ids])
    row_tmass = np.array(
        [of_name[str(tx["original_ext_source_id"][i])] if i >= 0 else -1 for i in match_tmass]
    )
    out = gaia[[name for name in gaia.colnames if name not in ("pmra", "pmdec", "ref_epoch")]].copy()

    def take(name: str, source: Table, column: str, rows: np.ndarray) -> None:
        out[name] = MaskedColumn(np.asarray(source[column])[rows], mask=rows < 0, unit=source[column].unit)

    for label in "grizy":
        take(f"{label}_mean_psf_mag", ps1, f"{label}_mean_psf_mag", row_ps1)
        take(f"{label}_mean_psf_mag_error", ps1, f"{label}_mean_psf_mag_error", row_ps1)
        take(f"ps1_{label}_flags", ps1, f"{label}_flags", row_ps1)
    take("ps1_quality_flag", ps1, "quality_flag", row_ps1)
    take("ps1_number_of_mates", px, "number_of_mates", match_ps1)
    for name in ("j_m", "j_msigcom", "h_m", "h_msigcom", "ks_m", "ks_msigcom", "ph_qual"):
        take(name, tmass, name, row_tmass)
    take("tmass_number_of_mates", tx, "number_of_mates", match_tmass)
    for name in ("r_med_geo", "r_lo_geo", "r_hi_geo"):
        take(name, distance, name, np.arange(len(ids)))
    out.sort("source_id")
    return out
