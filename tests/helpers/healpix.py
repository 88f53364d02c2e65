"""HEALPix files for tests."""

from pathlib import Path

import numpy as np
from astropy.io import fits


def write_healpix(path: Path, values: np.ndarray, **header: object) -> Path:
    hdu = fits.BinTableHDU.from_columns([fits.Column("EBV", "D", array=values)])
    hdu.header.update({"PIXTYPE": "HEALPIX", "ORDERING": "RING", "INDXSCHM": "IMPLICIT", **header})
    hdu.writeto(path, overwrite=True)
    return path
