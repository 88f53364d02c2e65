"""What the model reads of one star: the container that every likelihood and engine shares."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Star(eqx.Module):
    """The data of one star. A batch is the same object with a leading ``star`` axis on every field.

    All values are finite, so that gradients are: where something was not observed, its flag is False and
    its value is a filler that no density may read.

    Attributes
    ----------
    magnitude_mag : apparent magnitudes in the order of the bands of the model at hand. [mag]
    magnitude_error_mag : their standard errors, floor included, > 0. [mag]
    observed : which of the bands were observed.
    parallax_mas : parallax, zero point already removed. [mas]
    parallax_error_mas : its standard error, > 0. [mas]
    has_parallax : whether there is a parallax.
    l_deg, b_deg : Galactic longitude and latitude. [deg]
    prior_log_length_pc, prior_alpha, prior_beta : generalised gamma distance prior of the star's position,
        natural log of its length scale in pc and its two exponents (docs/explanation/model.md, E13).
    selection_pixel : the star's row in the model's selection function (docs/explanation/model.md, E12); 0 where it has none.
    error_whitener : of correlated errors, see `redflower.physics.correlated_errors.error_whitener`; None where the errors of all
        magnitudes are independent.
    """

    magnitude_mag: Float[Array, "*star band"]
    magnitude_error_mag: Float[Array, "*star band"]
    observed: Bool[Array, "*star band"]
    parallax_mas: Float[Array, "*star"]
    parallax_error_mas: Float[Array, "*star"]
    has_parallax: Bool[Array, "*star"]
    l_deg: Float[Array, "*star"]
    b_deg: Float[Array, "*star"]
    prior_log_length_pc: Float[Array, "*star"]
    prior_alpha: Float[Array, "*star"]
    prior_beta: Float[Array, "*star"]
    selection_pixel: Int[Array, "*star"]
    error_whitener: Float[Array, "*star band band"] | None = None


def blank_stars(n_stars: int, n_bands: int) -> Star:
    """Return stars of which nothing is known, as host arrays of the types that stars of a table have."""
    number, flag = np.zeros(n_stars, np.float32), np.zeros(n_stars, np.bool_)
    return Star(
        magnitude_mag=np.zeros((n_stars, n_bands), np.float32),
        magnitude_error_mag=np.ones((n_stars, n_bands), np.float32),
        observed=np.zeros((n_stars, n_bands), np.bool_),
        parallax_mas=number,
        parallax_error_mas=number + 1.0,
        has_parallax=flag,
        l_deg=number,
        b_deg=number + 90.0,
        prior_log_length_pc=number,
        prior_alpha=number,
        prior_beta=number,
        selection_pixel=np.zeros(n_stars, np.int32),
    )
