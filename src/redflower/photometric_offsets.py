"""Offsets of a sample's magnitudes against a model, band by band, as `redflower calibrate` finds them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float

from redflower.bands import STANDARD, BandSet
from redflower.errors import InputError

FORMAT: Final = "redflower-offsets"
FORMAT_VERSION: Final = 1


@dataclass(frozen=True)
class PhotometricOffsets:
    """What a sample's magnitudes are fainter than the model's scale, band by band.

    A shift common to all bands cannot be told from distance. The offsets are therefore in the frame in which they are smallest.

    Attributes
    ----------
    bands : names of the bands.
    offset_mag : sample minus model, after the move to the model's photometric scale. [mag]
    covariance_mag2 : of the offsets. [mag^2]
    model_id : the model that they are against.
    provenance : the sample, what held the direction of dust, number of stars.
    """

    bands: tuple[str, ...]
    offset_mag: Float[np.ndarray, " band"]
    covariance_mag2: Float[np.ndarray, "band band"]
    model_id: str
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def error_mag(self) -> Float[np.ndarray, " band"]:
        """Standard errors. [mag]"""
        return np.sqrt(np.diag(self.covariance_mag2))

    def remove(
        self,
        magnitude_mag: Float[np.ndarray, "star all_bands"],
        error_mag: Float[np.ndarray, "star all_bands"],
        observed: Bool[np.ndarray, "star all_bands"],
        bands: BandSet = STANDARD,
    ) -> tuple[Float[np.ndarray, "star all_bands"], Float[np.ndarray, "star all_bands"]]:
        """Take the offsets off magnitudes in some bands, and add their errors to those of the stars in quadrature."""
        magnitude, error = magnitude_mag.copy(), error_mag.copy()
        for name, offset, uncertainty in zip(self.bands, self.offset_mag, self.error_mag, strict=True):
            i = bands.index[name]
            seen = observed[:, i]
            magnitude[seen, i] -= offset
            error[seen, i] = np.hypot(error[seen, i], uncertainty)
        return magnitude, error

    def check_model(self, model_id: str, bands: tuple[str, ...]) -> None:
        """Refuse offsets against another model or of other bands.

        Raises
        ------
        InputError
        """
        if self.model_id != model_id:
            raise InputError(
                f"the offsets are against model {self.model_id}, and the model is {model_id}. Run `redflower calibrate` with "
                "this model, and give the file that it writes."
            )
        if not set(self.bands) <= set(bands):
            raise InputError(
                f"the offsets are of the bands {' '.join(self.bands)}, and the model has {' '.join(bands)}."
            )


def offsets_content(offsets: PhotometricOffsets) -> dict[str, Any]:
    """Return what the JSON file of offsets holds."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": offsets.model_id,
        "unit": "mag; sample minus model; subtract from the magnitudes",
        "bands": list(offsets.bands),
        "offset_mag": [round(float(v), 6) for v in offsets.offset_mag],
        "error_mag": [round(float(v), 6) for v in offsets.error_mag],
        "covariance_mag2": [[float(f"{v:.6e}") for v in row] for row in offsets.covariance_mag2],
        "provenance": offsets.provenance,
    }


def read_offsets(path: "str | Path") -> PhotometricOffsets:
    """Read the offsets that `redflower calibrate` wrote.

    Parameters
    ----------
    path : ``offsets.json`` of a calibration.

    Returns
    -------
    Offset of each band and their covariance. [mag, mag^2]

    Raises
    ------
    InputError
        If the file is absent, is of another kind, or holds what makes no sense.

    Examples
    --------
    >>> import redflower
    >>> offsets = redflower.read_offsets("offsets.json")
    >>> offsets.bands
    ('gaia_bp', 'gaia_rp')
    >>> offsets.offset_mag.tolist()
    [0.004, -0.002]
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["format_version"] > FORMAT_VERSION:
            raise ValueError(f"format {content['format']!r}, version {content['format_version']!r}")
        bands = tuple(content["bands"])
        offset = np.array(content["offset_mag"], dtype=float)
        covariance = np.array(content["covariance_mag2"], dtype=float)
        if not all(isinstance(name, str) for name in bands) or len(set(bands)) != len(bands):
            raise ValueError(f"bands {bands}")
        if offset.shape != (len(bands),) or covariance.shape != (len(bands), len(bands)):
            raise ValueError(f"{len(bands)} bands, {offset.shape} offsets, {covariance.shape} covariances")
        if not (
            np.isfinite(offset).all() and np.isfinite(covariance).all() and (np.diag(covariance) >= 0).all()
        ):
            raise ValueError("offsets and covariances must be finite, variances not negative")
        if np.abs(offset).max() > 1.0:
            raise ValueError(f"an offset of {np.abs(offset).max():g} mag; no calibration is so far off")
        return PhotometricOffsets(
            bands=bands,
            offset_mag=offset,
            covariance_mag2=covariance,
            model_id=str(content["model"]),
            provenance=content["provenance"],
        )
    except OSError as problem:
        raise InputError(f"offsets {path} cannot be read: {problem.strerror or problem}.") from None
    except (ValueError, KeyError, TypeError, UnicodeDecodeError, RecursionError) as problem:
        raise InputError(
            f"{path} is no file of offsets ({type(problem).__name__}: {problem!s:.300}). Give the offsets.json that `redflower "
            "calibrate` writes."
        ) from None
