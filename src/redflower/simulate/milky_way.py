"""The Galaxy of the population ``sky``: densities, metallicities and ages as published surveys have them.

Densities. Vertically exp(-(sqrt(Z^2 + D^2) - D) / h), D = 180 pc: the shape of stars of one vertical dispersion in
the disc's potential (Kuijken & Gilmore 1989, MNRAS 239, 605), which is flat in the plane and exponential above. The
thin disc is split by age, because young stars keep closer to the plane: h of 100, 190 and 330 pc for vertical
dispersions of 11, 15 and 20 km/s (Mackereth et al. 2019, MNRAS 489, 176), with shares in the plane of a star
formation rate that was a third higher before 5 Gyr. Together they fall over 0.2 to 1 kpc as the 300 pc of Juric et
al. (2008, ApJ 673, 864) do. Thick disc: 800 pc (Bland-Hawthorn & Gerhard 2016, ARA&A 54, 529: 900 +- 180; Everall et
al. 2022, MNRAS 511, 3863: 693), 5 % of the thin one in the plane and 15 % of its surface density (Bland-Hawthorn &
Gerhard: 4 +- 2 % and 12 +- 4 %; other papers say up to three times as much). Scale lengths of 2,600 and 2,500 pc
(Bland-Hawthorn & Gerhard: 2.6 and 2.0 kpc; Juric et al.: 2.6 and 3.6). Halo: 0.12 % of all stars near the Sun, 5e-5
solar masses per cubic parsec (Gould et al. 1998, ApJ 503, 798: 6.4e-5; Robin et al. 2003, A&A 409, 523: 0.9e-5
without white dwarfs; Juric et al. count the turn-off stars, of which an old population has more per mass), falling as
the power -2.77 of an ellipsoidal radius with axes 1 : 0.64 (Juric et al.), beyond 25 kpc as the power -4.2 (Deason et
al. 2011, MNRAS 416, 2903: 27 kpc, -4.6).

Metallicities. Thin disc: -0.02 in the plane at the Sun's radius, 0.20 dex wide, -0.06 dex/kpc outward (Hayden et al.
2015, ApJ 808, 132: APOGEE), and -0.15 dex/kpc with height for stars of one age (low-alpha stars in Mikolaitis et al.
2014, A&A 572, A33, -0.11; Duong et al. 2018, MNRAS 476, 5216, GALAH, -0.18). Thick disc: nine tenths at -0.52 with
0.24 dex (Hayden et al. 2015, high-alpha stars; Ivezic et al. 2008, ApJ 684, 287: disc stars above 1.5 kpc near -0.6
to -0.75), a tenth in its metal-weak tail at -1.0 with 0.35 dex (Carollo et al. 2010, ApJ 712, 692), and -0.05 dex/kpc
(Duong et al. 2018: -0.06). Halo: the accreted Gaia-Enceladus at -1.25 with 0.28 dex (Naidu et al. 2020, ApJ 901, 48;
Feuillet et al. 2020, MNRAS 497, 109), a metal-poor rest at -1.65 with 0.40, and a tenth of heated disc at -0.7 with
0.2 (Belokurov et al. 2020, MNRAS 494, 3880): together -1.33 and 0.44 dex wide (Ivezic et al. 2008 and Bond et al.
2010, ApJ 716, 1: -1.46 and 0.30; Conroy et al. 2019, ApJ 887, 237: -1.2).

Ages. Thin disc 0.3 to 10 Gyr; thick disc 8.5 to 12 (Haywood et al. 2013, A&A 560, A109); halo 10.5 to 13 (Gallart et
al. 2019, Nat. Astron. 3, 932).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from redflower.constants import R_SUN_PC
from redflower.simulate.galaxy import Component

#: The halo's axis ratio, the power of its density, where that steepens, and the power beyond.
HALO_FLATTENING: Final = 0.64
HALO_POWER: Final = 2.77
HALO_BREAK_PC: Final = 25_000.0
HALO_OUTER_POWER: Final = 4.2
#: Half the thickness of the disc's mass, in which densities are flat. [pc]
DISC_CORE_PC: Final = 180.0
#: No closer to the Galactic centre does the halo's density rise. [pc]
_HALO_CORE_PC: Final = 1000.0


@dataclass(frozen=True)
class MixedComponent(Component):
    """A disc with a flat core and a mixture of normal distributions of [Fe/H]: share, mean, standard deviation."""

    feh_parts: tuple[tuple[float, float, float], ...] = ()

    def density(self, radius_pc: np.ndarray, height_pc: np.ndarray) -> np.ndarray:
        """Return the number of stars per volume, in units of all components' density at the Sun's radius in the plane."""
        above = np.hypot(height_pc, DISC_CORE_PC) - DISC_CORE_PC
        exponent = -(radius_pc - R_SUN_PC) / self.scale_length_pc - above / self.scale_height_pc
        return self.local_fraction * np.exp(exponent)

    def draw_feh_dex(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, " star"]:
        """Draw [Fe/H] of stars at the Sun's radius and Z = 0. [dex]"""
        share, mean, std = np.array(self.feh_parts).T
        part = rng.choice(len(share), size=n, p=share / share.sum())
        return mean[part] + std[part] * rng.standard_normal(n)


