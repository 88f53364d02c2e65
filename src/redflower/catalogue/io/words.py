"""Numbers in columns of text, and the words used for "no value"."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from redflower.errors import InputError

#: What programs and people write for "no value", in lower case.
MISSING_WORDS: Final = frozenset(
    {
        "", "na", "n/a", "#n/a", "n.a.", "<na>", "nan", "-nan", "+nan", "nan.0", "#nan", "null", "(null)", "<null>", "none",
        "nil", "nat", "missing", "masked", "undefined", "undef", "unknown", "empty", "blank", "-", "--", "---", "----",
        "_", "?", ".", "..", "...", "\\n", "*", "**", "***", "indef", "1.#qnan", "1.#ind", "-1.#ind",
    }
)  # fmt: skip
#: The spellings that readers of text tables are told, for the columns that they know to hold numbers.
MISSING_SPELLINGS: Final = tuple(
    dict.fromkeys(
        form
        for word in sorted(MISSING_WORDS)
        for form in (word, word.upper(), word.title(), word.capitalize())
    )
) + ("NaN",)


def missing_words(text: Shaped[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
    """Tell which texts are a word for "no value"."""
    words, place = np.unique(text, return_inverse=True)
    return np.array([str(word).strip().lower() in MISSING_WORDS for word in words], dtype=bool)[place]


def parse_numbers(
    text: Shaped[np.ndarray, " row"], missing: Bool[np.ndarray, " row"] | None, name: str, theirs: str
) -> Float[np.ndarray, " row"]:
    """Parse a column of text as numbers, with NaN where it says "no value".

    Parameters
    ----------
    missing : rows that are missing whatever they say.
    name, theirs : of the column, redflower's and the table's, for the message.

    Raises
    ------
    InputError
        If one is no number; the message quotes the first such text.
    """
    gone = missing_words(text) if missing is None else missing | missing_words(text)
    # Python takes 1_000 for a number; nobody writes one so.
    if not (np.char.find(text, "_")[~gone] >= 0).any():
        try:
            return np.where(gone, "nan", text).astype(float)
        except ValueError:
            pass
    bad = [k for k in np.flatnonzero(~gone) if not _is_number(str(text[k]))]
    more = f" and in {len(bad) - 1} more" if len(bad) > 1 else ""
    raise InputError(
        f"column {name!r} must hold numbers; column {theirs!r} holds the text {str(text[bad[0]])!r} in row "
        f"{bad[0] + 1}{more}. Write a number there, or nothing where there is no value."
    )


def parse_whole_numbers(text: Shaped[np.ndarray, " row"]) -> Int[np.ndarray, " row"] | str:
    """Parse texts as whole numbers, every digit kept; or return the first text that is none."""
    words = np.char.strip(text)
    for word in words:
        bare = word[1:] if word[:1] in ("+", "-") else word
        if not (bare.isascii() and bare.isdigit()):
            return str(word)
        if not -(2**63) <= int(word) < 2**63:
            return str(word)
    return np.array([int(word) for word in words], dtype=np.int64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
