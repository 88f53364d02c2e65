"""The parallax zero point against the published coefficients, and honest where it does not apply."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from redflower.catalogue import ZeroPointStatus, parallax_zero_point, read_stars, read_table
from redflower.catalogue.quality.lindegren import (
    ecliptic_latitude_deg,
    lindegren21_zero_point_mas,
    solution_kind,
)
from redflower.errors import InputError
from tests.helpers.raw_stars import raw_stars


def one(g_mag, nu_eff=np.nan, pseudocolour=np.nan, ecl_lat_deg=0.0, solved=31):
    value, at_edge = lindegren21_zero_point_mas(
        *(np.atleast_1d(float(x)) for x in (g_mag, nu_eff, pseudocolour, ecl_lat_deg)), np.atleast_1d(solved)
    )
    return value[0], at_edge[0]


def test_five_parameters_at_the_first_node_of_the_published_table():
    """Lindegren et al. 2021, table 9, G = 6.0: q00 = -26.98, q01 = -9.62, q02 = +27.40 microarcsec."""
    # At nu_eff = 1.48 every colour function but c0 vanishes: b0, b1, b2 = 1, sin(beta), sin^2(beta) - 1/3.
    for sine in (0.0, 0.5, -1.0):
        expected_mas = (-26.98 - 9.62 * sine + 27.40 * (sine**2 - 1 / 3)) / 1000
        value, at_edge = one(6.0, nu_eff=1.48, ecl_lat_deg=np.rad2deg(np.arcsin(sine)))
        # The package rounds to 1e-6 mas.
        assert value == pytest.approx(expected_mas, abs=1.1e-6)
        assert not at_edge


def test_mixed_solutions_equal_the_published_function_star_by_star():
    from zero_point import zpt

    zpt.load_tables()
    rng = np.random.default_rng(3)
    n = 300
    g, nu, colour = rng.uniform(6.5, 20.5, n), rng.uniform(1.15, 1.85, n), rng.uniform(1.25, 1.7, n)
    ecl_lat, solved = rng.uniform(-90, 90, n), rng.choice([31, 95], n)
    nu_given, colour_given = np.where(solved == 31, nu, np.nan), np.where(solved == 95, colour, np.nan)
    value, at_edge = lindegren21_zero_point_mas(g, nu_given, colour_given, ecl_lat, solved)
    # One star at a time, as arrays of one: the package refuses plain numbers under NumPy 2.
    inputs = np.stack([g, nu, colour, ecl_lat, solved.astype(float)], axis=1)
    alone = [zpt.get_zpt(*(np.array([x]) for x in star))[0] for star in inputs]
    assert np.allclose(value, alone, rtol=0, atol=1e-12)
    assert not at_edge.any()
    # Between about -80 and +10 microarcsec for all of Gaia (their figure 20): a sign or a unit would show.
    assert -0.12 < value.min() < value.max() < 0.03
    assert np.median(value) < -0.01


@pytest.mark.parametrize(
    ("outside", "at_the_edge"),
    [
        ({"g_mag": 4.0, "nu_eff": 1.5}, {"g_mag": 6.0, "nu_eff": 1.5}),
        ({"g_mag": 21.4, "nu_eff": 1.5}, {"g_mag": 21.0, "nu_eff": 1.5}),
        ({"g_mag": 15.0, "nu_eff": 1.0}, {"g_mag": 15.0, "nu_eff": 1.1}),
        ({"g_mag": 15.0, "nu_eff": 2.5}, {"g_mag": 15.0, "nu_eff": 1.9}),
        (
            {"g_mag": 15.0, "pseudocolour": 1.0, "solved": 95},
            {"g_mag": 15.0, "pseudocolour": 1.24, "solved": 95},
        ),
        (
            {"g_mag": 15.0, "pseudocolour": 3.0, "solved": 95},
            {"g_mag": 15.0, "pseudocolour": 1.72, "solved": 95},
        ),
    ],
)
def test_outside_its_range_the_value_at_the_edge_is_taken_and_flagged(outside, at_the_edge):
    value, flagged = one(**outside)
    expected, edge_flagged = one(**at_the_edge)
    assert value == expected
    assert flagged
    assert not edge_flagged


def test_every_kind_of_star_of_a_table_gets_its_status():
    raw = raw_stars(6)
    raw["astrometric_params_solved"][:] = [31, 95, 3, 31, 31, 31]
    raw["pseudocolour"][1], raw["nu_eff_used_in_astrometry"][1] = 1.5, np.nan
    raw["phot_g_mean_mag"][3] = 5.0
    raw["phot_g_mean_flux"][3] *= 10
    raw["nu_eff_used_in_astrometry"][4] = np.nan
    raw["parallax_error"][5] = np.nan
    zero = parallax_zero_point(read_stars(raw))
    assert list(zero.status) == [
        ZeroPointStatus.LINDEGREN_2021,
        ZeroPointStatus.LINDEGREN_2021,
        ZeroPointStatus.NO_PARALLAX,
        ZeroPointStatus.LINDEGREN_2021_AT_EDGE,
        ZeroPointStatus.NOT_APPLIED,
        ZeroPointStatus.NO_PARALLAX,
    ]
    assert (zero.zero_point_mas[[2, 4, 5]] == 0).all()
    assert (zero.zero_point_mas[[0, 1, 3]] < 0).all()
    assert "removed from 3 of 4 parallaxes" in zero.description
    assert "1 of them outside its range" in zero.description
    assert "none removed from 1 which lack G or colour" in zero.description


def test_the_kind_of_solution_is_read_off_the_colours_where_it_is_not_given():
    raw = raw_stars(3)
    raw.remove_column("astrometric_params_solved")
    raw["pseudocolour"][1], raw["nu_eff_used_in_astrometry"][1] = 1.5, np.nan
    raw["parallax"][2] = np.nan
    assert list(solution_kind(read_stars(raw))) == [31, 95, 0]


def test_without_its_columns_nothing_is_removed_and_the_report_says_so():
    raw = raw_stars()
    raw.remove_columns(["nu_eff_used_in_astrometry", "pseudocolour"])
    zero = parallax_zero_point(read_stars(raw))
    assert (zero.zero_point_mas == 0).all()
    assert (zero.status == ZeroPointStatus.NOT_APPLIED).all()
    assert "no parallax zero point removed" in zero.description
    assert "--zero-point -0.029" in zero.description


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (3, (1, 2, 3, 27)),
        # Those of the drafts of DR4 with a parallax and no pseudocolour: accelerations, orbits and others on top.
        (31, (7, 31, 63, 2079, 2463, 3999, 4127, 6175, 8223, 10271)),
        (95, (95, 479, 2015)),
        (0, (0,)),
    ],
)
def test_the_kind_of_solution_is_read_by_bits(kind, codes):
    stars = read_stars(raw_stars(len(codes)))
    stars["astrometric_params_solved"] = np.array(codes)
    assert solution_kind(stars).tolist() == [kind] * len(codes)


def of_release(name: str, n: int = 40, bias_mas: "np.ndarray | float | None" = None) -> Table:
    """Read stars whose designations are of a release, with every column that Lindegren's function needs."""
    raw = raw_stars(n)
    raw["designation"] = np.array([f"{name} {i}" for i in raw["source_id"]])
    if bias_mas is not None:
        raw["tentative_parallax_bias"] = np.broadcast_to(bias_mas, n).copy()
        raw["tentative_parallax_bias"].unit = "mas"
    return read_stars(raw)


