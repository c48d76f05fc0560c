"""The points beside a record: measured once, marked where they moved."""

import json

import pytest

from benchmarks import regression

POINT = "stream, a token"


@pytest.mark.parametrize(
    ("references", "error", "ending"),
    [
        (1.0, 0.05, "+0.0%"),
        (1.2, 0.05, "+20.0%  SLOWER"),
        (0.8, 0.05, "-20.0%  faster"),
        (1.2, 0.09, "+20.0%"),  # an error of 10 % with that of the record
    ],
)
def test_what_is_beyond_twice_the_error_is_marked(references, error, ending):
    point = {"references": references, "error": error}
    before = {"references": 1.0, "error": 0.05}
    assert regression.line("a point", point, before).endswith(f"   {ending}")
    assert regression.line("a point", point, None).endswith("no record")


def test_points_are_kept_and_become_the_record(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(regression, "RECORDS", tmp_path)
    monkeypatch.setattr(regression, "make_reference", lambda: lambda: sum(range(999)))
    monkeypatch.setitem(regression.POINTS, POINT, lambda: lambda: sum(range(2997)))
    output = tmp_path / "points.json"
    arguments = ["--output", str(output), "--names", POINT, "--seconds", "0.1"]
    regression.main([*arguments, "--update"])
    assert "no record" in capsys.readouterr().out
    point = json.loads(output.read_text())["points"][POINT]
    assert point["references"] > 0 and point["error"] >= 0
    [record] = set(tmp_path.glob("*.json")) - {output}
    assert json.loads(record.read_text())["points"] == {POINT: point}
    monkeypatch.setitem(regression.POINTS, POINT, lambda: pytest.fail("again"))
    regression.main(arguments)
    assert "+0.0%" in capsys.readouterr().out
