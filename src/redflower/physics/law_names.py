"""Extinction laws by name: as model files and the command line have them."""

from collections.abc import Mapping
from typing import Any, Final

from redflower.bands import STANDARD, BandSet
from redflower.errors import InputError
from redflower.physics.extinction_laws import ConstantLaw, ExtinctionLaw, TableLaw, Zhang23Law
from redflower.physics.zhang23_corrected import Zhang23CorrectedLaw

#: Laws that a name alone makes.
LAW_NAMES: Final = (Zhang23CorrectedLaw.name, Zhang23Law.name)


def default_law() -> ExtinctionLaw:
    """Return the law of a new model: that of Zhang & Yuan (2023) corrected by real stars (decision 19).

    Examples
    --------
    >>> default_law().name
    'zhang23-corrected'
    """
    return Zhang23CorrectedLaw()


def law_of_name(name: str | None, bands: BandSet = STANDARD) -> ExtinctionLaw:
    """Return the law of a name.

    Parameters
    ----------
    name : one of `LAW_NAMES`; None for the default.
    bands : of its coefficients.

    Returns
    -------
    The law.

    Raises
    ------
    InputError
        If there is no law of that name.

    Examples
    --------
    >>> law_of_name("zhang23").name
    'zhang23'
    """
    if name is None:
        return default_law().of_bands(bands)
    if name not in LAW_NAMES:
        raise InputError(f"The extinction law must be one of {', '.join(LAW_NAMES)}; got {name!r}.")
    return make_law({"name": name}, bands)


def make_law(spec: Any, bands: BandSet = STANDARD) -> ExtinctionLaw:
    """Make an extinction law from a specification written by `ExtinctionLaw.to_spec`.

    Parameters
    ----------
    spec : a mapping, ``{"name": "zhang23"}``, ``{"name": "zhang23-corrected"}``,
        ``{"name": "constant", "coefficients": [...]}`` or ``{"name": "table", "bp_rp_mag": [...],
        "coefficients": [[...], ...]}``.
    bands : of its coefficients.

    Raises
    ------
    InputError
        If the name is unknown, a key is missing or foreign, or the numbers do not fit the bands.
    """
    kinds: dict[str, tuple[Any, set[str]]] = {
        Zhang23Law.name: (Zhang23Law, set()),
        Zhang23CorrectedLaw.name: (Zhang23CorrectedLaw, set()),
        ConstantLaw.name: (ConstantLaw, {"coefficients"}),
        TableLaw.name: (TableLaw, {"bp_rp_mag", "coefficients"}),
    }
    name = spec.get("name") if isinstance(spec, Mapping) else None
    if not isinstance(name, str) or name not in kinds:
        raise InputError(f"make_law(spec) needs a 'name' out of {sorted(kinds)}; got {spec!r}.")
    kind, needed = kinds[name]
    keys = set(spec) - {"name"}
    if keys != needed:
        raise InputError(
            f"make_law(spec) of the law {name!r} needs the keys {sorted(needed)} beside 'name'; "
            f"got {sorted(keys)}."
        )
    law: ExtinctionLaw = kind(**{key: spec[key] for key in needed}, bands=bands)
    return law
