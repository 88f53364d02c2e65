"""How a file is divided if nothing else is said."""

from typing import Final

#: Rows of a part: large enough that compiled batches are full, small enough for any memory.
PART_ROWS: Final = 20_000
