"""The scale of each known map of the whole column: what its values are, and the factor to the E(B-V) that redflower means.

That is E(B-V) as the map of Schlegel, Finkbeiner & Davis (1998, SFD) prints it, on which the extinction law of Zhang &
Yuan (2023) stands. It is no colour excess of a star: Schlafly & Finkbeiner (2011) found 0.86 to 0.88 mag of that for one of it.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class MapScale:
    """How the values of a map are brought to the scale of SFD.

    Attributes
    ----------
    factor : by which they are multiplied.
    source : what they are, and whence the factor; where no single one will do, that.
    """

    factor: float
    source: str


#: Lenz et al. (2017) fitted hydrogen to 0.884 times the map of SFD, after Schlafly & Finkbeiner (2011). From the maps themselves,
#: at N_HI < 4e20 per cm^2 and 55 arcmin: SFD = 1.130 N_HI / 8.8e21 - 0.0015 mag (tests/catalogue/maps/test_map_scales.py).
LENZ_PER_SFD: Final = 0.884
#: N_HI per E(B-V) of Lenz et al. (2017), and on the scale of SFD. [per cm^2 and mag]
LENZ_HYDROGEN: Final = 8.8e21
SFD_HYDROGEN: Final = LENZ_HYDROGEN * LENZ_PER_SFD

#: By the name that dustmaps has for a map.
MAP_SCALES: Final[dict[str, MapScale]] = {
    "sfd": MapScale(1.0, "E(B-V) of Schlegel et al. (1998), the scale itself"),
    "csfd": MapScale(
        1.0, "E(B-V) on the scale of Schlegel et al. (1998), with the light of galaxies removed (Chiang 2023)"
    ),
    "lenz2017": MapScale(
        1.0 / LENZ_PER_SFD,
        "N_HI / 8.8e21 per cm^2 and mag of Lenz et al. (2017), who fitted it to 0.884 times Schlegel et al. (1998)",
    ),
    "planck": MapScale(
        1.0,
        "E(B-V) by radiance of Planck Collaboration (2014), as it is: no one factor leads to the scale of Schlegel et al. "
        "(1998): it is 1.2 times that at 0.03 mag, the same near 0.15 and 0.7 times above 0.5 mag",
    ),
}
#: Files by the names under which they are published.
FILE_NAMES: Final = {
    "ebv_lhd.hpx.fits": "lenz2017",
    "HFI_CompMap_ThermalDustModel_2048_R1.20.fits": "planck",
}
UNKNOWN: Final = MapScale(
    1.0, "taken to be E(B-V) on the scale of Schlegel et al. (1998), as nothing says otherwise"
)


def scale_of_file(name: str) -> MapScale:
    """Return the scale of a map's file, known by its published name or else assumed."""
    return MAP_SCALES[FILE_NAMES[name]] if name in FILE_NAMES else UNKNOWN


def describe_scale(name: str, known: MapScale, asked: float) -> str:
    """Describe what a map's values are and what was done with them."""
    total = known.factor * asked
    by_user = f", a factor of {asked:.4g} of it as asked" if asked != 1.0 else ""
    return f"{name}: {known.source}; its values are multiplied by {total:.4g}{by_user}"
