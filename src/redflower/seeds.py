"""Seeds of random numbers."""

from numbers import Integral
from typing import Any, Final

from redflower.errors import InputError

_SEED_END: Final = 2**32


def check_seed(seed: Any, name: str = "seed") -> int:
    """Return a seed as an integer, or refuse it.

    Raises
    ------
    InputError
        If it is no whole number from 0 to 2^32 - 1, which every generator takes.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) < _SEED_END:
        raise InputError(f"{name} must be a whole number from 0 to {_SEED_END - 1}; got {seed!r}.")
    return int(seed)
