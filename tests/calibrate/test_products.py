"""What `redflower calibrate` leaves is opened by every program that astronomers open tables with, and by `infer`."""

from pathlib import Path

import pytest

from redflower.photometric_offsets import read_offsets

from ..cli.test_commands import run
from ..helpers.open_everywhere import check_folder_opens

N_STARS = 400


@pytest.mark.slow
def test_every_program_opens_what_a_calibration_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = (
        ("simulate", "raw.parquet", "--stars", 2 * N_STARS, "--preset", "high-latitude"),
        ("prepare", "raw.parquet", "stars.parquet", "--for", "inference"),
        ("calibrate", "stars.parquet", "out", "--model", "mock-sky", "--max-stars", N_STARS),
    )
    for command in commands:
        code, _, err = run(capsys, monkeypatch, *command)
        assert code == 0, err
    out = tmp_path / "out"
    # A table of stars and one of bands, the offsets, three figures in three formats, and the page.
    assert check_folder_opens(out) == 2 + 1 + 3 * 3 + 1
    assert len(read_offsets(out / "offsets.json").bands) > 1
