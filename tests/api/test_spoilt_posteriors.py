"""Posteriors spoilt as programs spoil them, before a fit of the dust: read right, or refused once."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

import redflower
from redflower.api.posteriors import ebv_prior_mag, open_posteriors
from redflower.api.sky_maps import make_sky_map
from redflower.catalogue import prepare, write_table
from redflower.errors import InputError
from redflower.sightline import TemperingSettings

from ..helpers.open_everywhere import check_opens
from ..helpers.raw_stars import gaia_ids, raw_stars
from ..helpers.sightlines import posterior_table
from ..helpers.spoilt import (
    BAD_IDENTIFIERS,
    GOOD_IDENTIFIERS,
    moment_frame,
    renamed,
    replaced,
    without_units,
    write_as_others_do,
)

QUICK = TemperingSettings(n_particles=60, n_moves=2, n_final=4)
#: CSV holds no densities.
FORMATS = (".parquet", ".fits", ".ecsv", ".vot")


def good_posteriors(n_stars: int = 12) -> Table:
    """Posteriors as `infer` writes them now, with Gaia's identifiers and the reddening prior in columns."""
    table = posterior_table(n_stars, [(400.0, 0.2)])
    places = SkyCoord(table["l"], table["b"], unit="deg", frame="galactic").icrs
    table["source_id"] = gaia_ids(places, 128 * (2 * np.arange(n_stars) + 1))
    table["prior_ebv_min"], table["prior_ebv_max"] = -0.05, 0.5
    return table


GOOD = good_posteriors()


def opened(table: Table, tmp_path: Path, ending: str) -> Table:
    return open_posteriors(write_as_others_do(table, tmp_path / f"t{ending}"), "the table")


@pytest.mark.parametrize("ending", FORMATS)
def test_densities_and_their_prior_survive_other_programs(ending, tmp_path):
    found = opened(GOOD, tmp_path, ending)
    assert np.array_equal(found["density"], GOOD["density"])
    assert np.array_equal(found["source_id"], GOOD["source_id"])
    assert ebv_prior_mag(found) == (-0.05, 0.5)


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("how", BAD_IDENTIFIERS)
def test_identifiers_that_may_be_off_are_refused(ending, how, tmp_path):
    spoilt = replaced(GOOD, "source_id", BAD_IDENTIFIERS[how](np.asarray(GOOD["source_id"])))
    with pytest.raises(InputError, match="source_id"):
        opened(spoilt, tmp_path, ending)


@pytest.mark.parametrize("how", GOOD_IDENTIFIERS)
def test_identifiers_with_every_digit_are_read_whole(how, tmp_path):
    spoilt = replaced(GOOD, "source_id", GOOD_IDENTIFIERS[how](np.asarray(GOOD["source_id"])))
    assert np.array_equal(opened(spoilt, tmp_path, ".parquet")["source_id"], GOOD["source_id"])


@pytest.mark.parametrize("ending", FORMATS)
def test_a_prior_that_nothing_tells_is_refused(ending, tmp_path):
    """What a fit assumed of it would be wrong by the ratio of the two priors' widths, without a word."""
    lost = Table(GOOD, copy=True)
    lost.remove_columns(["prior_ebv_min", "prior_ebv_max"])
    with pytest.raises(InputError, match="does not say which reddening prior"):
        opened(lost, tmp_path, ending)
    # Tables of before these columns tell it in their provenance.
    assert ebv_prior_mag(open_posteriors(write_table(lost, tmp_path / f"ours{ending}"), "x")) == (-0.05, 0.5)


