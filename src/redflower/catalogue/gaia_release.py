"""A release of Gaia as a record: names of tables and columns, epoch, parallax zero point, cross-matches."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from redflower.photometric_scales import PhotometricScale, archive_scale, make_scale

Rule = Literal["lindegren2021", "column", "none"]

#: The survey of ``--surveys`` that always comes.
GAIA: Final = "gaia"
#: How the ``on`` of a join reads.
ON: Final = re.compile(r"^(\w+)\.(\w+) = (\w+)\.(\w+)$")


@dataclass(frozen=True)
class ZeroPointRule:
    """What is subtracted from the parallaxes of a release unless the user says otherwise.

    Attributes
    ----------
    rule, source : which rule, and where it is from.
    constant_mas : what the literature has for a release without a rule. [mas]
    median_range_mas : where the median of the release's own bias must lie. [mas]
    nulls_max : the largest share of parallaxes without a bias.
    """

    rule: Rule
    source: str
    constant_mas: float | None = None
    median_range_mas: tuple[float, float] = (-1.0, 1.0)
    nulls_max: float = 1.0


@dataclass(frozen=True)
class Join:
    """A table that is joined to Gaia's; see the head of the data file."""

    survey: str
    table: str
    alias: str
    on: str
    columns: tuple[str, ...]
    if_asked: bool = False

    @property
    def needs(self) -> str:
        """Return the alias of the table that it is joined to."""
        return next(alias for alias, _ in self.key_columns() if alias != self.alias)

    def key_columns(self) -> tuple[tuple[str, str], ...]:
        """Return the two pairs of alias and column that must be equal."""
        found = ON.match(self.on)
        assert found is not None  # checked when the file was read
        left, left_column, right, right_column = found.groups()
        return ((left, left_column), (right, right_column))


@dataclass(frozen=True)
class SpectraService:
    """How the archive serves the coefficients of BP/RP spectra; see the head of the data file."""

    table: str
    retrieval_type: str
    data_release: str


@dataclass(frozen=True)
class GaiaRelease:
    """A release of Gaia; see the head of the data file for what each entry means."""

    name: str
    title: str
    designations: tuple[str, ...]
    photometry: tuple[str, ...]
    epoch_yr: float
    zero_point: ZeroPointRule
    only: tuple[tuple[str, ...], ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    table: str | None = None
    columns: tuple[str, ...] = ()
    joins: tuple[Join, ...] = ()
    hats: str | None = None
    excess_factor: str | None = None
    ask_first: bool = False
    unconfirmed: tuple[str, ...] = ()
    spectra: SpectraService | None = None

    @property
    def surveys(self) -> tuple[str, ...]:
        """What is fetched with it unless something else is asked for, Gaia first."""
        return (GAIA, *dict.fromkeys(join.survey for join in self.joins if not join.if_asked))

    @property
    def all_surveys(self) -> tuple[str, ...]:
        """What can be fetched with it, Gaia first."""
        return (GAIA, *dict.fromkeys(join.survey for join in self.joins))

    def theirs(self, name: str) -> str:
        """Return the release's name of a column of redflower's."""
        return self.renamed.get(name, name)

    def ours(self, name: str) -> str:
        """Return redflower's name of a column of the release."""
        return next((ours for ours, theirs in self.renamed.items() if theirs == name), name)

    def joins_for(self, surveys: Iterable[str]) -> tuple[Join, ...]:
        """Return the joins for some surveys, with those that they lean on, in the order of the file."""
        wanted = set(surveys)
        by_alias = {join.alias: join for join in self.joins}
        chosen: set[str] = set()
        for join in self.joins:
            alias = join.alias if join.survey in wanted else "g"
            while alias != "g" and alias not in chosen:
                chosen.add(alias)
                alias = by_alias[alias].needs
        return tuple(join for join in self.joins if join.alias in chosen)

    def scale(self) -> PhotometricScale:
        """Return the photometric scale of the archives' tables with this release's Gaia magnitudes."""
        return make_scale({"gaia": self.photometry[0]}, default=archive_scale())


@dataclass(frozen=True)
class ReleaseTable:
    """The content of the data file."""

    default: str
    parallax_bit: int
    pseudocolour_bit: int
    releases: dict[str, GaiaRelease]


def name_of(column: str) -> str:
    """Return the name in the archive of a column of a join, ``NAME AS OURS`` or ``NAME``."""
    return column.partition(" AS ")[0]
