"""HATS catalogues in and out: the rows of one process whatever the partitions, faults named, runs resumed."""

import functools
import http.server
import json
import os
import re
import shutil
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from astropy.table import Table

import redflower
from redflower.calibrate.verdict import verdict_of
from redflower.catalogue import QualityLimits
from redflower.catalogue.io.hats import hats_address, is_hats, open_hats
from redflower.catalogue.prepare_request import PrepareRequest
from redflower.catalogue.prepared import table_scale
from redflower.errors import InputError
from redflower.flow import load_model
from redflower.posterior import FastSettings, InferenceSettings
from redflower.provenance import META_KEY
from redflower.scale import infer_hats, prepare_hats
from redflower.scale.hats.inference import columns_for_inference
from redflower.scale.hats.source import open_input
from redflower.scale.lock import Lock
from redflower.scale.part_work import looked_at
from redflower.scale.run_states import read_runs
from tests.helpers.hats import all_rows, check_same_rows, common_schema, partition_files, write_hats
from tests.helpers.raw_stars import raw_stars

lsdb = pytest.importorskip("lsdb", reason="the extra `scale` is not installed")

LIMITS = QualityLimits(14.0, 19.0)
REQUEST = PrepareRequest("inference", limits=LIMITS)
N_STARS = 40
MODEL = "archive-sky"
#: Nothing that leaves its first step; `test_hats_faults` has all of them.
SETTINGS = InferenceSettings(fast=FastSettings.first_step_only())


@pytest.fixture(scope="module")
def raw() -> Table:
    table = raw_stars(N_STARS)
    table["name"] = [f"star {k}" for k in range(len(table))]
    table["ruwe"][5] = 3.0  # a star that is cut
    return table


@pytest.fixture(scope="module")
def catalogue(raw: Table, tmp_path_factory) -> Path:
    """The raw stars in several partitions, of one to some stars, with a margin."""
    folder = write_hats(raw, tmp_path_factory.mktemp("hats") / "raw", 12)
    assert len(partition_files(folder)) >= 4
    return folder


@pytest.fixture(scope="module")
def one_table(raw: Table) -> Table:
    return redflower.prepare(raw, purpose="inference", limits=LIMITS, keep=["name"]).table


@pytest.fixture(scope="module")
def prepared(catalogue: Path) -> Path:
    out = catalogue.parent / "prepared"
    prepare_hats(catalogue, out, PrepareRequest("inference", limits=LIMITS, keep=("name",)), workers=1)
    return out


@pytest.fixture(scope="module")
def posteriors(one_table: Table) -> Table:
    return redflower.infer(one_table, MODEL, settings=SETTINGS, workers=1, progress=False)


def test_prepared_rows_are_those_of_one_table_and_no_star_of_a_margin_comes_twice(
    prepared, one_table
) -> None:
    check_same_rows(all_rows(prepared), one_table)


def test_a_prepared_catalogue_has_the_partitions_of_the_raw_one(catalogue, prepared) -> None:
    named = {path.name for path in partition_files(catalogue)}
    assert {path.name for path in partition_files(prepared)} == named
    found = lsdb.open_catalog(prepared)
    assert len(found) == len(all_rows(prepared))
    assert found.hc_structure.catalog_info.total_rows == len(found)
    frame = found.compute(progress_bar=False)
    assert frame.index.name == "_healpix_29"


def test_units_descriptions_and_provenance_of_the_whole_are_in_the_common_schema(prepared, one_table) -> None:
    schema = common_schema(prepared)
    assert schema.field("parallax").metadata[b"unit"] == b"mas"
    text = schema.metadata[b"table_meta_yaml"].decode()
    assert "prepared" in text
    properties = (prepared / "hats.properties").read_text()
    assert "redflower_stage=prepared" in properties


def test_the_report_of_partitions_adds_up_to_that_of_one_table(catalogue, raw, tmp_path) -> None:
    report = prepare_hats(catalogue, tmp_path / "out", REQUEST, workers=1).report
    whole = redflower.prepare(raw, purpose="inference", limits=LIMITS).report
    assert report.cuts == whole.cuts
    assert report.bands == whole.bands
    assert report.band_cuts == whole.band_cuts


