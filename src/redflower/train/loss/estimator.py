"""The settings by which the evidence of every training star is estimated."""

import equinox as eqx

from redflower.physics import SelectionFunction


class Estimator(eqx.Module):
    """How the evidence of a star is estimated, and the limits of its sample.

    Attributes
    ----------
    proposal : how distances are drawn, ``posterior`` or ``gaussian``; a key of `redflower.train.loss.proposals.PROPOSALS`.
    g_bright_mag, g_faint_mag : limits of the sample in apparent G. [mag]
    selection : the sample's selection function (E12). If None, 1 everywhere.
    normaliser : ``exact`` (E24), ``same_draws`` (EA6) or ``none``.
    integrate_gaps : whether bands that are missing before the last observed one are integrated over; otherwise
        everything from the first missing band on is left out. Gives the same result for a star without such gaps, at a
        higher cost.
    magnitudes : how true magnitudes are drawn, ``likelihood`` (the paper's) or ``adapted`` (EA3c); stars with gaps always
        take the first.
    prior_limit_mag : the limit in G of the stars whose distances the prior gives (E13b). If None, it is of all stars. [mag]
    """

    proposal: str = eqx.field(static=True)
    g_bright_mag: float = eqx.field(static=True)
    g_faint_mag: float = eqx.field(static=True)
    selection: SelectionFunction | None = None
    normaliser: str = eqx.field(static=True, default="exact")
    integrate_gaps: bool = eqx.field(static=True, default=True)
    magnitudes: str = eqx.field(static=True, default="likelihood")
    prior_limit_mag: float | None = eqx.field(static=True, default=None)
