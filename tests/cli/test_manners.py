"""How commands behave: choices named, outputs replaced when asked, quiet when asked, and a stop that says what is kept."""

import errno
import logging
import re
import sys

import numpy as np
import pytest

import redflower
from redflower import progress
from redflower.citations import ENTRIES, bibtex
from redflower.cli import stops
from redflower.scale import rows_kept
from redflower.scale.parts import keep_part
from tests.cli.test_commands import run


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """A command that is quiet is quiet until the process ends."""
    level = logging.getLogger("redflower").level
    yield
    progress._QUIET.clear()
    stops._TOLD.clear()
    logging.getLogger("redflower").setLevel(level)


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (("prepare", "raw.fits", "out.fits"), ("training", "inference")),
        (("prepare", "raw.fits", "out.fits", "--for", "fun"), ("training", "inference")),
        (("infer", "s.fits", "o.fits", "--model", "mock-sky", "--engine", "slow"), ("fast", "nuts")),
    ],
)
def test_a_missing_or_wrong_choice_names_the_choices(
    capsys, monkeypatch, tmp_path, arguments, choices
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, monkeypatch, *arguments)
    assert code == 2
    assert all(choice in err for choice in choices)


def test_an_output_is_replaced_only_when_asked(capsys, monkeypatch, tmp_path) -> None:
    out = tmp_path / "sky.parquet"
    assert run(capsys, monkeypatch, "simulate", out, "--stars", 20)[0] == 0
    code, _, err = run(capsys, monkeypatch, "simulate", out, "--stars", 30)
    assert code == 2
    assert "exists already" in err
    assert run(capsys, monkeypatch, "simulate", out, "--stars", 30, "--overwrite")[0] == 0
    assert len(redflower.read_table(out)) == 30
    stars = tmp_path / "stars.parquet"
    for options, wanted in (((), 0), ((), 2), (("--overwrite",), 0)):
        assert run(capsys, monkeypatch, "prepare", out, stars, "--for", "inference", *options)[0] == wanted
    code, _, err = run(capsys, monkeypatch, "prepare", out, out, "--for", "inference", "--overwrite")
    assert code == 2
    assert "would be lost" in err
    assert len(redflower.read_table(out)) == 30


def test_quiet_says_nothing_but_results_and_errors(capsys, monkeypatch, tmp_path) -> None:
    code, _, err = run(capsys, monkeypatch, "--quiet", "simulate", tmp_path / "sky.parquet", "--stars", 20)
    assert code == 0
    assert err == ""
    code, _, err = run(capsys, monkeypatch, "--quiet", "--verbose", "models")
    assert code == 2
    assert "exclude each other" in err


def test_a_stop_says_what_is_kept_and_how_to_go_on(capsys, monkeypatch, tmp_path) -> None:
    out = tmp_path / "post.parquet"
    folder = tmp_path / "post.parquet.parts"

    def stopped(*_, **__):
        folder.mkdir(exist_ok=True)
        for number in range(2):
            keep_part(folder, number, redflower.simulate(12, seed=number))
        raise KeyboardInterrupt

    monkeypatch.setattr("redflower.scale.infer_file", stopped)
    stars = redflower.write_table(
        redflower.prepare(redflower.simulate(30, seed=9), purpose="inference").table, tmp_path / "s.parquet"
    )
    code, _, err = run(capsys, monkeypatch, "infer", stars, out, "--model", "mock-sky")
    assert code == 130
    assert "24 stars are kept in" in " ".join(err.split())
    assert "the same command with --resume" in " ".join(err.split())
    assert rows_kept(out) == (24, folder)
    assert "not kept" not in err


