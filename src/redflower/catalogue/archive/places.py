"""Where a named object is: asked of Sesame, the name resolver of the CDS, through astropy."""

import logging
from typing import Final

from redflower.errors import FetchError

_LOG: Final = logging.getLogger(__name__)


def place_of(name: str, *, urls: tuple[str, ...] | None = None) -> tuple[float, float]:
    """Return the right ascension and declination of an object by its name, ICRS. [deg]

    Parameters
    ----------
    name : as SIMBAD, NED or VizieR know it, such as ``M67``.
    urls : of Sesame servers, asked in turn. If None, those that astropy asks: the CDS and its mirror.

    Raises
    ------
    FetchError
        If no server answers, or none knows the name.
    """
    from astropy.coordinates import name_resolve

    servers = list(urls or name_resolve.sesame_url.get())
    try:
        with name_resolve.sesame_url.set(servers):
            place = name_resolve.get_icrs_coordinates(name)
    except name_resolve.NameResolveError as problem:
        said = " ".join(str(problem).split())
        raise FetchError(
            f"--region: the place of {name!r} is not known: {said[:300]}. Check the name, or give its position: "
            "icrs:RA,DEC,RADIUS in degrees."
        ) from None
    return float(place.ra.deg), float(place.dec.deg)
