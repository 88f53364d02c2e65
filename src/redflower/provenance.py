"""What every output records of the program that made it."""

from typing import Final

#: The version of redflower.
VERSION: Final = "0.1.0"

#: The key of ``table.meta`` that holds provenance and survives every format but CSV.
META_KEY: Final = "redflower"

#: Under that key: the release of each survey that the magnitudes are from; see `redflower.photometric_scales`.
PHOTOMETRY_KEY: Final = "photometry"

#: Under that key: the extinction law of simulated dust, by its name; see `redflower.physics.law_of_name`.
LAW_KEY: Final = "extinction_law"

#: Under that key: the release of Gaia that a table is from, where it tells; see `redflower.catalogue.releases`.
GAIA_RELEASE_KEY: Final = "gaia_release"

#: Under that key: the bands of a prepared table beside the standard ones, as `redflower.band.Band.as_spec` writes them.
BANDS_KEY: Final = "further_bands"

#: Under that key: the columns of covariances of a prepared table, with the names of the bands whose lower triangle each holds.
COVARIANCE_KEY: Final = "covariances"
