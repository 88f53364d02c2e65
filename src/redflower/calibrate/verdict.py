"""Whether a sample is of a model's sky: sums over its stars while they are inferred, and what they say at the end."""

from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np

from redflower.entries import COUNT_MAX
from redflower.errors import InputError

#: A band counts as off where its mean residual is larger than this, and than this many errors. [sigma, -]
RESIDUAL_WORTH: Final = 0.25
RESIDUAL_SIGNIFICANCE: Final = 5.0
#: A parallax residual's mean counts from this size on. [sigma]
PARALLAX_WORTH: Final = 0.15
#: Largest shares of the inferred stars on a model's own sky: of poor fits (0.01 expected), of stars at the lower end of the
#: reddening prior (dust-free stars scatter there), of stars for the slowest engine.
POOR_SHARE: Final = 0.03
LOW_EDGE_SHARE: Final = 0.30
NUTS_SHARE: Final = 0.02
#: Largest share of what is not of the population, among point sources at high latitude.
OUTLIERS: Final = 0.05
#: A share counts as larger if it is so by this many standard errors; so few stars say nothing.
SHARE_SIGNIFICANCE: Final = 4.0
MIN_JUDGED_STARS: Final = 50

#: No sum of normal scores, magnitudes or numbers of stars is larger; squares of such still are numbers.
_SUM_MAX: Final = 1e100
_COUNTS: Final = ("n_stars", "n_poor", "n_low_edge", "n_high_edge", "n_importance", "n_nuts")
_SUMS_OF_BANDS: Final = ("residual", "residual_mag", "squares_mag2")


@dataclass
class SampleFit:
    """Sums over inferred stars, which parts of a table add up to.

    Attributes
    ----------
    labels : of the model's bands after G.
    n_stars, n_poor, n_low_edge, n_high_edge, n_importance, n_nuts : numbers of stars: all that were inferred, those of
        ``p_fit`` below 0.01, at either end of the reddening prior, and by engine.
    n_outliers : expected number of stars that are not of the population: the sum of ``p_outlier``.
    n_bands : stars with each band.
    residual, residual_mag, squares_mag2 : sums of the residuals of each band after G given those before it: normal scores,
        mag, and their squares.
    parallax : number, sum and sum of squares of the parallax residuals.
    """

    labels: list[str]
    n_stars: int = 0
    n_poor: int = 0
    n_low_edge: int = 0
    n_high_edge: int = 0
    n_importance: int = 0
    n_nuts: int = 0
    n_outliers: float = 0.0
    n_bands: list[int] = field(default_factory=list)
    residual: list[float] = field(default_factory=list)
    residual_mag: list[float] = field(default_factory=list)
    squares_mag2: list[float] = field(default_factory=list)
    parallax: list[float] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return what a table's provenance holds."""
        return {
            name: np.round(values, 9).tolist() if isinstance(values, list) and name != "labels" else values
            for name, values in vars(self).items()
        }

    @classmethod
    def from_dict(cls, content: Any) -> "SampleFit":
        """Return the sums that `as_dict` gave, from a file that may be damaged, or a stranger's.

        Raises
        ------
        ValueError : they are none.
        """
        if not isinstance(content, dict) or set(content) != {one.name for one in fields(cls)}:
            raise ValueError("these are no sums of a sample")
        labels = content["labels"]
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ValueError("the labels of sums must be texts")
        counts, sums = [content[name] for name in _COUNTS], [content["n_outliers"]]
        for name in ("n_bands", *_SUMS_OF_BANDS, "parallax"):
            values, n_wanted = content[name], 3 if name == "parallax" else len(labels)
            if not isinstance(values, list) or len(values) != n_wanted:
                raise ValueError(f"{name} must be {n_wanted} sums")
            (counts if name == "n_bands" else sums).extend(values)
        if not all(type(count) is int and 0 <= count < COUNT_MAX for count in counts):
            raise ValueError("numbers of stars must be whole ones")
        if not all(type(one) is float and abs(one) <= _SUM_MAX for one in sums):
            raise ValueError("sums of a sample must be finite numbers")
        return cls(**content)

    def __add__(self, other: "SampleFit") -> "SampleFit":
        if self.labels != other.labels:
            raise ValueError("sums of different bands cannot be added")
        added: dict[str, Any] = {}
        for name, mine in vars(self).items():
            theirs = getattr(other, name)
            if name == "labels":
                added[name] = mine
            else:
                added[name] = (np.asarray(mine) + np.asarray(theirs)).tolist()
        return SampleFit(**added)


@dataclass(frozen=True)
class Verdict:
    """What is right and what is wrong with a sample under a model.

    Attributes
    ----------
    lines : a sentence each, with whether it is a good one.
    residuals_mag, errors_mag : mean residual of every band given those before it, by label.
    enough : whether there were enough stars to judge.
    """

    lines: tuple[tuple[bool, str], ...]
    residuals_mag: dict[str, float]
    errors_mag: dict[str, float]
    enough: bool = True

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return all(good for good, _ in self.lines)

    @property
    def heading(self) -> str:
        """The verdict in a few words."""
        if not self.good:
            return "THE MODEL IS NOT RIGHT FOR THESE STARS"
        return (
            "the model is right for these stars"
            if self.enough
            else "too few stars for a verdict on the model"
        )

    @property
    def bad_lines(self) -> tuple[str, ...]:
        """What is wrong, a sentence each."""
        return tuple(text for good, text in self.lines if not good)

    def as_dict(self) -> dict[str, Any]:
        """Return what a table's provenance holds."""
        return {
            "good": self.good,
            "enough": self.enough,
            "lines": [{"good": good, "text": text} for good, text in self.lines],
            "residuals_mag": {k: round(v, 5) for k, v in self.residuals_mag.items()},
            "errors_mag": {k: round(v, 5) for k, v in self.errors_mag.items()},
        }


