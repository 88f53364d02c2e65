"""The one array type that is worth a name: a scalar of one star, given as an array or a Python number."""

from typing import TYPE_CHECKING, TypeAlias

from jaxtyping import Array, ArrayLike, Float

if TYPE_CHECKING:
    # Type checkers do not see shapes; to them `ArrayLike` also holds booleans and complex numbers.
    ScalarLike: TypeAlias = Array | float
else:
    ScalarLike = Float[ArrayLike, ""]
