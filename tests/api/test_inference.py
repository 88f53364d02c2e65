"""What the front door adds to the engines."""

import numpy as np
from astropy.table import Table

import redflower
from redflower.posterior import Flag


def test_usable_rows_keep_the_lower_edge_and_drop_the_upper_and_the_unlikely() -> None:
    posteriors = Table(
        {
            "status": ["ok", "edge_of_prior", "edge_of_prior", "bright_limit", "not_converged", "ok"],
            "ebv_mean": [0.1, -0.03, 0.48, 0.1, 0.1, 0.3],
            "flags": [1, 0, 0, 4, 0, int(Flag.LOW_FLOW_PROBABILITY) + 1],
        }
    )
    np.testing.assert_array_equal(redflower.usable_rows(posteriors), [True, True, False, False, False, False])
