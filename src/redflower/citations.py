"""What a usual run uses, to be cited: BibTeX with journal, DOI and arXiv number."""

from typing import Final

from redflower.provenance import VERSION

#: Key; kind; authors; title; where it is published; year; DOI; arXiv number; what it is used for.
_Entry = tuple[str, str, str, str, str, int, str, str, str]
ENTRIES: Final[tuple[_Entry, ...]] = (
    ("OCallaghan2025", "article", "O'Callaghan, Matthew and Mandel, Kaisey S. and Gilmore, Gerry",
     "Data-driven dust inference at mid-to-high Galactic latitudes using probabilistic machine learning",
     "arXiv e-prints", 2025, "10.48550/arXiv.2508.05781", "2508.05781", "the method"),
    ("GaiaMission2016", "article", "{Gaia Collaboration} and Prusti, T. and others", "The Gaia mission",
     "Astronomy and Astrophysics, 595, A1", 2016, "10.1051/0004-6361/201629272", "1609.04153", "parallaxes, G, BP, RP"),
    ("GaiaDR3", "article", "{Gaia Collaboration} and Vallenari, A. and others",
     "Gaia Data Release 3. Summary of the content and survey properties", "Astronomy and Astrophysics, 674, A1", 2023,
     "10.1051/0004-6361/202243940", "2208.00211", "parallaxes, G, BP, RP"),
    ("PanSTARRS1", "article", "Chambers, K. C. and others", "The Pan-STARRS1 Surveys", "arXiv e-prints", 2016,
     "10.48550/arXiv.1612.05560", "1612.05560", "g, r, i, z, y"),
    ("TwoMASS", "article", "Skrutskie, M. F. and others", "The Two Micron All Sky Survey (2MASS)",
     "The Astronomical Journal, 131, 1163", 2006, "10.1086/498708", "", "J, H, Ks"),
    ("Lindegren2021", "article", "Lindegren, L. and others",
     "Gaia Early Data Release 3. Parallax bias versus magnitude, colour, and position", "Astronomy and Astrophysics, 649, A4",
     2021, "10.1051/0004-6361/202039653", "2012.01742", "the zero point of parallaxes"),
    ("BailerJones2021", "article", "Bailer-Jones, C. A. L. and others",
     "Estimating Distances from Parallaxes. V. Geometric and Photogeometric Distances to 1.47 Billion Stars in Gaia Early Data "
     "Release 3", "The Astronomical Journal, 161, 147", 2021, "10.3847/1538-3881/abd806", "2012.05220", "the distance prior"),
    ("ZhangYuan2023", "article", "Zhang, Ruoyi and Yuan, Haibo", "Empirical Temperature- and Extinction-dependent Extinction "
     "Coefficients for the GALEX, Pan-STARRS 1, Gaia, SDSS, 2MASS, and WISE Passbands",
     "The Astrophysical Journal Supplement Series, 264, 14", 2023, "10.3847/1538-4365/ac9dfa", "2210.15918",
     "the extinction law"),
    ("Montegriffo2023", "article", "{Gaia Collaboration} and Montegriffo, P. and others",
     "Gaia Data Release 3. The Galaxy in your preferred colours: Synthetic photometry from Gaia low-resolution spectra",
     "Astronomy and Astrophysics, 674, A33", 2023, "10.1051/0004-6361/202243709", "2206.06215", "bands of spectra (GaiaXPy)"),
    ("Fitzpatrick1999", "article", "Fitzpatrick, Edward L.", "Correcting for the Effects of Interstellar Extinction",
     "Publications of the Astronomical Society of the Pacific, 111, 63", 1999, "10.1086/316293", "astro-ph/9809387",
     "extinction in bands of spectra"),
    ("SchlaflyFinkbeiner2011", "article", "Schlafly, Edward F. and Finkbeiner, Douglas P.",
     "Measuring Reddening with Sloan Digital Sky Survey Stellar Spectra and Recalibrating SFD",
     "The Astrophysical Journal, 737, 103", 2011, "10.1088/0004-637X/737/2/103", "1012.4804", "coefficients by integration"),
    ("Schlegel1998", "article", "Schlegel, David J. and Finkbeiner, Douglas P. and Davis, Marc",
     "Maps of Dust Infrared Emission for Use in Estimation of Reddening and Cosmic Microwave Background Radiation Foregrounds",
     "The Astrophysical Journal, 500, 525", 1998, "10.1086/305772", "astro-ph/9710327", "the scale of E(B-V)"),
    ("Bressan2012", "article", "Bressan, Alessandro and others",
     "PARSEC: stellar tracks and isochrones with the PAdova and TRieste Stellar Evolution Code",
     "Monthly Notices of the Royal Astronomical Society, 427, 127", 2012, "10.1111/j.1365-2966.2012.21948.x", "1208.4498",
     "the population of archive-sky"),
    ("DeCao2019", "misc", "De Cao, Nicola and Titov, Ivan and Aziz, Wilker", "Block Neural Autoregressive Flow",
     "arXiv e-prints", 2019, "10.48550/arXiv.1904.04676", "1904.04676", "the flow"),
    ("Phan2019", "misc", "Phan, Du and Pradhan, Neeraj and Jankowiak, Martin",
     "Composable Effects for Flexible and Accelerated Probabilistic Programming in NumPyro", "arXiv e-prints", 2019,
     "10.48550/arXiv.1912.11554", "1912.11554", "the chains (NumPyro)"),
    ("Astropy2022", "article", "{Astropy Collaboration} and others", "The Astropy Project: Sustaining and Growing a Community-"
     "oriented Open-source Project and the Latest Major Release (v5.0) of the Core Package",
     "The Astrophysical Journal, 935, 167", 2022, "10.3847/1538-4357/ac7c74", "2206.14220", "tables and coordinates (Astropy)"),
)  # fmt: skip
#: Software without a paper of its own.
_SOFTWARE: Final = (
    ("JAX2018", "Bradbury, James and others", "JAX: composable transformations of Python+NumPy programs", "",
     "http://github.com/jax-ml/jax", "2018"),
    ("redflower", "{The redflower developers}", "redflower", VERSION, "", "2026"),
)  # fmt: skip


def bibtex() -> str:
    """Return the BibTeX of all of them, each with a comment on what it is used for."""
    return "\n".join([*(_article(*entry) for entry in ENTRIES), *(_software(*one) for one in _SOFTWARE)])


def _article(
    key: str, kind: str, authors: str, title: str, where: str, year: int, doi: str, arxiv: str, used_for: str
) -> str:
    """Return one entry; volume and page of a journal are fields of their own, as ADS has them."""
    parts = where.rsplit(", ", 2)
    fields = {"author": authors, "title": f"{{{title}}}"}
    if len(parts) == 3:
        fields |= {"journal": parts[0], "volume": parts[1], "pages": parts[2]}
    else:
        fields["journal"] = where
    fields |= {"year": str(year), "doi": doi}
    if arxiv:
        fields |= {"eprint": arxiv, "archivePrefix": "arXiv"}
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"% {used_for}", f"@{kind}{{{key},", *lines, "}"])


def _software(key: str, authors: str, title: str, version: str, url: str, year: str) -> str:
    fields = {"author": authors, "title": f"{{{title}}}", "version": version, "url": url, "year": year}
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@software{{{key},", *lines, "}"])
