"""What benchmarks share."""

import json

import pytest
from benchmarks import numbered_runs as numbered


@pytest.fixture
def done_here(monkeypatch):
    """Do the numbers in this process: what is shared between processes is not what is tested."""

    class Here:
        def __init__(self, workers):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        map = staticmethod(map)

    monkeypatch.setattr(numbered, "ProcessPoolExecutor", Here)


def test_a_stopped_benchmark_goes_on_where_it_was_and_takes_nothing_of_other_code(
    tmp_path, done_here, monkeypatch
):
    out, made = tmp_path / "lines.jsonl", []

    def one(k):
        made.append(k)
        return {"k": k}

    numbered.numbered_runs(one, 2, out, workers=1)
    records = numbered.numbered_runs(one, 4, out, workers=1)
    assert made == [0, 1, 2, 3]
    assert sorted(record["k"] for record in records) == [0, 1, 2, 3]
    assert len(out.read_text().splitlines()) == 4

    monkeypatch.setattr(numbered, "code_digest", lambda: "of other code")
    assert numbered.numbered_runs(one, 4, out, workers=1, summary=True) == []
    assert len(numbered.numbered_runs(one, 2, out, workers=1)) == 2
    assert made == [0, 1, 2, 3, 0, 1]


def test_the_number_of_the_code_is_that_of_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(numbered, "ROOT", tmp_path)
    (tmp_path / "src").mkdir()
    source = tmp_path / "src" / "a.py"
    source.write_text("x = 1\n")
    first = numbered.code_digest()
    assert numbered.code_digest() == first
    source.write_text(json.dumps(2))
    assert numbered.code_digest() != first