def test_posteriors_are_those_of_one_table_to_the_last_digit_whatever_the_partitions(
    prepared, posteriors, raw, tmp_path
) -> None:
    report = infer_hats(prepared, tmp_path / "many", MODEL, settings=SETTINGS, workers=1)
    assert report.n_stars == len(posteriors)
    assert report.statuses == _counted(posteriors, "status")
    check_same_rows(all_rows(tmp_path / "many"), posteriors)
    one = write_hats(raw, tmp_path / "whole", 1000, margin_arcsec=None)
    assert len(partition_files(one)) < len(partition_files(prepared))
    prepare_hats(
        one, tmp_path / "ready", PrepareRequest("inference", limits=LIMITS, keep=("name",)), workers=1
    )
    infer_hats(tmp_path / "ready", tmp_path / "once", MODEL, settings=SETTINGS, workers=1)
    check_same_rows(all_rows(tmp_path / "once"), posteriors)


def test_posteriors_have_the_provenance_and_the_verdict_of_the_whole(prepared, posteriors, tmp_path) -> None:
    report = infer_hats(prepared, tmp_path / "out", MODEL, settings=SETTINGS, workers=1)
    part = redflower.read_table(partition_files(tmp_path / "out")[0])
    whole, one = posteriors.meta[META_KEY], part.meta[META_KEY]
    assert {name: one[name] for name in ("model", "seed", "engine")} == {
        name: whole[name] for name in ("model", "seed", "engine")
    }
    assert report.verdict == verdict_of(whole)
    schema = common_schema(tmp_path / "out")
    assert schema.field("ebv_mean").metadata[b"unit"] == b"mag"
    assert f"redflower_verdict={report.verdict.heading}" in (tmp_path / "out" / "hats.properties").read_text()
    state = read_runs(tmp_path)[0]
    assert (state.out, state.state, state.good) == ("out", "whole", True)
    changed = partition_files(tmp_path / "out")[0]
    changed.write_bytes(changed.read_bytes() + b"0")
    assert read_runs(tmp_path)[0].state == "changed"


def test_a_catalogue_of_lsdb_is_inferred_lazily_with_the_same_numbers(prepared, posteriors) -> None:
    catalogue = lsdb.open_catalog(prepared)
    found = redflower.infer_lsdb(catalogue, MODEL, settings=SETTINGS)
    assert found.get_healpix_pixels() == catalogue.get_healpix_pixels()
    frame = found.compute(progress_bar=False).sort_values("source_id")
    expected = posteriors[np.argsort(np.asarray(posteriors["source_id"]))]
    assert list(frame.columns) == expected.colnames
    for name in expected.colnames:
        values = np.asarray(expected[name])
        kind = values.dtype if values.dtype.kind == "f" else object
        np.testing.assert_array_equal(frame[name].to_numpy(dtype=kind), values, err_msg=name)


def test_only_columns_that_inference_uses_are_read(prepared) -> None:
    model = load_model(MODEL)
    source = open_input(prepared, lambda names: columns_for_inference(names, model, ()), "infer")
    read = set(source.catalog.columns)
    assert {"source_id", "ra", "dec", "parallax", "gaia_g", "gaia_g_error", "name"} <= read
    assert not {"ruwe", "parallax_zero_point", "zero_point_status", "r_med_geo"} & read
    assert source.catalog.margin is None


def test_bands_that_the_model_does_not_use_are_named_though_they_are_not_read(one_table, tmp_path) -> None:
    more = one_table.copy()
    for name in ("wise_w1", "wise_w1_error", "wise_w2", "wise_w2_error"):
        more[name] = np.full(len(more), 0.03)
    folder = write_hats(more, tmp_path / "more", 1000, margin_arcsec=None)
    model = load_model(MODEL)
    source = open_input(folder, lambda names: columns_for_inference(names, model, ()), "infer")
    first = source.first_rows(1)[0]
    assert "wise_w1" not in first.colnames
    said = looked_at(first, model, table_scale(more), (), source.names)  # LSDB keeps no provenance
    assert f"model {model.name!r} does not use W1 W2, which the table has" in said
    assert said == looked_at(more, model, None, ())


