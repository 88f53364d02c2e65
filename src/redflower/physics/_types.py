"""The array types that are worth a name: a scalar of one star, and values of any shape, as arrays or Python numbers."""

from typing import TYPE_CHECKING, TypeAlias

from jaxtyping import Array, ArrayLike, Float

if TYPE_CHECKING:
    # Type checkers do not see shapes; to them `ArrayLike` also holds booleans and complex numbers.
    ScalarLike: TypeAlias = Array | float
    AnyShape: TypeAlias = Array | float
else:
    ScalarLike = Float[ArrayLike, ""]
    AnyShape = Float[ArrayLike, "*shape"]
