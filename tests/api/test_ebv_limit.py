"""What a table says of the limit that its stars were flagged by."""

import numpy as np
import pytest
from astropy.table import Table

from redflower.api.posterior_rows import _ebv_limit_mag, _ebv_limit_recorded
from redflower.posterior import InferenceSettings

WITH_MAP = Table({"source_id": np.arange(3), "ebv_map": [0.1, 0.2, np.nan]})
WITHOUT = Table({"source_id": np.arange(3)})


@pytest.mark.parametrize(
    ("table", "limit_mag", "recorded", "used"),
    [
        (WITH_MAP, 0.0, 0.0, [0.0, 0.0, 0.0]),
        (WITHOUT, 0.3, 0.3, [0.3, 0.3, 0.3]),
        (WITH_MAP, None, "ebv_map", [0.1, 0.2, np.nan]),
        (WITHOUT, None, None, None),
    ],
)
def test_a_limit_of_no_dust_is_a_limit_and_is_recorded_as_one(table, limit_mag, recorded, used) -> None:
    settings = InferenceSettings(ebv_limit_mag=limit_mag)
    assert _ebv_limit_recorded(table, settings) == recorded
    found = _ebv_limit_mag(table, settings)
    if used is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, used)
