"""Default services and sizes of requests."""

from typing import Final

#: Stars of one tile at most; a fuller tile is split. The Gaia archive's own limit is 3,000,000.
TILE_ROWS_MAX: Final = 500_000

#: The Gaia archive of ESA.
GAIA_TAP: Final = "https://gea.esac.esa.int/tap-server/tap"
#: Its data server, which has what is in no table: spectra.
GAIA_DATA: Final = "https://gea.esac.esa.int/data-server/data"
