"""The scale of E(B-V) on which each map stands: stated, converted where one factor does it, and true of the maps themselves."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy_healpix import HEALPix

from redflower.catalogue import prepare, read_dust_map
from redflower.catalogue.maps.dustmaps_map import map_names
from redflower.catalogue.maps.map_scales import LENZ_HYDROGEN, LENZ_PER_SFD, MAP_SCALES, SFD_HYDROGEN
from redflower.provenance import META_KEY
from tests.helpers.healpix import write_healpix
from tests.helpers.raw_stars import raw_stars


def test_every_map_that_is_offered_has_a_scale_and_its_source() -> None:
    assert {name.removeprefix("dustmaps:") for name in map_names()} == set(MAP_SCALES)
    for known in MAP_SCALES.values():
        assert known.factor > 0
        assert "Schlegel" in known.source


@pytest.fixture(scope="module")
def maps(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    folder = request.getfixturevalue("shared_data")
    names = {"sfd": "dust_ebv_SFD", "planck": "dust_ebv_Planck13", "hydrogen": "h1_nh_HI4PI"}
    found = {}
    for name, stem in names.items():
        with fits.open(folder / f"{stem}_healpix_lowres.fits") as file:
            found[name] = np.asarray(file[1].data.field(0), float).ravel()
    found["b_deg"] = HEALPix(64, order="ring").healpix_to_lonlat(np.arange(12 * 64**2))[1].deg
    return found


def test_the_factor_of_lenz_is_that_of_the_maps_themselves(maps) -> None:
    """Their fit again, of SFD against N_HI / 8.8e21 below 4e20 per cm^2, with an offset, for the two zero points differ."""
    low = (maps["hydrogen"] < 4e20) & (np.abs(maps["b_deg"]) > 20)
    ebv = maps["hydrogen"][low] / LENZ_HYDROGEN
    slope, offset_mag = np.polyfit(ebv, maps["sfd"][low], 1)
    # 18,910 pixels of 0.005 mag scatter over 0.01 mag of E(B-V) fix the slope to 0.004; clouds that hold no dust at higher
    # velocities, which theirs leaves out and HI4PI's total has, to about 0.01.
    assert slope == pytest.approx(MAP_SCALES["lenz2017"].factor, abs=0.015)
    assert abs(offset_mag) < 0.003
    assert pytest.approx(1 / (SFD_HYDROGEN * 1.285e-22), abs=5e-4) == 1.0


def test_no_one_factor_brings_planck_to_the_scale_of_schlegel(maps) -> None:
    high = np.abs(maps["b_deg"]) > 20
    ratio = [
        np.median((maps["planck"] / maps["sfd"])[high & (maps["sfd"] > low) & (maps["sfd"] < top)])
        for low, top in ((0.02, 0.05), (0.1, 0.2), (0.5, 2.0))
    ]
    np.testing.assert_allclose(ratio, [1.2, 1.0, 0.7], atol=0.05)


def test_a_known_file_is_brought_to_the_scale_and_an_unknown_one_said_to_be_taken_as_it_is(
    tmp_path: Path,
) -> None:
    values = np.full(12 * 1024**2, 0.018, dtype=np.float32)
    lenz = read_dust_map(write_healpix(tmp_path / "ebv_lhd.hpx.fits", values, COORDSYS="G", NSIDE=1024))
    np.testing.assert_allclose(lenz.ebv_mag[:5], 0.018 / LENZ_PER_SFD, rtol=1e-6)
    assert lenz.scale == pytest.approx(1 / LENZ_PER_SFD)
    assert any("0.884 times Schlegel" in note and "multiplied by 1.131" in note for note in lenz.notes)
    path = write_healpix(tmp_path / "own.fits", np.full(12, 0.018), COORDSYS="G", NSIDE=1)
    prepared = prepare(raw_stars(), purpose="inference", ebv_map=path, ebv_map_scale=0.5)
    np.testing.assert_allclose(prepared.table["ebv_map"], 0.009)
    assert any(
        "as nothing says otherwise" in note and "multiplied by 0.5" in note for note in prepared.report.notes
    )
    assert prepared.table.meta[META_KEY]["settings"]["ebv_map"]["scale"] == 0.5