def test_quiet_and_verbose_may_stand_behind_the_command(capsys, monkeypatch, tmp_path) -> None:
    assert run(capsys, monkeypatch, "simulate", tmp_path / "a.parquet", "--stars", 20, "--quiet")[2] == ""
    progress._QUIET.clear()
    handlers = logging.getLogger().handlers[:]
    code, _, err = run(capsys, monkeypatch, "simulate", tmp_path / "b.parquet", "--stars", 20, "-v")
    logging.getLogger().handlers[:] = handlers
    assert code == 0
    assert "b.parquet" in err
    _, out, _ = run(capsys, monkeypatch, "infer", "--help")
    assert "--quiet says errors and results only" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("infer", "a", "b", "--model", "m", "--workers", 0),
            "infer --workers 0: it must be a whole number of at least 1.",
        ),
        (
            ("sightline", "a", "b", "--max-clouds", 9),
            "sightline --max-clouds 9: it must be a whole number from 0 to 8.",
        ),
        (("infer", "a", "b", "--model", "m", "--ebv-min", "x"), "infer --ebv-min x: it must be a number."),
        (("prepare", "a", "b", "--for", "fun"), "prepare --for fun: it must be one of training, inference."),
        (("infer", "a", "b"), "infer needs --model: name of a shipped model (redflower models) or a file."),
        (("infer",), "infer needs STARS: prepared table (prepare --for inference), or"),
        (("infer", "a", "b", "--modle", "m"), "infer has no option --modle. Did you mean --model?"),
        (("sightlin",), "there is no command 'sightlin'. Did you mean sightline?"),
        (("infer", "a", "b", "c", "--model", "m"), "infer: got unexpected extra argument(s) (c)."),
        (("infer", "a", "b", "--model"), "option '--model' requires an argument."),
    ],
)
def test_what_is_typed_wrongly_is_one_error_like_all_others(capsys, monkeypatch, arguments, message) -> None:
    code, out, err = run(capsys, monkeypatch, *arguments)
    said = " ".join(err.split())
    assert code == 2
    assert said.startswith("error: ")
    assert message in said
    assert "--help`." in said
    assert "Usage" not in out + err
    assert len(said) < 300


def test_nothing_asked_shows_the_help(capsys, monkeypatch) -> None:
    code, out, err = run(capsys, monkeypatch)
    assert code == 2
    assert "infer" in out + err


def test_completion_is_offered(capsys, monkeypatch) -> None:
    _, out, _ = run(capsys, monkeypatch, "--help")
    assert "--install-completion" in out


def test_every_citation_has_a_journal_a_doi_and_where_it_is_there_arxiv() -> None:
    text = bibtex()
    assert text.count("doi = {10.") == len(ENTRIES)
    for key, _, _, title, where, year, doi, arxiv, _ in ENTRIES:
        assert re.fullmatch(r"10\.\d{4,5}/\S+", doi), key
        assert not arxiv or re.fullmatch(r"\d{4}\.\d{4,5}|astro-ph/\d{7}", arxiv), key
        assert where
        assert title
        assert 1990 < year < 2030
    assert "volume = {264}" in text
    assert "pages = {14}" in text
    assert text.count("{") == text.count("}")


def test_help_teaches_and_every_public_name_is_listed() -> None:
    assert "redflower.run(" in redflower.__doc__
    assert {"run", "infer", "InferenceSettings", "ConstantLaw", "DustPrior", "sky_map", "draw_star"} <= set(
        redflower.__all__
    )
    assert redflower.InferenceSettings(density=True).density


def test_progress_can_be_shown_called_or_silent(capsys) -> None:
    """What `infer`, `sightline`, `sky_map` and `validate` do with their ``progress``."""
    seen = []
    for wanted in (True, False, None, lambda done, *_: seen.append(done)):
        with progress.shown(wanted, "stars", 3) as call:
            if call is not None:
                call(3)
        said = capsys.readouterr().err
        assert ("stars: 3 of 3" in said) == (wanted is True)
    assert seen == [3]
    assert np.sum(seen) == 3


def test_a_notebook_has_a_bar_that_goes_when_all_is_done(monkeypatch, capsys) -> None:
    pytest.importorskip("IPython")
    shown: list[str] = []

    class Output:
        def update(self, content) -> None:
            shown.append(content.data)

    def display(content, **_) -> Output:
        shown.append(content.data)
        return Output()

    monkeypatch.setitem(sys.modules, "ipykernel", object())
    monkeypatch.setattr("IPython.display.display", display)
    with progress.shown(None, "stars <b>", 300) as call:
        call(30)
        call(300)
    assert "stars &lt;b&gt; <progress value='30' max='300'></progress> 30 of 300" in shown[1]
    assert shown[-1] == ""
    assert capsys.readouterr().err == ""


def test_a_disk_that_takes_no_more_is_one_message_in_every_command(capsys, monkeypatch, tmp_path) -> None:
    """Whatever a command writes: what is no table has no message of its own."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "map.fits")

    monkeypatch.setattr(sys.modules["redflower.cli.app"], "app", full)
    code, _, err = run(capsys, monkeypatch, "map", tmp_path)
    assert code == 2
    assert "error: map.fits cannot be written: No space left on device. Make room" in " ".join(err.split())


def test_a_file_that_is_not_in_its_place_is_an_error(monkeypatch, tmp_path) -> None:
    from redflower.files import folder_written_whole, written_whole

    monkeypatch.setattr("redflower.files.os.replace", lambda a, b: None)
    with pytest.raises(OSError, match="the file system has lost it"), written_whole(tmp_path / "one") as part:
        part.write_text("rows")
    with pytest.raises(OSError, match="lost it"), folder_written_whole(tmp_path / "some") as part:
        (part / "one").write_text("rows")
