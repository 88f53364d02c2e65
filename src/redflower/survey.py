"""What a survey is: bands, cuts on its flags, and what its magnitudes share with other bands."""

from dataclasses import dataclass
from typing import Literal

from redflower.band import Band

CutKind = Literal["letter", "number", "letters"]


@dataclass(frozen=True)
class BandCut:
    """A cut that a survey's own flags allow.

    Attributes
    ----------
    name, condition : in words.
    column : of the flag, by redflower's name.
    aliases : other names of the column.
    kind : ``letter`` where the flag has a letter for each band of the survey's catalogue, ``letters`` where the text as a whole
        counts, ``number`` where it is a number.
    keep : the letters, texts or numbers with which a measurement counts.
    without : what is lost without the column.
    places : for ``letter``, the place of each band's letter, by band name.
    of_bands : names of the bands that it is of; empty where it is of all of the survey's.
    """

    name: str
    condition: str
    column: str
    aliases: tuple[str, ...]
    kind: CutKind
    keep: tuple[str, ...]
    without: str
    places: tuple[tuple[str, int], ...] = ()
    of_bands: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpectraSource:
    """How a survey's bands are computed from BP/RP spectra.

    Attributes
    ----------
    system : the photometric system of GaiaXPy whose passbands they are.
    bands : pairs of a band's name and its name in that system.
    """

    system: str
    bands: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Survey:
    """What a file says of a survey.

    Attributes
    ----------
    name : what options call it, for instance ``allwise``; that of the file.
    survey : what its bands and photometric scale call it, for instance ``wise``; two releases of one survey share it.
    release : of its magnitudes, for the photometric scale.
    title, source : in words.
    bands : in the order of the file.
    cuts : on its flags.
    draft : what is not confirmed; empty where everything is.
    note : what whoever uses its bands should know.
    by_default : whether every table is searched for its columns.
    covariance : column of the covariance of its magnitudes [mag^2]: an array, the lower triangle of the bands in their order, row
        by row, with the diagonal; None where their errors are independent.
    replaces : names of bands whose light these are of too: where a star has one of these, those are set missing.
    spectra : how `redflower spectra` computes its bands; None where a catalogue has them.
    passband_tables : files of passbands by name of band, for `redflower law`; other bands have a library's.
    """

    name: str
    survey: str
    release: str
    title: str
    source: str
    bands: tuple[Band, ...]
    cuts: tuple[BandCut, ...] = ()
    draft: str = ""
    note: str = ""
    by_default: bool = False
    covariance: str | None = None
    replaces: tuple[str, ...] = ()
    spectra: SpectraSource | None = None
    passband_tables: tuple[tuple[str, str], ...] = ()