@dataclass(frozen=True)
class Halo(MixedComponent):
    """The stellar halo: a broken power law of an ellipsoidal radius; its scale height and length are not used."""

    def density(self, radius_pc: np.ndarray, height_pc: np.ndarray) -> np.ndarray:
        """Return the number of stars per volume, in units of all components' density at the Sun's radius in the plane."""
        ellipsoidal = np.maximum(np.hypot(radius_pc, height_pc / HALO_FLATTENING), _HALO_CORE_PC)
        inner = (R_SUN_PC / np.minimum(ellipsoidal, HALO_BREAK_PC)) ** HALO_POWER
        outer = (HALO_BREAK_PC / np.maximum(ellipsoidal, HALO_BREAK_PC)) ** HALO_OUTER_POWER
        return self.local_fraction * inner * outer


def _disc(
    name: str,
    share: float,
    height_pc: float,
    length_pc: float,
    feh_parts: tuple[tuple[float, float, float], ...],
    gradients_dex_per_kpc: tuple[float, float],
    age_range_gyr: tuple[float, float],
) -> MixedComponent:
    mean = sum(part[0] * part[1] for part in feh_parts)
    return MixedComponent(
        name=name,
        local_fraction=share,
        scale_height_pc=height_pc,
        scale_length_pc=length_pc,
        feh_mean_dex=mean,
        feh_std_dex=feh_parts[0][2],
        feh_height_gradient_dex_per_kpc=gradients_dex_per_kpc[0],
        feh_radius_gradient_dex_per_kpc=gradients_dex_per_kpc[1],
        age_range_gyr=age_range_gyr,
        feh_parts=feh_parts,
    )


_THIN: Final = ((1.0, -0.02, 0.20),)
_THICK: Final = ((0.9, -0.52, 0.24), (0.1, -1.0, 0.35))
_HALO: Final = ((0.55, -1.25, 0.28), (0.35, -1.65, 0.40), (0.10, -0.70, 0.20))

SKY_COMPONENTS: Final[tuple[Component, ...]] = (
    _disc("young thin disc", 0.2470, 100.0, 2600.0, _THIN, (-0.15, -0.06), (0.3, 2.0)),
    _disc("thin disc", 0.2850, 190.0, 2600.0, _THIN, (-0.15, -0.06), (2.0, 5.0)),
    _disc("old thin disc", 0.4193, 330.0, 2600.0, _THIN, (-0.15, -0.06), (5.0, 10.0)),
    _disc("thick disc", 0.0475, 800.0, 2500.0, _THICK, (-0.05, 0.0), (8.5, 12.0)),
    Halo(
        name="halo",
        local_fraction=0.0012,
        scale_height_pc=np.nan,
        scale_length_pc=np.nan,
        feh_mean_dex=-1.33,
        feh_std_dex=0.44,
        feh_height_gradient_dex_per_kpc=0.0,
        feh_radius_gradient_dex_per_kpc=0.0,
        age_range_gyr=(10.5, 13.0),
        feh_parts=_HALO,
    ),
)