@pytest.mark.parametrize(
    ("name", "says"), [("Gaia DR2", "--zero-point -0.029"), ("Gaia DR4", "no tentative_parallax_bias")]
)
def test_the_function_of_dr3_is_never_applied_to_another_release(name, says):
    zero = parallax_zero_point(of_release(name))
    assert (zero.zero_point_mas == 0).all()
    assert (zero.status == ZeroPointStatus.NOT_APPLIED).all()
    assert "Lindegren et al. 2021 is of Gaia DR3" in zero.description.replace("that of ", "")
    assert says in zero.description
    asked = parallax_zero_point(of_release(name), -0.029)
    assert (asked.zero_point_mas == -0.029).all()
    assert (asked.status == ZeroPointStatus.CONSTANT).all()


def test_the_bias_of_a_release_is_subtracted_star_by_star():
    bias_mas = np.random.default_rng(4).normal(-0.03, 0.01, 40)
    bias_mas[:3] = np.nan
    zero = parallax_zero_point(of_release("Gaia DR4", 40, bias_mas))
    assert np.array_equal(zero.zero_point_mas[3:], bias_mas[3:])
    assert (zero.zero_point_mas[:3] == 0).all()
    assert zero.status.tolist() == [ZeroPointStatus.NOT_APPLIED] * 3 + [ZeroPointStatus.OWN_BIAS] * 37
    assert "removed from 37 of 40 parallaxes" in zero.description
    assert "none removed from 3 without it" in zero.description
    assert (parallax_zero_point(of_release("Gaia DR4", 40, bias_mas), "none").zero_point_mas == 0).all()