#: A line of a catalogue's properties that names what is not in its folder.
OUTSIDE = {
    "collection.properties": [
        ("hats_primary_table_url=", "hats_primary_table_url=../secret"),
        ("hats_primary_table_url=", "hats_primary_table_url=/secret"),
        ("hats_primary_table_url=", "hats_primary_table_url=raw/../../secret"),
        ("hats_primary_table_url=", "hats_primary_table_url=s3://bucket/secret"),
    ],
    "raw/hats.properties": [
        ("hats_npix_suffix=", "hats_npix_suffix=/../../../../secret.parquet"),
        ("hats_npix_suffix=", "hats_npix_suffix=/..\\\\secret.parquet"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "lines"), [(name, lines) for name, some in OUTSIDE.items() for lines in some]
)
def test_a_catalogue_that_names_what_is_outside_its_folder_is_refused_before_that_is_opened(
    catalogue, tmp_path, name, lines
) -> None:
    stranger = tmp_path / "raw"
    _copy(catalogue, stranger)
    _copy(catalogue, tmp_path / "secret")
    path = stranger / name
    text = "\n".join(
        lines[1] if line.startswith(lines[0]) else line for line in path.read_text().splitlines()
    )
    path.write_text(text if lines[1] in text else f"{text}\n{lines[1]}\n")
    opened: list[str] = []
    sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
    with pytest.raises(InputError, match="outside its folder"):
        open_input(stranger, list, "prepare")
    assert not [one for one in opened if "secret" in one]


def test_a_margin_elsewhere_is_not_opened(catalogue, tmp_path) -> None:
    stranger = tmp_path / "raw"
    _copy(catalogue, stranger)
    path = stranger / "collection.properties"
    path.write_text(re.sub("(all_margins|default_margin)=.*", r"\1=../secret", path.read_text()))
    assert open_input(stranger, list, "prepare").pixels == open_input(catalogue, list, "prepare").pixels
    with pytest.raises(
        InputError, match=r"collection.properties names \.\./secret, which is outside its folder"
    ):
        open_hats(stranger)


def test_partitions_of_any_size_use_the_programs_of_the_first(prepared, posteriors) -> None:
    """One size of batch: after the first, a partition of another size compiles nothing."""
    from redflower.api.inference import matching_prior
    from redflower.scale.hats.inference import InferPartition
    from redflower.scale.part_work import FileJob

    model, prior = matching_prior(MODEL, None)
    job = InferPartition(FileJob(model, SETTINGS, prior))
    source = open_input(prepared, lambda names: columns_for_inference(names, model, ()), "infer")
    tables = source.first_rows(N_STARS)
    assert len({len(table) for table in tables}) > 1
    largest = max(tables, key=len)
    job.rows(largest, 0, "the largest", None)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(event) if "backend_compile" in event else None
    )
    for table in tables:
        job.rows(table, 0, "another", None)
    assert compiled == []


def test_a_damaged_partition_is_named_the_others_finished_and_it_alone_is_done_again(
    prepared, posteriors, tmp_path
) -> None:
    source, out = tmp_path / "stars", tmp_path / "out"
    _copy(prepared, source)
    damaged = partition_files(source)[1]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    report = infer_hats(source, out, MODEL, settings=SETTINGS, workers=1)
    assert len(report.failures) == 1
    assert report.failures[0].source_id == ()
    assert damaged.stem in report.failures[0].message
    assert "cannot be read" in report.failures[0].message
    assert len(partition_files(out)) == len(partition_files(source)) - 1
    assert "redflower_missing_partitions=" in (out / "hats.properties").read_text()
    assert not read_runs(tmp_path)[0].good
    with pytest.raises(InputError, match="exists already"):
        infer_hats(source, out, MODEL, settings=SETTINGS, workers=1)
    times = {path: path.stat().st_mtime_ns for path in partition_files(out)}
    damaged.write_bytes(whole)
    report = infer_hats(source, out, MODEL, settings=SETTINGS, workers=1, resume=True)
    assert report.failures == ()
    assert {path: path.stat().st_mtime_ns for path in times} == times, "a finished partition was done again"
    check_same_rows(all_rows(out), posteriors)
    assert "redflower_missing_partitions" not in (out / "hats.properties").read_text()
    assert not out.with_name("out.parts").exists()


