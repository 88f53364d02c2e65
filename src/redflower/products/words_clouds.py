"""What a fit of clouds found, in words: the odds of clouds that matter first."""

from typing import Any, Final

from redflower.products.page import Fact

#: Clouds weaker than this do not matter to most uses, and a model's own errors make some. A key of the numbers. [mag]
MATTERS_MAG: Final = "0.02"
#: A scatter above this share of what the prior allows is said to be at its limit.
_AT_LIMIT: Final = 0.7


def percent(share: float) -> str:
    """Return a probability in words that a reader can use: no digits that do not matter."""
    if share > 0.9995:
        return "more than 99.9 %"
    if share >= 0.995:
        return f"{100 * share:.1f} %"
    if share >= 0.01:
        return f"{100 * share:.0f} %"
    if share >= 0.001:
        return f"{100 * share:.1f} %"
    return "less than 0.1 %"


def signed(mag: float) -> str:
    """Return a reddening with its sign; none where all digits are 0."""
    text = f"{mag:+.3f}"
    return text[1:] if float(text) == 0.0 else text


def clouds_in_words(number: int) -> str:
    """Return a number of clouds."""
    return "no cloud" if number == 0 else "1 cloud" if number == 1 else f"{number} clouds"


def cloud_facts(numbers: dict[str, Any]) -> list[Fact]:
    """Return the two facts of a sightline: how many clouds matter, and where they are.

    Parameters
    ----------
    numbers : of ``clouds.json``.
    """
    odds = numbers["probability_of_clouds_above_mag"][MATTERS_MAG]
    best = max(range(len(odds)), key=odds.__getitem__)
    others = ", ".join(
        f"{clouds_in_words(k)} {percent(p)}" for k, p in enumerate(odds) if k != best and p >= 0.005
    )
    count = Fact(
        f"How many clouds of at least {MATTERS_MAG} mag?",
        f"{clouds_in_words(best)} ({percent(odds[best])})",
        (f"Else {others}. " if others else "") + "Each number of clouds was equally likely beforehand.",
    )
    return [count, Fact("Where are they, and how much dust?", _places(numbers), _foreground(numbers))]


def _places(numbers: dict[str, Any]) -> str:
    """Say where the clouds of the most probable number of any strength are."""
    best = str(numbers["most_probable_number"])
    found = numbers["clouds"].get(best, [])
    if not found:
        return "no cloud stands out"
    return "; ".join(f"{c['distance_pc_q50']:,.0f} pc: {c['ebv_mag_q50']:.3f} mag" for c in found)


def _foreground(numbers: dict[str, Any]) -> str:
    best = str(numbers["most_probable_number"])
    ranges = [
        f"{c['distance_pc_q16']:,.0f} to {c['distance_pc_q84']:,.0f} pc and {c['ebv_mag_q16']:.3f} to {c['ebv_mag_q84']:.3f} mag"
        for c in numbers["clouds"].get(best, [])
    ]
    held = f"68 % ranges: {'; '.join(ranges)}. " if ranges else ""
    shared = f"{signed(numbers['foreground_mag'])} ± {numbers['foreground_mag_std']:.3f} mag"
    return f"{held}Besides, all stars share {shared}: dust nearer than any of them, and the zero point of their reddenings."


def clouds_sentence(numbers: dict[str, Any]) -> str:
    """Say in words what was found, for a terminal: what matters first, then what to mind."""
    count, where = cloud_facts(numbers)
    return (
        f"Clouds of at least {MATTERS_MAG} mag: {count.value}. {count.note} The most probable clouds of any strength: "
        f"{where.value}. {where.note} {further_sentence(numbers)}"
    )


def further_sentence(numbers: dict[str, Any]) -> str:
    """Say in words what the facts do not: the odds of clouds of any strength, and what to mind."""
    best = int(numbers["most_probable_number"])
    share = percent(numbers["probability"][str(best)])
    text = f"Of any strength, {clouds_in_words(best)} is the most probable answer ({share})"
    more, below_mag = numbers["at_least"].get(str(best + 1)), numbers.get("further_cloud_below_mag")
    if below_mag is not None:
        # Odds for more clouds are a limit on weak ones: no stars can exclude a cloud of next to nothing.
        text += f". A further cloud is weaker than {below_mag:.3f} mag, at 95 %"
        text += f" (more clouds, of any weakness, have {percent(more)})" if more is not None else ""
    elif more is not None:
        text += f"; more clouds, weak ones that nothing rules out, have {percent(more)}"
    text += f". {numbers['n_stars']:,} of {numbers['n_stars_given']:,} stars were fitted"
    if numbers["drift_mag_per_mag_std"] > 0:
        text += (
            f". The zero point that all stars share is that at {numbers['searched_pc'][0]:.0f} pc, changing by "
            f"{numbers['drift_mag_per_mag']:+.4f} ± {numbers['drift_mag_per_mag_std']:.4f} mag per magnitude of distance modulus"
        )
    allowed_mag = numbers["provenance"]["prior"]["scatter_mag"][1]
    if numbers["scatter_mag"] > _AT_LIMIT * allowed_mag:
        text += (
            f". The stars scatter by {numbers['scatter_mag']:.3f} mag more than their errors, about all that the prior allows "
            f"({allowed_mag:g} mag): raise the limit with --scatter, and treat the odds with caution"
        )
    return (
        f"{text}. {100 * numbers['outlier_share']:.1f} ± {100 * numbers['outlier_share_std']:.1f} % of the stars fit neither the "
        "clouds nor the foreground."
    )
