"""Selection functions of the package ``gaiaunlimited``, in redflower's form.

What its `SubsampleSelectionFunction` counts in the archive, and what its empirical model of Gaia's own completeness
says (Cantat-Gaudin et al. 2023, A&A 669, A55), become a `SelectionFunction`. Of the former only the counts are taken:
version 0.3.3 computes the variance of a beta distribution with n + 1 where k + 1 belongs, and leaves empty cells NaN.
"""

from typing import Any, Final

import numpy as np
from jaxtyping import Float

from redflower.catalogue.maps.selection_counts import SelectionCounts
from redflower.errors import InputError

#: Names of the two photometric columns in gaiaunlimited's data sets: those of the archive and an underscore.
G_NAME: Final = "phot_g_mean_mag_"
G_RP_NAME: Final = "g_rp_"


def counts_from_gaiaunlimited(function: Any) -> SelectionCounts:
    """Take the counts behind a ``gaiaunlimited`` SubsampleSelectionFunction, in bins of position, G and G - RP.

    Parameters
    ----------
    function : made with ``hplevel_and_binning = {"healpix": level, "phot_g_mean_mag": (low, high, step), "g_rp": (low,
        high, step)}``. What is absent from its table counts as no star.

    Raises
    ------
    InputError
        If it is binned otherwise.
    """
    binning = dict(getattr(function, "hplevel_and_binning", {}))
    wanted = {"healpix", G_NAME.rstrip("_"), G_RP_NAME.rstrip("_")}
    if set(binning) != wanted:
        raise InputError(
            f"the selection function must be binned in {sorted(wanted)}; it is in {sorted(binning)}."
        )
    data = function.ds[["n", "k"]].transpose("ipix", G_NAME, G_RP_NAME)
    nside = 2 ** int(binning["healpix"])
    edges = [
        np.append(centre - step / 2, centre[-1] + step / 2)
        for centre, step in (
            (np.asarray(data[name]), float(binning[name.rstrip("_")][2])) for name in (G_NAME, G_RP_NAME)
        )
    ]
    counts = []
    for name in ("n", "k"):
        cells = np.zeros((12 * nside**2, len(edges[0]) - 1, len(edges[1]) - 1), dtype=int)
        cells[np.asarray(data["ipix"], dtype=int)] = np.nan_to_num(np.asarray(data[name]))
        counts.append(cells)
    return SelectionCounts(
        parent=counts[0], sample=counts[1], g_edges_mag=edges[0], g_rp_edges_mag=edges[1], nside=nside
    )


def log_gaia_completeness(g_centre_mag: Float[np.ndarray, " g"], nside: int) -> Float[np.ndarray, "pixel g"]:
    """Return the log of the completeness of Gaia DR3 itself, the parent of E11, averaged over each pixel.

    gaiaunlimited fetches its map (100 MB) at the first call and keeps it.

    Parameters
    ----------
    g_centre_mag : apparent G. [mag]
    nside : HEALPix resolution, nested, ICRS, not finer than the map's 128.

    Raises
    ------
    InputError
        If gaiaunlimited is not installed, or its map cannot be had.
    """
    try:
        from gaiaunlimited.selectionfunctions import DR3SelectionFunctionTCG
        from gaiaunlimited.selectionfunctions.surveyTCG import m10_to_completeness
    except ImportError:
        raise InputError(
            "the completeness of Gaia needs gaiaunlimited, which is not installed: pip install 'redflower[selection]'."
        ) from None
    try:
        model = DR3SelectionFunctionTCG()
    except Exception as problem:  # a download, a cache and an HDF5 file can each fail in their own way
        raise InputError(
            f"gaiaunlimited cannot open its map of Gaia's completeness ({str(problem)[:200]}). It is "
            "allsky_M10_hpx7.hdf5 of https://zenodo.org/records/21444145, to be put into ~/.gaiaunlimited."
        ) from None
    order, pixel, depth_mag = np.asarray(model.m10map, dtype=float).T
    fine = 2 ** int(order[0])
    if nside > fine or len(depth_mag) != 12 * fine**2:
        raise InputError(
            f"the map of Gaia's completeness has {len(depth_mag)} pixels, which do not nest in NSIDE {nside}."
        )
    # Its own look-up takes a loop over the sky for every place; the map in order is the same, averaged exactly.
    depth_mag = depth_mag[np.argsort(pixel)]
    columns = [
        m10_to_completeness(np.full(len(depth_mag), float(g)), depth_mag)
        .reshape(12 * nside**2, -1)
        .mean(axis=1)
        for g in g_centre_mag
    ]
    return np.log(np.clip(np.stack(columns, axis=1), 1e-6, 1.0))