def test_a_partition_that_is_damaged_after_it_was_written_is_done_again(
    prepared, posteriors, tmp_path, monkeypatch
) -> None:
    from redflower.scale.hats import partitions

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(partitions, "write_catalogue", stopped)
        with pytest.raises(KeyboardInterrupt):
            infer_hats(prepared, tmp_path / "out", MODEL, settings=SETTINGS, workers=1)
    assert not (tmp_path / "out").exists()
    assert read_runs(tmp_path)[0].state == "unfinished"
    files = sorted((tmp_path / "out.parts").rglob("Npix*.parquet"))
    files[0].write_bytes(b"lost")
    _tell_wrong(tmp_path / "out.parts", [{}, {"fit": None}, {"fit": {"n_stars": 10**400}}])
    with pytest.raises(InputError, match="--resume"):
        infer_hats(prepared, tmp_path / "out", MODEL, settings=SETTINGS, workers=1)
    report = infer_hats(prepared, tmp_path / "out", MODEL, settings=SETTINGS, workers=1, resume=True)
    check_same_rows(all_rows(tmp_path / "out"), posteriors)
    assert report.verdict == verdict_of(posteriors.meta[META_KEY])


def test_partitions_whose_records_tell_what_cannot_be_are_prepared_again(
    catalogue, one_table, tmp_path, monkeypatch
) -> None:
    from redflower.scale.hats import partitions

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    asked, out = PrepareRequest("inference", limits=LIMITS, keep=("name",)), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(partitions, "write_catalogue", stopped)
        with pytest.raises(KeyboardInterrupt):
            prepare_hats(catalogue, out, asked, workers=1)
    wrong = [None, {}, {"report": []}, {"report": {"cuts": [{"name": "position"}]}}]
    _tell_wrong(tmp_path / "out.parts", wrong)
    report = prepare_hats(catalogue, out, asked, workers=1, resume=True).report
    check_same_rows(all_rows(out), one_table)
    assert report.n_before == N_STARS


def _tell_wrong(folder: Path, wrong: list[object]) -> None:
    """Let the records of finished partitions tell the whole something else."""
    for k, path in enumerate(sorted(folder.glob("done-*.json"))):
        path.write_text(json.dumps({**json.loads(path.read_text()), "told": wrong[k % len(wrong)]}))


def test_another_request_does_not_take_up_the_partitions_of_a_run(prepared, tmp_path) -> None:
    folder = tmp_path / "out.parts"
    folder.mkdir()
    (folder / "manifest.json").write_text(
        json.dumps({"format": "redflower-parts-1", "request": {"input": "another"}})
    )
    (folder / "done-000000.json").write_text("{}")
    with pytest.raises(InputError, match="another input, model or setting"):
        infer_hats(prepared, tmp_path / "out", MODEL, settings=SETTINGS, workers=1, resume=True)


def test_two_runs_into_one_catalogue_are_refused(catalogue, tmp_path) -> None:
    folder = tmp_path / "out.parts"
    folder.mkdir()
    lock = Lock(folder / "lock", "a test")
    with pytest.raises(InputError, match=f"another run is writing this now .process {os.getpid()}"):
        prepare_hats(catalogue, tmp_path / "out", REQUEST, workers=1)
    lock.release()


def test_a_catalogue_is_replaced_only_by_wish_and_only_if_it_is_one(catalogue, tmp_path) -> None:
    out = tmp_path / "out"
    prepare_hats(catalogue, out, REQUEST, workers=1)
    with pytest.raises(InputError, match="exists already"):
        prepare_hats(catalogue, out, REQUEST, workers=1)
    prepare_hats(catalogue, out, REQUEST, workers=1, overwrite=True)
    assert is_hats(out)
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter").write_text("one")
    with pytest.raises(InputError, match="no HATS catalogue"):
        prepare_hats(catalogue, other, REQUEST, workers=1, overwrite=True)
    assert (other / "chapter").read_text() == "one"


def test_a_partition_of_few_stars_is_not_judged_by_itself(raw, tmp_path) -> None:
    """A lone star without G, or with a strange parallax, is one of many: one table of all has it too."""
    odd = raw.copy()
    odd["phot_g_mean_mag"][np.argsort(np.asarray(odd["dec"]))[:10]] = np.nan
    folder = write_hats(odd, tmp_path / "odd", 12)
    done = prepare_hats(folder, tmp_path / "out", REQUEST, workers=1)
    assert done.failures == ()
    check_same_rows(
        all_rows(tmp_path / "out"), redflower.prepare(odd, purpose="inference", limits=LIMITS).table
    )


