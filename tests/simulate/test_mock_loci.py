"""The mock sky's colour loci beside real stars: M67 and the 10,000 stars to which its relations were fitted.

Colours (band - G) are compared as residuals about the mock's own median locus, at one metallicity range, in bins of
intrinsic BP - RP along the main sequence; the mock's stars get errors drawn from the real stars of the bin.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import redflower
from redflower.bands import BANDS, BP, RP, G

EDGES_MAG = np.array([0.6, 0.8, 1.0, 1.2, 1.5, 1.8, 2.2])
MIN_STARS = 25
MAX_OFFSET_MAG = 0.02
MAX_SCATTER_RATIO = 1.30


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The fitting script, whose readers are used here."""
    path = Path(__file__).parents[2] / "scripts" / "fit_colour_relations.py"
    spec = importlib.util.spec_from_file_location("fit_colour_relations", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mock() -> tuple[np.ndarray, np.ndarray]:
    """Colours (band - G) without errors, and [Fe/H], of mock main-sequence stars."""
    sky = redflower.simulate(60_000, seed=11, g_faint_mag=19.0, include_truth=True)
    colour = np.stack([sky[f"true_x_{band.label}"].value for band in BANDS], axis=1)
    m_g = colour[:, G].copy()
    colour[:, G] = 0.0
    dwarf = (m_g > 3.8) & (m_g < 4.5 + 4.0 * (colour[:, BP] - colour[:, RP]))
    return colour[dwarf], np.asarray(sky["true_feh"].value)[dwarf]


def compare(real, keep: np.ndarray, feh_range: tuple[float, float], mock) -> list[tuple]:
    """(band, bin, stars, median offset [mag], scatter ratio) of real against mock stars."""
    rng = np.random.default_rng(0)
    colour, feh = mock
    colour = colour[(feh > feh_range[0]) & (feh < feh_range[1])]
    true_bp_rp = colour[:, BP] - colour[:, RP]
    place = np.digitize(true_bp_rp, np.arange(0.4, 2.6, 0.05))
    bins = [place == j for j in np.unique(place) if (place == j).sum() > 10]
    # Each mock star gets the errors of a real star of about its colour, band by band: BP and RP also move BP - RP.
    whole = np.flatnonzero(keep & np.isfinite(real.error[:, [G, BP, RP]]).all(axis=1))
    by_colour = whole[np.argsort(real.bp_rp[whole])]
    near = np.searchsorted(real.bp_rp[by_colour], true_bp_rp) + rng.integers(-10, 11, len(true_bp_rp))
    # The mock's observed magnitudes scatter by the catalogue's error and the calibration's floor.
    floor = np.array([band.error_floor_mag for band in BANDS])
    error = np.hypot(real.error[by_colour[np.clip(near, 0, len(by_colour) - 1)]], floor)
    noisy = colour + error * rng.standard_normal(colour.shape)
    noisy_bp_rp = noisy[:, BP] - noisy[:, RP]
    rows = []
    for k, band in enumerate(BANDS):
        if k == G:
            continue
        locus = np.array([(true_bp_rp[here].mean(), np.median(colour[here, k])) for here in bins]).T
        real_residual = real.magnitude[:, k] - real.magnitude[:, G] - np.interp(real.bp_rp, *locus)
        mock_residual = noisy[:, k] - noisy[:, G] - np.interp(noisy_bp_rp, *locus)
        for low, high in zip(EDGES_MAG[:-1], EDGES_MAG[1:], strict=True):
            here = keep & (real.bp_rp > low) & (real.bp_rp < high) & np.isfinite(real_residual)
            there = (noisy_bp_rp > low) & (noisy_bp_rp < high) & np.isfinite(mock_residual)
            if min(here.sum(), there.sum()) < MIN_STARS:
                continue
            sides = (real_residual[here], mock_residual[there])
            middle = [np.median(side) for side in sides]
            spread = [np.median(np.abs(side - m)) for side, m in zip(sides, middle, strict=True)]
            rows.append(
                (band.label, f"{low}-{high}", int(here.sum()), middle[0] - middle[1], spread[0] / spread[1])
            )
    return rows


def assert_offsets(rows: list[tuple]) -> None:
    """Every bin of every colour within 0.02 mag."""
    assert len(rows) > 30
    bad = [f"{b} {i} n={n} offset {o:+.4f}" for b, i, n, o, _ in rows if abs(o) > MAX_OFFSET_MAG]
    assert not bad


def assert_scatter(rows: list[tuple]) -> None:
    """Every colour's scatter, in the middle of its bins, within 30 %."""
    for label in {row[0] for row in rows}:
        ratio = np.median([row[4] for row in rows if row[0] == label])
        assert 1.0 / MAX_SCATTER_RATIO < ratio < MAX_SCATTER_RATIO, f"{label}: {ratio:.2f}"


def test_loci_follow_the_ten_thousand_stars(shared_data: Path, script: ModuleType, mock) -> None:
    """Seen: offsets up to 0.014 mag; scatter of the real stars 0.83 to 0.99 of the mock's, colour by colour.

    Of 50 single bins three have a real scatter smaller by more than 30 %: BP at 0.6 to 1.0 (0.72, 0.75) and z at 1.5 to
    1.8 (0.75). The floors of BP and RP alone are wider than the real locus there.
    """
    data, magnitude = script.read_green(shared_data / "green2020_10k_stars.h5")[:2]
    factor = script.reddening_unit(data, magnitude)[0]
    real, known = script.load_green(shared_data / "green2020_10k_stars.h5", factor)
    keep = known & (real.logg > 4.2) & (real.ebv < 0.06) & (real.feh > -0.4) & (real.feh < 0.1)
    rows = compare(real, keep, (-0.4, 0.1), mock)
    assert_offsets(rows)
    assert_scatter(rows)


def test_loci_follow_m67(shared_data: Path, script: ModuleType, mock) -> None:
    """Seen: offsets up to 0.018 mag; scatter 0.85 to 1.01 of the mock's, but 0.66 in g and 0.72 in r.

    Redder than BP - RP = 1.8 the cluster's stars are beyond the 2MASS limit, so that only those scattered bright are
    there (Ks - G is 0.06 mag off), and the BP flux of Gaia DR2 is biased at the faint end (0.02 mag): these bins are
    left out in those bands. One metallicity makes the cluster's sequence thinner than the field's that the mock
    stands for, most of all in the blue: the scatter of g and r is not judged.
    """
    real = script.load_m67(shared_data / "m67_gaiadr2_ps1_2mass.fits")
    rows = compare(real, real.logg > 4.0, (-0.1, 0.1), mock)
    at_the_limit = {(label, "1.8-2.2") for label in ("BP", "RP", "J", "H", "Ks")}
    rows = [row for row in rows if row[:2] not in at_the_limit]
    assert_offsets(rows)
    assert_scatter([row for row in rows if row[0] not in ("g", "r")])
