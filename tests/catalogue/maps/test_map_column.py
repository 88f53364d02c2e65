"""Which column of a dust map is E(B-V): the one called so, or asked for, and it is always said."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from redflower.catalogue.maps.dust_map import read_dust_map
from redflower.errors import InputError

NSIDE = 4
N = 12 * NSIDE**2


def write_map(
    path: Path, columns: dict[str, float], units: dict[str, str] | None = None, **header: object
) -> Path:
    """A map of constant columns."""
    made = [
        fits.Column(name, "D", array=np.full(N, value), unit=(units or {}).get(name))
        for name, value in columns.items()
    ]
    hdu = fits.BinTableHDU.from_columns(made)
    hdu.header.update({"ORDERING": "NESTED", "COORDSYS": "G", "NSIDE": NSIDE, **header})
    hdu.writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize(
    "name", ["EBV", "ebv", "E(B-V)", "E_BV", "E(B-V) SFD", "EBV_SFD", "Reddening", "ebv_mean"]
)
@pytest.mark.parametrize("place", [0, 2])
def test_the_column_called_ebv_is_read_wherever_it_stands(tmp_path, name, place):
    others = [("TAU353", 2e-6), ("ERR_EBV", 0.01), ("RADIANCE", 1e-7)]
    columns = dict([*others[:place], (name, 0.05), *others[place:]])
    found = read_dust_map(write_map(tmp_path / "map.fits", columns))
    assert (found.ebv_mag == 0.05).all()
    assert f"map.fits: column {name!r} of 4 is read" in found.notes


@pytest.mark.parametrize(
    "columns",
    [
        {"TAU353": 2e-6, "RADIANCE": 1e-7},
        {"EBV_ERR": 0.01, "TEMP": 19.0},
        {"EBV_200PC": 0.01, "EBV_400PC": 0.05},
        {"EBV": 0.01, "E(B-V)": 0.05},
    ],
)
def test_columns_of_which_none_or_several_may_be_it_are_listed(tmp_path, columns):
    with pytest.raises(InputError, match=r"has 2 columns and .*\[COLUMN\]") as caught:
        read_dust_map(write_map(tmp_path / "map.fits", columns))
    assert all(repr(name) in str(caught.value) for name in columns)


def test_a_column_can_be_named_behind_the_file(tmp_path):
    path = write_map(tmp_path / "map.fits", {"EBV_200PC": 0.01, "EBV_400PC": 0.05})
    found = read_dust_map(f"{path}[ebv_400pc]")
    assert (found.ebv_mag == 0.05).all()
    assert "map.fits: column 'EBV_400PC', as asked" in found.notes
    with pytest.raises(InputError, match="has no column 'EBV'; it has 'EBV_200PC', 'EBV_400PC'"):
        read_dust_map(f"{path}[EBV]")


def test_one_column_is_taken_and_said_unless_it_is_called_something_else(tmp_path):
    found = read_dust_map(write_map(tmp_path / "map.fits", {"TEMPERATURE": 0.05}))
    assert "map.fits: its one column, 'TEMPERATURE', is taken for E(B-V)" in found.notes
    assert (read_dust_map(write_map(tmp_path / "map.fits", {"AVERAGE": 0.05})).ebv_mag == 0.05).all()
    for other in ("TAU353", "A_V", "AV", "N_HI", "RADIANCE", "EBV_ERR"):
        path = write_map(tmp_path / "other.fits", {other: 0.05})
        with pytest.raises(InputError, match="its one column is called"):
            read_dust_map(path)
        assert (read_dust_map(path, scale=2.0).ebv_mag == 0.1).all()
        assert (read_dust_map(f"{path}[{other}]").ebv_mag == 0.05).all()


def test_units_that_convert_are_converted_and_others_refused(tmp_path):
    found = read_dust_map(write_map(tmp_path / "m.fits", {"EBV": 50.0}, {"EBV": "mmag"}))
    np.testing.assert_allclose(found.ebv_mag, 0.05, rtol=1e-15)
    with pytest.raises(InputError, match="its column 'EBV' is in 'K'"):
        read_dust_map(write_map(tmp_path / "m.fits", {"EBV": 1.0}, {"EBV": "K"}))


def test_listed_pixels_are_found_by_their_name(tmp_path):
    pixels = fits.Column("PIXEL", "K", array=np.arange(N)[::-1])
    values = fits.Column("EBV", "D", array=np.arange(N) / 1000.0)
    other = fits.Column("N_OBS", "D", array=np.full(N, 3.0))
    hdu = fits.BinTableHDU.from_columns([other, values, pixels])
    hdu.header.update({"ORDERING": "NESTED", "COORDSYS": "G", "NSIDE": NSIDE, "INDXSCHM": "EXPLICIT"})
    hdu.writeto(tmp_path / "map.fits")
    np.testing.assert_allclose(read_dust_map(tmp_path / "map.fits").ebv_mag, np.arange(N)[::-1] / 1000.0)
