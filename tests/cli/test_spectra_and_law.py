"""`redflower spectra` and `redflower law` as a user types them."""

import numpy as np
import pytest

import redflower
from tests.cli.test_commands import run
from tests.helpers.raw_stars import raw_stars


def test_spectra_are_joined_to_stars_and_prepared(shared_data, tmp_path, capsys, monkeypatch) -> None:
    pytest.importorskip("gaiaxpy", reason="GaiaXPy is not installed (extra spectra)")
    path = shared_data / "xp" / "XP_CONTINUOUS_RAW_colour_eq_dr3int6.csv"
    if not path.is_file():
        pytest.skip("the shared data have no folder xp")
    raw = raw_stars(5)
    raw["source_id"][:3] = [4408087461749558912, 4408087908426160384, 4408088011505376128]
    # The pixel of an identifier is where its star is.
    raw["ra"][:3], raw["dec"][:3] = 238.0, 6.0
    raw.remove_columns(["l", "b", "ecl_lat"])
    redflower.write_table(raw, tmp_path / "raw.parquet")
    joined = tmp_path / "xp.parquet"
    code, out, err = run(capsys, monkeypatch, "spectra", path, joined, "--stars", tmp_path / "raw.parquet")
    assert code == 0, err
    assert "3 spectra in the bands of xp" in out
    assert "F410M: 2 magnitudes, 1 of too low signal-to-noise" in out
    table = redflower.read_table(joined)
    assert np.isfinite(table["xp_f845m_mag"]).tolist() == [True] * 3 + [False] * 2
    assert table["xp_covariance"].shape == (5, 55)
    code, _, err = run(capsys, monkeypatch, "spectra", path, joined)
    assert code == 2
    assert "exists" in err
    code, _, err = run(capsys, monkeypatch, "spectra", path, tmp_path / "xp.csv")
    assert code == 2
    assert "CSV cannot hold columns of arrays" in err


def test_a_law_is_written_as_train_reads_it(tmp_path, capsys, monkeypatch) -> None:
    pytest.importorskip("dust_extinction", reason="dust_extinction is not installed (extra laws)")
    pytest.importorskip("pyphot", reason="pyphot is not installed (extra laws)")
    from redflower.catalogue.law_file import named_law

    path = tmp_path / "numbers.toml"
    code, out, err = run(capsys, monkeypatch, "law", path, "--bands", "gaia+ps1+2mass", "--rv", "3.1")
    assert code == 0, err
    assert "J: R = 0.72" in out
    assert named_law(path).name == "constant"
    code, _, err = run(capsys, monkeypatch, "law", path)
    assert code == 2
    assert "exists" in err
    code, _, err = run(capsys, monkeypatch, "law", tmp_path / "numbers.txt")
    assert code == 2
    assert "must end in .toml" in err