def test_a_bias_in_another_unit_that_is_stated_is_converted():
    raw = raw_stars(40)
    raw["designation"] = np.array([f"Gaia DR4 {i}" for i in raw["source_id"]])
    raw["tentative_parallax_bias"] = np.full(40, -30.0)
    raw["tentative_parallax_bias"].unit = "uas"
    assert parallax_zero_point(read_stars(raw)).zero_point_mas == pytest.approx(-0.03, rel=1e-12)


GAPS = np.where(np.arange(40) < 12, np.nan, -0.03)


@pytest.mark.parametrize(
    ("bias_mas", "message"),
    [
        (
            0.03,
            "the median of 40 is 0.03. A bias above zero is of the other sign: its subtraction would double the error",
        ),
        (-30.0, "the median of 40 is -30. It looks like another unit, such as microarcsec"),
        (30.0, "It looks like another unit"),
        (GAPS, "at least 80% of the parallaxes; it is missing for 12 of 40"),
        (np.full(40, np.nan), "missing for 40 of 40"),
    ],
)
def test_a_bias_that_cannot_be_one_stops_with_a_message(bias_mas, message):
    stars = of_release("Gaia DR4", 40, bias_mas)
    with pytest.raises(InputError, match=message) as error:
        parallax_zero_point(stars)
    assert "tentative_parallax_bias of Gaia DR4" in str(error.value)
    assert "--zero-point none" in str(error.value)
    assert parallax_zero_point(stars, -0.03).status[0] == ZeroPointStatus.CONSTANT, (
        "the way out that it names"
    )


def test_a_few_stars_show_no_sign():
    """Nine stars may have biases above zero, as bright blue ones have in DR3."""
    zero = parallax_zero_point(of_release("Gaia DR4", 9, 0.03))
    assert (zero.zero_point_mas == 0.03).all()


def test_a_constant_and_none():
    stars = read_stars(raw_stars())
    zero = parallax_zero_point(stars, -0.029)
    assert (zero.zero_point_mas == -0.029).all()
    assert (zero.status == ZeroPointStatus.CONSTANT).all()
    assert (parallax_zero_point(stars, "none").zero_point_mas == 0).all()


@pytest.mark.parametrize("value", [-29.0, float("nan"), None, "lindegren"])
def test_impossible_zero_points_are_refused(value):
    with pytest.raises(InputError, match='zero point must be a number of mas|must be "auto", "none"'):
        parallax_zero_point(read_stars(raw_stars(5)), value)


def test_ecliptic_latitude_against_astropy_and_the_archive(shared_data):
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 200), np.rad2deg(np.arcsin(rng.uniform(-1, 1, 200)))
    expected = SkyCoord(ra, dec, unit="deg").barycentricmeanecliptic.lat.deg
    # Frame bias and the choice of obliquity: tens of milliarcsec; the zero point changes by 1e-6 of itself.
    assert np.allclose(ecliptic_latitude_deg(ra, dec), expected, rtol=0, atol=5e-5)
    table = read_table(shared_data / "m67_gaiadr2_ps1_2mass.fits")
    ours = ecliptic_latitude_deg(table["gaia_dr2_source.ra"], table["gaia_dr2_source.dec"])
    assert np.allclose(ours, table["gaia_dr2_source.ecl_lat"], rtol=0, atol=5e-5)


def test_ecliptic_latitude_is_computed_where_it_is_missing():
    raw = raw_stars()
    with_column = parallax_zero_point(read_stars(raw)).zero_point_mas
    raw.remove_column("ecl_lat")
    assert np.allclose(parallax_zero_point(read_stars(raw)).zero_point_mas, with_column, rtol=0, atol=2e-6)
