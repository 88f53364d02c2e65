"""What photometry can know of a simulated star's E(B-V), to first order: linear theory.

A star's colours change with BP - RP, [Fe/H] and dust, with the scatter that the population has about them, floors and noise.
Brightness and BP - RP are free, [Fe/H] is known beforehand to 0.3 dex. That is what a perfect model could reach, without
parallax. No flow is used.
"""

import numpy as np
from astropy.table import Table

import redflower
from redflower.band import Band
from redflower.bands import BandSet
from redflower.physics import law_of_name
from redflower.simulate.colours import sky_colour_relations
from redflower.simulate.further_survey import spectra_correlation

FEH_STD_DEX = 0.3
#: Distance and E(B-V) of the cloud, near enough to lie in front of nearly all stars. [pc], [mag]
CLOUD = (120.0, 0.15)


def cloudy_field(n_stars: int, survey: str, *, faint_mag: float, seed: int) -> Table:
    """Return raw stars of the simulated sky behind a cloud, with their truth and a further survey."""
    return redflower.simulate(
        n_stars, seed=seed, preset="cone", population="sky", l_deg=90.0, b_deg=45.0, radius_deg=4.0, clouds=[CLOUD],
        include_truth=True, surveys=(survey,), g_faint_mag=faint_mag,
    )  # fmt: skip


class Star:
    """What linear theory needs of one star of a `cloudy_field`.

    Attributes
    ----------
    bands : of the arrays.
    changes : of every band with brightness, BP - RP, [Fe/H] and E(B-V): (band, parameter).
    factor : of the covariance of the colours' scatter.
    error_mag : catalogue errors; NaN where a band is missing.
    """

    def __init__(self, raw: Table, row: int, bands: BandSet) -> None:
        self.bands = bands
        relations = sky_colour_relations(bands)
        bp_rp = np.array([float(raw["true_x_BP"][row].value - raw["true_x_RP"][row].value)])
        feh = np.array([float(raw["true_feh"][row])])
        giant = np.array([float(raw["true_x_G"][row].value < 3.5 and bp_rp[0] > 0.9)])

        def colours(x: np.ndarray, metals: np.ndarray) -> np.ndarray:
            return relations.colours(x, metals, giant)[0]

        dust = law_of_name(None).of_bands(bands).coefficients(CLOUD[1], bp_rp[0])
        self.changes = np.stack(
            [
                np.ones(len(bands)),
                (colours(bp_rp + 0.02, feh) - colours(bp_rp - 0.02, feh)) / 0.04,
                (colours(bp_rp, feh + 0.1) - colours(bp_rp, feh - 0.1)) / 0.2,
                np.asarray(dust),
            ],
            axis=1,
        )
        self.factor = relations.scatter_factor[np.searchsorted(relations.scatter_bp_rp_mag, bp_rp[0])]
        self.error_mag = np.array([_error(raw, row, band) for band in bands])

    def covariance(
        self, *, quiet: tuple[str, ...] = (), floors: float = 1.0, scatter: float = 1.0
    ) -> np.ndarray:
        """Return the covariance of the magnitudes at given parameters. [mag^2]

        Parameters
        ----------
        quiet : surveys whose errors are taken as nought, but for their floors.
        floors, scatter : factors of two parts: 1, or 0 for none.
        """
        bands = self.bands
        noise = np.where([band.survey in quiet for band in bands], 0.0, np.nan_to_num(self.error_mag))
        matrix = scatter**2 * self.factor @ self.factor.T + spectra_correlation(bands) * np.outer(
            noise, noise
        )
        return matrix + np.diag([floors**2 * band.error_floor_mag**2 + 1e-8 for band in bands])

    def sigma(
        self, names: frozenset[str], true: np.ndarray, taken: np.ndarray | None = None, feh_std_dex: float = FEH_STD_DEX
    ) -> tuple[float, float]:  # fmt: skip
        """Return the claimed standard error of E(B-V), and the true one of that estimate. [mag]

        Parameters
        ----------
        names : of the bands that count.
        true, taken : covariance of the magnitudes, and the one that the estimate takes for it. If None, the true one.
        feh_std_dex : how well [Fe/H] is known beforehand.
        """
        chosen = [
            i for i, band in enumerate(self.bands) if band.name in names and np.isfinite(self.error_mag[i])
        ]
        at = np.ix_(chosen, chosen)
        design, right = self.changes[chosen], true[at]
        wrong = right if taken is None else taken[at]
        weighted = np.linalg.solve(wrong, design)
        known = np.diag([0.0, 0.0, 1.0 / feh_std_dex**2, 0.0])
        claimed = np.linalg.inv(design.T @ weighted + known)
        scatter = claimed @ (weighted.T @ right @ weighted + known) @ claimed
        return float(np.sqrt(claimed[3, 3])), float(np.sqrt(scatter[3, 3]))


def _error(raw: Table, row: int, band: Band) -> float:
    """Return the catalogue error of a star in a band. [mag]"""
    if band.error_column is not None:
        return float(raw[band.error_column][row].value)
    return 1.0857 * float((raw[band.flux_error_column][row] / raw[band.flux_column][row]).value)
