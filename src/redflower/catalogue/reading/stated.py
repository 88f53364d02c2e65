"""The photometric scale and the Gaia release of a raw table: what is stated, what the table shows, what is assumed."""

from astropy.table import Table

from redflower.catalogue.gaia_release import GaiaRelease
from redflower.catalogue.prepared import is_simulated, simulated_scale
from redflower.catalogue.reading.release import check_scale_of_release
from redflower.catalogue.releases import default_release, releases
from redflower.catalogue.releases_file import data_file
from redflower.photometric_scales import PhotometricScale, archive_scale, make_scale, recorded_scale
from redflower.provenance import GAIA_RELEASE_KEY, META_KEY, PHOTOMETRY_KEY


def photometric_scale(raw: Table, stated: "PhotometricScale | str | None") -> tuple[PhotometricScale, str]:
    """Return the photometric scale of a raw table, and a sentence on where it is known from."""
    meta = raw.meta[META_KEY]
    source = meta.get("source", {}).get(PHOTOMETRY_KEY)
    recorded = meta.get(PHOTOMETRY_KEY) or source
    shown = meta.get(GAIA_RELEASE_KEY)
    simulated = simulated_scale(raw) if stated is None and recorded is None else None
    if simulated is not None:
        return (
            simulated,
            f"photometric scale {simulated}, as redflower simulates such stars: the table no longer says it",
        )
    base = archive_scale() if shown is None else releases()[shown["release"]].scale()
    scale = make_scale(stated, default=recorded_scale({**base.as_dict(), **(recorded or {})}))
    if stated is not None:
        where = "as stated"
        if source is not None and recorded_scale(source) != scale:
            where = f"as stated; the table itself says {recorded_scale(source)}"
    else:
        where = (
            "as the table or its column map states" if recorded else "assumed: --photometry states another"
        )
        if shown and not recorded:
            where = f"that of Gaia by {shown['evidence']}, the rest {where}"
    return scale, f"photometric scale {scale}, {where}"


def gaia_release(raw: Table, scale: PhotometricScale, *, stated: bool) -> GaiaRelease:
    """Return the release of Gaia of a raw table.

    Raises
    ------
    InputError
        If the photometric scale is stated to be another release's.
    """
    if is_simulated(
        raw.colnames
    ):  # the mock survey's parallaxes have the zero point of DR3, whatever its magnitudes
        return default_release()
    who = "--photometry" if stated else "its provenance or its column map"
    return check_scale_of_release(scale, raw.meta[META_KEY].get(GAIA_RELEASE_KEY), who)


def notes_on_release(release: GaiaRelease) -> list[str]:
    """Return a sentence on what is not confirmed of a release."""
    if not release.unconfirmed:
        return []
    return [
        f"{release.title}: its columns and its parallax bias are read as drafts have them; what is not confirmed stands under "
        f"{release.name} in {data_file().name}"
    ]
