"""FITS files from strangers: opened, with what their headers claim compared with the standard before anything is made of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from astropy.io import fits

from redflower.entries import in_a_line
from redflower.errors import TableError

#: Columns that a table may have, by the standard.
_COLUMNS_MAX: Final = 999


@contextmanager
def open_fits(path: "str | Path", *, memmap: bool = False) -> Iterator[Any]:
    """Open a file, and refuse one whose table claims more columns than one may have.

    astropy makes something of each column before it reads any: a header of a billion holds it for minutes, and fills the memory.

    Parameters
    ----------
    path : of the file.
    memmap : whether arrays are read when they are looked at.

    Raises
    ------
    TableError : with the number of columns.
    OSError : it is no FITS, or cannot be read.
    """
    with fits.open(path, memmap=memmap) as file:
        for part in file:
            n_columns = part.header.get("TFIELDS")
            if isinstance(part, (fits.BinTableHDU, fits.TableHDU)) and not (
                type(n_columns) is int and 0 <= n_columns <= _COLUMNS_MAX
            ):
                raise TableError(
                    f"{path} is damaged: TFIELDS, the number of columns of a table, must be 0 to {_COLUMNS_MAX}; it is "
                    f"{in_a_line(n_columns)}. Fetch or write the file again."
                )
        yield file