def test_a_partition_of_which_no_star_is_left_is_not_in_the_catalogue(raw, catalogue, tmp_path) -> None:
    bright = PrepareRequest(
        "inference", limits=QualityLimits(14.0, float(np.sort(raw["phot_g_mean_mag"])[3]))
    )
    done = prepare_hats(catalogue, tmp_path / "out", bright, workers=1)
    assert done.report.n_after == len(lsdb.open_catalog(tmp_path / "out")) <= 4
    assert len(partition_files(tmp_path / "out")) <= 4
    with pytest.raises(InputError, match="no star of .* is left"):
        prepare_hats(
            catalogue,
            tmp_path / "none",
            PrepareRequest("inference", limits=QualityLimits(1.0, 2.0)),
            workers=1,
        )
    assert not (tmp_path / "none.parts").exists()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_a_catalogue_is_read_from_a_server(catalogue, one_table, tmp_path) -> None:
    handler = functools.partial(_Quiet, directory=str(catalogue.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"hats://http://127.0.0.1:{server.server_port}/raw"
        request = PrepareRequest("inference", limits=LIMITS, keep=("name",))
        prepare_hats(address, tmp_path / "out", request, workers=1)
        server.shutdown()
    check_same_rows(all_rows(tmp_path / "out"), one_table)


def test_what_names_a_catalogue_is_told_from_what_names_a_table(catalogue, tmp_path) -> None:
    assert is_hats(catalogue)
    assert is_hats("s3://stpubdata/gaia/gaia_dr3/public/hats")
    assert not is_hats(tmp_path)
    assert not is_hats("stars.parquet")
    assert hats_address("hats:///data/gaia") == "/data/gaia"
    assert hats_address("hats://s3://bucket/gaia") == "s3://bucket/gaia"
    assert hats_address("hats://data.lsdb.io/hats/two_mass") == "https://data.lsdb.io/hats/two_mass"
    assert hats_address("https://data.lsdb.io/hats/two_mass") == "https://data.lsdb.io/hats/two_mass"


@pytest.mark.parametrize(
    ("source", "said"),
    [("hats:///no/such/folder", "cannot be opened"), ("stars.parquet", "no HATS catalogue")],
)
def test_what_is_no_catalogue_is_one_message(source, said, tmp_path) -> None:
    with pytest.raises(InputError, match=said):
        prepare_hats(source, tmp_path / "out", REQUEST)


def test_a_raw_catalogue_is_not_inferred_and_a_prepared_one_not_prepared(
    catalogue, prepared, tmp_path
) -> None:
    with pytest.raises(InputError, match="not a prepared table"):
        infer_hats(catalogue, tmp_path / "out", MODEL, settings=SETTINGS, workers=1)
    with pytest.raises(InputError, match="prepared table already"):
        prepare_hats(prepared, tmp_path / "out", REQUEST, workers=1)


def test_without_lsdb_there_is_one_message_that_names_the_extra(catalogue, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "lsdb", None)
    for call in (
        lambda: infer_hats(catalogue, tmp_path / "out", MODEL),
        lambda: prepare_hats(catalogue, tmp_path / "out", REQUEST),
    ):
        with pytest.raises(InputError, match=r"pip install 'redflower\[scale\]'"):
            call()


def test_a_scheduler_that_is_not_there_is_one_message(catalogue, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("redflower.scale.hats.cluster._ANSWER_S", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        prepare_hats(catalogue, tmp_path / "out", REQUEST, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="workers of its own"):
        prepare_hats(catalogue, tmp_path / "out", REQUEST, scheduler="tcp://127.0.0.1:9", workers=2)


def _counted(table: Table, name: str) -> dict[str, int]:
    words, counts = np.unique(np.asarray(table[name]).astype(str), return_counts=True)
    return dict(zip(words.tolist(), counts.tolist(), strict=True))


def _copy(folder: Path, to: Path) -> None:
    shutil.copytree(folder, to)
