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
    path = Path(__file__).parents[1] / "scripts" / "fit_colour_relations.py"
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
    blue_red = colour[:, BP] - colour[:, RP]
    fine = np.arange(0.4, 2.6, 0.05)
    place = np.digitize(blue_red, fine)
    rows = []
    for k, band in enumerate(BANDS):
        if k in (G, BP, RP):
            continue
        knots = [(blue_red[place == j].mean(), np.median(colour[place == j, k])) for j in np.unique(place)
                 if (place == j).sum() > 10]  # fmt: skip
        locus = np.array(knots).T
        real_colour = real.magnitude[:, k] - real.magnitude[:, G]
        real_residual = real_colour - np.interp(real.bp_rp, *locus)
        error = np.hypot(real.error[:, k], real.error[:, G])
        for low, high in zip(EDGES_MAG[:-1], EDGES_MAG[1:], strict=True):
            here = keep & (real.bp_rp > low) & (real.bp_rp < high) & np.isfinite(real_residual + error)
            there = (blue_red > low) & (blue_red < high)
            if here.sum() < MIN_STARS or there.sum() < MIN_STARS:
                continue
            # The error of BP - RP moves a star along the locus' slope as well as across it.
            slope = np.polyfit(blue_red[there], colour[there, k], 1)[0]
            drawn = rng.choice(np.flatnonzero(here), there.sum())
            along = np.hypot(real.error[drawn, BP], real.error[drawn, RP]) * slope
            noise = np.hypot(error[drawn], along) * rng.standard_normal(len(drawn))
            mock_residual = colour[there, k] - np.interp(blue_red[there], *locus) + noise
            offset = np.median(real_residual[here]) - np.median(mock_residual)
            spread = [
                1.4826 * np.median(np.abs(r - np.median(r))) for r in (real_residual[here], mock_residual)
            ]
            rows.append((band.label, f"{low}-{high}", int(here.sum()), offset, spread[0] / spread[1]))
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
    """Seen: offsets up to 0.014 mag; scatter of the real stars 0.91 to 1.29 of the mock's, colour by colour."""
    data, magnitude = script.read_green(shared_data / "green2020_10k_stars.h5")[:2]
    factor = script.reddening_unit(data, magnitude)[0]
    real, known = script.load_green(shared_data / "green2020_10k_stars.h5", factor)
    keep = known & (real.logg > 4.2) & (real.ebv < 0.06) & (real.feh > -0.4) & (real.feh < 0.1)
    rows = compare(real, keep, (-0.4, 0.1), mock)
    assert_offsets(rows)
    assert_scatter(rows)


def test_loci_follow_m67(shared_data: Path, script: ModuleType, mock) -> None:
    """Seen: offsets up to 0.019 mag.

    Stars redder than BP - RP = 1.8 are beyond the 2MASS limit at the cluster's distance, so that only those scattered
    bright are there (Ks - G is 0.07 mag off): their near infrared is left out. The scatter is not judged: one
    metallicity and no field binaries make the cluster's sequence thinner than the field's that the mock stands for.
    """
    real = script.load_m67(shared_data / "m67_gaiadr2_ps1_2mass.fits")
    rows = compare(real, real.logg > 4.0, (-0.1, 0.1), mock)
    assert_offsets([row for row in rows if not (row[0] in ("J", "H", "Ks") and row[1] == "1.8-2.2")])