def test_two_priors_in_one_table_are_refused():
    mixed = Table(GOOD, copy=True)
    mixed["prior_ebv_max"][3] = 1.0
    with pytest.raises(InputError, match="hold 2 different ones"):
        open_posteriors(mixed, "x")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t[:0], "has no rows"),
        (lambda t: t[[n for n in t.colnames if n != "status"]], "lacks 'status'"),
        (lambda t: t[[n for n in t.colnames if n != "source_id"]], "lacks 'source_id'"),
        (lambda t: renamed(t, "flags", "flags_1"), "Did you mean 'flags_1'"),
        (lambda t: t[[n for n in t.colnames if n != "b"]], "lacks 'b'"),
        (lambda t: t[[n for n in t.colnames if not n.startswith("density")]], "needs the joint densities"),
        (lambda t: replaced(t, "density", np.zeros((len(t), 5))), "must hold 16 x 22 values"),
        (lambda t: replaced(t, "density", np.full((len(t), 16, 22), 0.5)), "whole numbers from 0 to 255"),
        (lambda t: replaced(t, "density_ebv_step", np.full(len(t), "x")), "'x' in row 1"),
        (lambda t: replaced(replaced(t, "l", np.radians(t["l"])), "b", np.radians(t["b"])), "in radians"),
        (lambda _: prepare(raw_stars(5), purpose="inference").table, "is a prepared table"),
        (lambda _: raw_stars(5), "is no table of posteriors"),
    ],
)
def test_what_cannot_be_fitted_is_refused(spoil, message):
    for verb in (
        lambda table: redflower.sightline(table, max_clouds=1, settings=QUICK),
        lambda table: make_sky_map(table, nside=1, distance_pc=[500.0]),
    ):
        with pytest.raises(InputError, match=message):
            verb(spoil(without_units(GOOD)))


def test_a_sightline_with_too_few_usable_stars_says_why_each_is_left_out():
    """A model that is not for these stars settles hardly any: a wider cone alone would not help."""
    table = posterior_table(12, [(400.0, 0.1)])
    table["status"][:5] = "low_ess"
    table["status"][5:7] = "outlier"
    table["flags"][7] = 8
    table["density"][8] = 255
    with pytest.raises(InputError) as refused:
        redflower.sightline(table, max_clouds=1, settings=QUICK)
    said = str(refused.value)
    assert "at least 5 stars" in said
    assert "3 of 12 may" in said
    for words in (
        "5 of status low_ess",
        "2 of status outlier",
        "1 unlike nearly every",
        "1 without a density",
    ):
        assert words in said


def test_names_in_capitals_and_distances_in_kpc_are_read(tmp_path):
    spoilt = Table(GOOD, copy=True)
    spoilt["distance_mean"] = np.asarray(spoilt["distance_mean"]) / 1000
    spoilt["distance_mean"].unit = "kpc"
    spoilt.rename_columns(spoilt.colnames, [name.upper() for name in spoilt.colnames])
    found = opened(spoilt, tmp_path, ".fits")
    np.testing.assert_allclose(found["distance_mean"], GOOD["distance_mean"], rtol=1e-14)


def test_every_kind_of_table_in_memory_gives_the_same_fit(tmp_path):
    """A path, a data frame, an Arrow table, an HDU and its records: the same odds, to the last digit."""
    whole = good_posteriors(40)
    hdu = fits.table_to_hdu(Table(whole, meta={}))
    sources = [
        whole,
        write_table(whole, tmp_path / "a.parquet"),
        str(write_table(whole, tmp_path / "a.vot")),
        moment_frame(whole),
        moment_frame(whole).set_index("source_id"),
        pa.Table.from_pandas(moment_frame(whole)),
        hdu,
        hdu.data,
        fits.HDUList([fits.PrimaryHDU(), hdu]),
        whole.as_array(),
        {name: np.asarray(whole[name]) for name in whole.colnames},
    ]
    odds = [
        redflower.sightline(source, max_clouds=1, settings=QUICK).summary["probability"] for source in sources
    ]
    assert all(found == odds[0] for found in odds)


@pytest.mark.parametrize("ending", FORMATS)
def test_every_program_opens_a_table_with_densities(ending, tmp_path):
    assert check_opens(write_table(GOOD, tmp_path / f"t{ending}")) == len(GOOD)


def test_the_nested_lists_of_earlier_versions_are_read(tmp_path):
    frame = moment_frame(GOOD)
    del frame["density"]
    nested = pa.array(np.asarray(GOOD["density"]).reshape(-1))
    for size in (22, 16):
        nested = pa.FixedSizeListArray.from_arrays(nested, size)
    pq.write_table(pa.Table.from_pandas(frame).append_column("density", nested), tmp_path / "old.parquet")
    assert np.array_equal(open_posteriors(tmp_path / "old.parquet", "x")["density"], GOOD["density"])
