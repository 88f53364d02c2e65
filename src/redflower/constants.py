"""Physical and astronomical constants, each with its unit in the name and its source."""

import math
from typing import Final

#: Below this E(B-V) a star counts as free of dust: 0.018 mag of the map of Lenz et al. (2017), as O'Callaghan et al. (2025,
#: section 4) have it, on the scale of Schlegel et al. (1998). [mag]
TRAINING_EBV_MAX_MAG = 0.0204

#: Height of the Sun above the Galactic plane. O'Callaghan et al. (2025), section 2.1.1.
Z_SUN_PC: Final = 25.0

#: Distance of the Sun from the Galactic centre. O'Callaghan et al. (2025), section 2.1.1.
R_SUN_PC: Final = 8000.0

#: Magnitudes per unit of relative flux error, 2.5 / ln 10 (Pogson's ratio).
MAG_PER_RELATIVE_FLUX: Final = 2.5 / math.log(10.0)

#: Distance at which the distance modulus is zero, by definition.
DISTANCE_MODULUS_ZERO_PC: Final = 10.0

#: Default limits of the uniform reddening prior. O'Callaghan et al. (2025), eq. 14.
EBV_MIN_MAG: Final = -0.05
EBV_MAX_MAG: Final = 0.5

#: Lowest absolute Galactic latitude for which the method is meant. O'Callaghan et al. (2025), section 1.
LATITUDE_MIN_DEG: Final = 20.0
#: Share of a sample that is not of the model's population, where nothing better is known: about that of quasars among point
#: sources at high latitude.
OUTLIER_SHARE: Final = 0.01

#: ln sqrt(2 pi), of every normal density.
LOG_SQRT_2PI: Final = 0.5 * math.log(2.0 * math.pi)

#: ln(ln 10 / 5): a distance density times d, per mag of distance modulus.
LOG_LN10_OVER_5: Final = math.log(math.log(10.0) / 5.0)
