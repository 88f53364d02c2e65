"""A sample on the sky: the dust map it was chosen by, and its selection function (the paper, Figure 8)."""

from typing import TYPE_CHECKING, Final, Protocol

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy_healpix import HEALPix
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from redflower.plot.style import style

if TYPE_CHECKING:
    from redflower.physics import SelectionFunction

#: Columns and rows of the drawn sky.
_GRID: Final = (720, 360)


class LooksUpDust(Protocol):
    """Anything that gives E(B-V) at positions, such as `redflower.catalogue.DustMap`."""

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    def lookup(
        self, ra_deg: np.ndarray, dec_deg: np.ndarray, l_deg: np.ndarray, b_deg: np.ndarray
    ) -> np.ndarray:
        """Look up E(B-V) at each position. [mag]"""
        ...


def sky_figure(
    prepared: Table,
    *,
    dust: LooksUpDust | None = None,
    ebv_max_mag: float = 0.018,
    selection: "SelectionFunction | None" = None,
    g_mag: float = 20.0,
    g_rp_mag: float = 0.7,
) -> Figure:
    """Draw a sample's selection function (left) and the dust where its stars are (right), in Galactic coordinates.

    Left: the probability of a star of one magnitude and colour, and without a selection function the density of the
    sample's stars. Right: E(B-V) where it is below the limit, black where the map has more, white where it has none.

    Parameters
    ----------
    prepared : the sample.
    dust : the map that it was chosen by.
    ebv_max_mag : the limit. [mag]
    selection : of the sample.
    g_mag, g_rp_mag : magnitude and colour at which the selection function is drawn. [mag]
    """
    lon_edge, lat_edge = np.linspace(-180, 180, _GRID[0] + 1), np.linspace(-90, 90, _GRID[1] + 1)
    lon, lat = np.meshgrid(0.5 * (lon_edge[1:] + lon_edge[:-1]), 0.5 * (lat_edge[1:] + lat_edge[:-1]))
    galactic = SkyCoord(lon.ravel(), lat.ravel(), unit="deg", frame="galactic")
    icrs = galactic.icrs
    with style():
        figure = Figure(figsize=(12.0, 3.8))
        left, right = figure.subplots(1, 2, subplot_kw={"projection": "mollweide"})
        if selection is not None:
            pixel = HEALPix(selection.nside, order="nested").lonlat_to_healpix(icrs.ra, icrs.dec)
            import jax  # a selection function is JAX's already; without one figures do without

            from redflower.physics import log_selection

            logs = jax.vmap(lambda p: log_selection(selection, p, g_mag, g_rp_mag))(
                np.arange(12 * selection.nside**2)
            )
            values = np.exp(np.asarray(logs))[pixel].reshape(lon.shape)
            # Only where the sample has stars: elsewhere the estimate is the prior's.
            with_stars = np.zeros(12 * selection.nside**2, dtype=bool)
            ra, dec = (np.asarray(prepared[name], dtype=float) for name in ("ra", "dec"))
            with_stars[
                HEALPix(selection.nside, order="nested").lonlat_to_healpix(ra * u.deg, dec * u.deg)
            ] = True
            values[~with_stars[pixel].reshape(lon.shape)] = np.nan
            drawn = left.pcolormesh(
                np.radians(-lon_edge),
                np.radians(lat_edge),
                values,
                vmin=0,
                vmax=1,
                cmap="viridis",
                rasterized=True,
            )
            figure.colorbar(drawn, ax=left, label="selection probability", shrink=0.7)
            left.set_title(f"P(S = 1) at G = {g_mag:g}, G $-$ RP = {g_rp_mag:g}", fontsize=9)
        else:
            l_deg = (np.asarray(prepared["l"], dtype=float) + 180) % 360 - 180
            counts, _, _ = np.histogram2d(
                l_deg, np.asarray(prepared["b"], dtype=float), bins=(lon_edge[::4], lat_edge[::4])
            )
            counts[counts == 0] = np.nan
            drawn = left.pcolormesh(np.radians(-lon_edge[::4]), np.radians(lat_edge[::4]), counts.T, cmap="viridis",
                                    rasterized=True)  # fmt: skip
            figure.colorbar(drawn, ax=left, label="stars per cell", shrink=0.7)
            left.set_title("stars of the sample", fontsize=9)
        if dust is not None:
            ebv = dust.lookup(icrs.ra.deg, icrs.dec.deg, galactic.l.deg, galactic.b.deg).reshape(lon.shape)
            with np.errstate(invalid="ignore"):
                above = np.where(ebv >= ebv_max_mag, 1.0, np.nan)
                below = np.where(ebv < ebv_max_mag, ebv, np.nan)
            edges = (np.radians(-lon_edge), np.radians(lat_edge))
            right.pcolormesh(*edges, above, cmap=ListedColormap(["black"]), rasterized=True)
            drawn = right.pcolormesh(*edges, below, cmap="plasma", vmin=0, vmax=ebv_max_mag, rasterized=True)
            figure.colorbar(drawn, ax=right, label="E(B$-$V) [mag]", shrink=0.7)
            right.set_title(f"{dust.name}, E(B$-$V) < {ebv_max_mag:g} mag; black above", fontsize=9)
        else:
            right.text(0.5, 0.5, "no dust map was given", ha="center", transform=right.transAxes)
        for axes in (left, right):
            _galactic(axes)
    return figure


def _galactic(axes: Axes) -> None:
    """Draw longitude to the left, with the anticentre at the sides."""
    axes.grid(lw=0.3, color="grey")
    ticks = np.arange(-150, 180, 60)
    axes.set_xticks(np.radians(ticks), [f"{-t % 360:g}°" for t in ticks], fontsize=7)
    axes.tick_params(axis="y", labelsize=7)