def verdict_of(provenance: Any) -> Verdict | None:
    """Return the verdict that a result's provenance holds, or that of the table it was made from; None without one.

    Raises
    ------
    InputError : it holds something else under that name.
    """
    try:
        kept = provenance.get("verdict") or provenance.get("input", {}).get("verdict")
        if not kept:
            return None
        lines = tuple((bool(line["good"]), str(line["text"])) for line in kept["lines"])
        residuals_mag, errors_mag = (
            {str(label): float(mag) for label, mag in kept[name].items()}
            for name in ("residuals_mag", "errors_mag")
        )
        return Verdict(lines, residuals_mag, errors_mag, enough=bool(kept.get("enough", True)))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise InputError(
            "the provenance holds a verdict that redflower did not write. Infer these stars again, or take the entry "
            "'verdict' out of the table's meta['redflower']."
        ) from None


def judge(fit: SampleFit) -> Verdict:
    """Judge a sample by its sums, each against what a model expects of its own sky."""
    if fit.n_stars < MIN_JUDGED_STARS:
        text = (
            f"{fit.n_stars} stars were judged: too few to say whether the model is right for them "
            f"(it takes {MIN_JUDGED_STARS})"
        )
        return Verdict(((True, text),), {}, {}, enough=False)
    residuals, errors, line = _photometry(fit)
    lines = [line]
    n, share = fit.n_stars, fit.n_poor / fit.n_stars
    lines.append(
        (
            not _larger(fit.n_poor, n, POOR_SHARE),
            f"{share:.1%} of the stars fit worse than one in a hundred of the model's own stars does (1 % expected)",
        )
    )
    lines.append(
        (
            not _larger(fit.n_low_edge, n, LOW_EDGE_SHARE),
            f"{fit.n_low_edge / n:.0%} of the stars are at the lower end of the reddening prior, "
            f"{fit.n_high_edge / n:.0%} at the upper "
            f"(up to {LOW_EDGE_SHARE:.0%} expected at the lower, without dust)",
        )
    )
    lines.append(
        (
            not _larger(fit.n_nuts, n, NUTS_SHARE),
            f"{fit.n_importance / n:.0%} of the stars took importance weights and {fit.n_nuts / n:.1%} chains "
            f"(up to {NUTS_SHARE:.0%} of them expected)",
        )
    )
    lines.append(
        (
            not _larger(int(fit.n_outliers), n, OUTLIERS),
            f"{fit.n_outliers / n:.2%} of the stars are not of the population: quasars, galaxies, bad matches, blends "
            f"(up to {OUTLIERS:.0%} expected)",
        )
    )
    if fit.parallax[0] >= MIN_JUDGED_STARS:
        n_parallax, total, squares = fit.parallax
        mean, error = total / n_parallax, 1.0 / np.sqrt(n_parallax)
        spread = np.sqrt(squares / n_parallax)
        good = abs(mean) < PARALLAX_WORTH + 3.0 * error and spread < 1.25
        lines.append(
            (
                bool(good),
                f"parallaxes are off by {mean:+.2f} of their errors in the mean and scatter by {spread:.2f}",
            )
        )
    return Verdict(tuple(lines), residuals, errors)


def _photometry(fit: SampleFit) -> tuple[dict[str, float], dict[str, float], tuple[bool, str]]:
    """Return mean residuals and errors by label [mag], and what they say."""
    residuals, errors, off = {}, {}, []
    sums = zip(fit.labels, fit.n_bands, fit.residual, fit.residual_mag, fit.squares_mag2, strict=True)
    for label, n, score, total_mag, squares_mag2 in sums:
        if n < MIN_JUDGED_STARS:
            continue
        mean, error = score / n, 1.0 / np.sqrt(n)
        residuals[label] = total_mag / n
        errors[label] = float(np.sqrt(max(squares_mag2 / n - residuals[label] ** 2, 0.0) / n))
        if abs(mean) > max(RESIDUAL_WORTH, RESIDUAL_SIGNIFICANCE * error):
            off.append((abs(mean), label))
    if not off:
        return residuals, errors, (
            True,
            f"no band is off what G and the bands before it predict by more than {RESIDUAL_WORTH:g} sigma in the mean",
        )  # fmt: skip
    named = ", ".join(
        f"{label} is {1e3 * residuals[label]:+.0f} +- {1e3 * errors[label]:.1f} mmag off what the bands before it predict"
        for _, label in sorted(off, reverse=True)
    )
    text = f"these stars are not on this model's photometric scale, or not of its population: {named}; see `redflower calibrate`"
    return residuals, errors, (False, text)


def _larger(count: int, n: int, share: float) -> bool:
    """Return whether a share is larger than expected, and not by chance."""
    return bool(count / n > share + SHARE_SIGNIFICANCE * np.sqrt(share * (1.0 - share) / n))
