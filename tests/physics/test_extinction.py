"""Extinction laws: the published numbers, float32 against float64, monotony, ranges, files, errors."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.bands import BAND_INDEX, BANDS, BP, N_BANDS, RP
from redflower.errors import InputError
from redflower.physics import (
    ConstantLaw,
    ExtinctionLaw,
    TableLaw,
    Zhang23CorrectedLaw,
    Zhang23Law,
    effective_temperature_k,
    extinction_mag,
    intrinsic_bp_rp,
    make_law,
)
from redflower.physics.extinction_laws import zhang23_table

# Printed by the authors' own code, extinction_coefficient 1.8 (Zhang & Yuan 2023), mode "func", for E(B-V) and
# Teff = polyval(Teff_BPRP0_coeff, BP-RP), 4000 K beyond 1.61; bands G BP RP g r i z y J H Ks.
AUTHORS_VALUES = {
    (0.1, 0.82): (2.396323, 3.023455, 1.735808, 3.498873, 2.46705, 1.827533, 1.388041, 1.12459, 0.782387,
                  0.439582, 0.306),
    (0.3, 1.3): (2.255682, 2.939351, 1.774445, 3.679949, 2.62475, 1.95576, 1.53553, 1.266879, 0.771311,
                 0.442545, 0.306),
    (0.5, 0.3): (2.324537, 2.830265, 1.614738, 3.236681, 2.240006, 1.636155, 1.283238, 1.019127, 0.705851,
                 0.445624, 0.306),
    (0.7, 0.0): (2.443817, 2.89391, 1.65548, 3.0924, 2.14455, 1.57655, 0.8447, 0.95285, 0.69087, 0.44504,
                 0.306),
    (0.05, 1.9): (2.467248, 3.239967, 1.937255, 4.42081, 3.140817, 2.293058, 1.74566, 1.408157, 0.831978,
                  0.409655, 0.306),
}  # fmt: skip

LAW = Zhang23Law()
# Every regime: below, in and above the range of E; bluer, in and redder than the range of colour. The numbers are
# ones that float32 holds, so that the two precisions see the same star.
EBV_MAG = np.linspace(-0.06, 0.62, 69).astype(np.float32).astype(float)
BP_RP_MAG = np.linspace(-0.6, 2.4, 301).astype(np.float32).astype(float)
USER_TABLE = TableLaw([0.4, 0.8, 1.5], np.linspace(3.2, 0.3, 11) + np.array([[0.2], [0.1], [0.0]]))
CONSTANT = ConstantLaw(np.linspace(3.2, 0.3, 11))
LAWS = [LAW, Zhang23CorrectedLaw(), CONSTANT, USER_TABLE]


def authors_formula(ebv_mag: np.ndarray, bp_rp_mag: np.ndarray) -> np.ndarray:
    """The published formula in float64, term by term in powers of Teff: (..., band)."""
    quartic = (1187.26193963, -4925.6478914, 8268.06749031, -9038.59055765, 9693.00903561)
    colour = np.maximum(bp_rp_mag, -0.1)  # where Teff is 10685 K, beyond the range of every band
    teff_k = np.where(colour > 1.61, 4000.0, np.polyval(quartic, colour))[..., None]
    table = zhang23_table()
    t = np.clip(teff_k, table.teff_min_k, table.teff_max_k)
    e = np.clip(ebv_mag, 0.0, 0.5)[..., None]
    a, b, c, f = table.polynomial.T
    return a * t**3 + b * t**2 + c * t + table.ebv_quadratic * e**2 + table.ebv_linear * e + f


def on_grid(law: ExtinctionLaw) -> jax.Array:
    """Coefficients of a law at every colour and reddening: (colour, reddening, band)."""
    over_ebv = jax.vmap(law.coefficients, (0, None))
    return jax.vmap(over_ebv, (None, 0))(jnp.asarray(EBV_MAG), jnp.asarray(BP_RP_MAG))


@pytest.mark.equation("EP4")
@pytest.mark.equation("EP5")
@pytest.mark.parametrize(("ebv_mag", "bp_rp_mag"), AUTHORS_VALUES)
def test_coefficients_are_those_of_the_authors_code(ebv_mag: float, bp_rp_mag: float) -> None:
    expected = AUTHORS_VALUES[ebv_mag, bp_rp_mag]
    # Typed to six places; float32 adds a few 1e-7 of 4.
    np.testing.assert_allclose(LAW.coefficients(ebv_mag, bp_rp_mag), expected, atol=3e-6)


@pytest.mark.equation("EP4")
@pytest.mark.equation("D3")
@pytest.mark.equation("D6")
def test_every_band_equals_the_published_formula_in_float64_and_float32_follows() -> None:
    expected = authors_formula(*np.meshgrid(EBV_MAG, BP_RP_MAG))
    with jax.enable_x64(True):
        in_float64 = np.asarray(on_grid(LAW))
    assert in_float64.dtype == np.float64
    np.testing.assert_allclose(in_float64, expected, atol=1e-11)
    in_float32 = on_grid(LAW)
    assert in_float32.dtype == jnp.float32
    # Four products round Teff by 2e-3 K, and R of PS1 g changes by 1.4e-3 per K at 4000 K: 2.8e-6 (seen: 2.8e-6).
    # In powers of Teff/K it would be above 1e-5.
    np.testing.assert_allclose(in_float32, expected, atol=5e-6)


@pytest.mark.equation("EP4")
def test_the_packaged_table_is_plausible_beside_the_authors_single_values() -> None:
    # The printed digits of b and c alone leave 0.2 in R of PS1 g (docs/decisions/0002), so this cannot be sharp:
    # it catches a swapped row or column, which is off by more.
    table = zhang23_table()
    typical = authors_formula(np.full(3, 0.2), np.array([0.8, 1.0, 1.2])).mean(axis=0)
    np.testing.assert_allclose(typical, table.single, atol=0.4)
    assert np.all(np.diff(table.single[BAND_INDEX["ps1_g"] :]) < 0)
    assert np.all(table.teff_min_k == 4000)


@pytest.mark.equation("EP5")
def test_teff_falls_with_colour_and_stays_in_its_range() -> None:
    teff_k = np.asarray(jax.vmap(effective_temperature_k)(np.linspace(-5, 5, 4001)))
    # The one rise is the published step from 3993.6 to 4000 K at 1.61.
    assert np.diff(teff_k).max() < 6.5
    assert (np.diff(teff_k) > 0.01).sum() == 1
    assert teff_k.min() > 3993
    assert 10000 < teff_k.max() < 10700
    np.testing.assert_allclose(effective_temperature_k(0.0), 9693.009, rtol=1e-6)
    # The Sun: BP-RP = 0.82 (Casagrande & VandenBerg 2018), 5772 K; the relation is good to a few per cent.
    np.testing.assert_allclose(effective_temperature_k(0.82), 5772, rtol=0.03)
    assert effective_temperature_k(1.7) == 4000.0


@pytest.mark.equation("EP8")
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_extinction_is_coefficient_times_reddening_and_rises_with_it(law: ExtinctionLaw) -> None:
    over_ebv = jax.vmap(lambda e, c: extinction_mag(law, e, c), (0, None))
    a_mag = np.asarray(jax.vmap(over_ebv, (None, 0))(jnp.asarray(EBV_MAG), jnp.asarray(BP_RP_MAG)))
    np.testing.assert_allclose(a_mag, np.asarray(on_grid(law)) * EBV_MAG[:, None], atol=1e-6)
    rise = np.diff(a_mag, axis=1) / np.diff(EBV_MAG)[:, None]
    assert rise.min() > 0.25
    np.testing.assert_array_equal(extinction_mag(law, 0.0, 0.8), 0.0)


@pytest.mark.equation("EP4")
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_gradients_are_finite_everywhere(law: ExtinctionLaw) -> None:
    e, c = (grid.ravel() for grid in np.meshgrid([-0.05, 0.0, 0.25, 0.5, 1.0], [-9, -0.1, 0, 0.8, 1.61, 9]))
    jacobian = jax.jit(jax.vmap(jax.jacobian(lambda e, c: extinction_mag(law, e, c), (0, 1))))
    for gradient in jacobian(jnp.asarray(e), jnp.asarray(c, float)):
        assert jnp.isfinite(gradient).all()


@pytest.mark.equation("EP4")
@pytest.mark.equation("D3")
def test_out_of_range_is_flagged_band_by_band() -> None:
    def flags(ebv_mag: float, bp_rp_mag: float) -> list[bool]:
        return np.asarray(LAW.in_range(ebv_mag, bp_rp_mag)).tolist()

    assert flags(0.2, 0.8) == [True] * N_BANDS
    assert flags(-0.01, 0.8) == flags(0.51, 0.8) == [False] * N_BANDS
    assert flags(0.0, 0.8) == flags(0.5, 0.8) == [True] * N_BANDS
    # 8500 K: G, BP, RP and z reach there, the rest ends at 8000 K. Redder than 1.61 there is no relation.
    hot = float(
        np.interp(8500, np.asarray(jax.vmap(effective_temperature_k)(BP_RP_MAG))[::-1], BP_RP_MAG[::-1])
    )
    reaching = {"gaia_g", "gaia_bp", "gaia_rp", "ps1_z"}
    assert flags(0.2, hot) == [band.name in reaching for band in BANDS]
    assert flags(0.2, 1.7) == flags(0.2, -0.2) == [False] * N_BANDS
    # Where a flag is down, R keeps the value of the edge.
    np.testing.assert_array_equal(LAW.coefficients(0.8, 0.8), LAW.coefficients(0.5, 0.8))
    np.testing.assert_array_equal(LAW.coefficients(-0.05, 0.8), LAW.coefficients(0.0, 0.8))
    np.testing.assert_array_equal(LAW.coefficients(0.2, 3.0), LAW.coefficients(0.2, 1.7))
    np.testing.assert_array_equal(LAW.coefficients(0.2, -3.0), LAW.coefficients(0.2, -0.1))


@pytest.mark.equation("EP6")
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_intrinsic_colour_reddens_back_to_the_observed_one(law: ExtinctionLaw) -> None:
    @jax.jit
    @jax.vmap
    def residual_mag(observed_mag: jax.Array, ebv_mag: jax.Array) -> jax.Array:
        colour_mag = intrinsic_bp_rp(law, observed_mag, ebv_mag)
        a_mag = extinction_mag(law, ebv_mag, colour_mag)
        return colour_mag + a_mag[BP] - a_mag[RP] - observed_mag

    observed_mag, ebv_mag = np.meshgrid(np.linspace(-0.5, 4.0, 1801), [-0.05, 0.0, 0.1, 0.3, 0.5, 0.8])
    # Seen: 5e-7 at the most, the rounding of a colour of 4.
    assert np.abs(residual_mag(observed_mag.ravel(), ebv_mag.ravel())).max() < 1e-6


@pytest.mark.equation("EP6")
def test_the_gradient_of_the_intrinsic_colour_is_that_of_the_solution() -> None:
    step = 1e-6
    observed_mag, ebv_mag = np.array([(0.9, 0.1), (1.6, 0.4), (0.5, 0.45), (3.0, 0.3)]).T
    with jax.enable_x64(True):
        function = jax.jit(jax.vmap(jax.value_and_grad(lambda c, e: intrinsic_bp_rp(LAW, c, e), (0, 1))))
        _, ours = function(observed_mag, ebv_mag)
        by_colour = function(observed_mag + step, ebv_mag)[0] - function(observed_mag - step, ebv_mag)[0]
        by_ebv = function(observed_mag, ebv_mag + step)[0] - function(observed_mag, ebv_mag - step)[0]
        numerical = np.stack([by_colour, by_ebv]) / (2 * step)
    np.testing.assert_allclose(ours, numerical, rtol=1e-6)


def test_a_table_is_linear_between_rows_and_constant_beyond() -> None:
    nodes, values = np.array(USER_TABLE.nodes_mag), np.array(USER_TABLE.values)
    for colour_mag in (-1.0, 0.4, 0.5, 0.8, 1.2, 1.5, 3.0):
        expected = [np.interp(colour_mag, nodes, values[:, band]) for band in range(N_BANDS)]
        np.testing.assert_allclose(USER_TABLE.coefficients(0.1, colour_mag), expected, rtol=1e-6)
    inside = [bool(USER_TABLE.in_range(0.1, c).all()) for c in (0.39, 0.4, 1.5, 1.51)]
    assert inside == [False, True, True, False]
    assert bool(CONSTANT.in_range(9.0, 9.0).all())


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_law_survives_a_model_file_and_is_a_constant_of_it(law: ExtinctionLaw) -> None:
    again = make_law(json.loads(json.dumps(law.to_spec())))
    assert again == law
    assert type(again) is type(law)
    np.testing.assert_array_equal(again.coefficients(0.2, 0.9), law.coefficients(0.2, 0.9))
    assert jax.tree.leaves(law) == []  # nothing to train, nothing to differentiate by accident
    by_argument = jax.jit(extinction_mag)(law, 0.2, 0.9)
    np.testing.assert_allclose(by_argument, extinction_mag(law, 0.2, 0.9), rtol=1e-6)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, r"needs a 'name' out of \['constant', 'table', 'zhang23', 'zhang23-corrected'\]; got \{\}"),
        ({"name": "fitzpatrick"}, "needs a 'name' out of .*got .*fitzpatrick"),
        ({"name": ["zhang23"]}, "needs a 'name'"),
        ("zhang23", "needs a 'name'"),
        ({"name": "zhang23", "rv": 3.1}, r"needs the keys \[\].*got \['rv'\]"),
        ({"name": "constant"}, r"needs the keys \['coefficients'\].*got \[\]"),
        ({"name": "constant", "coefficients": [1.0] * 8}, r"needs 11 numbers, R of G BP RP .*shape \(8,\)"),
        ({"name": "constant", "coefficients": [1.0] * 10 + [-0.1]}, "needs R >= 0.*-0.1 for tmass_ks.*colour excess"),
        ({"name": "constant", "coefficients": [1.0] * 10 + [float("nan")]}, "needs finite numbers"),
        ({"name": "constant", "coefficients": ["G"] * 11}, "needs numbers"),
        ({"name": "table", "bp_rp_mag": [1.0, 0.5], "coefficients": [[1.0] * 11] * 2}, "strictly rising order"),
        ({"name": "table", "bp_rp_mag": [0.5], "coefficients": [[1.0] * 11]}, "at least two colours"),
        ({"name": "table", "bp_rp_mag": [0.5, 1.0], "coefficients": [[1.0] * 11]}, "one row per colour, 2; got 1"),
        ({"name": "table", "bp_rp_mag": [0.5, 1.0], "coefficients": [[1.0] * 11, [1.0]]}, r"row 1 needs 11 numbers"),
    ],
)  # fmt: skip
def test_a_wrong_law_is_refused_with_what_to_do(spec: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_law(spec)
