"""The pages as the commands write them."""

from pathlib import Path
from typing import Any

import pytest

# MLflow's own way with SQLAlchemy.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def test_evaluate_writes_the_page_beside_its_answer(road: Any) -> None:
    page = (road.folder / "evaluation.html").read_text(encoding="utf-8")

    assert page.startswith("<!doctype html>")
    assert page.count("<h1>") == 1
    assert f"{road.told('evaluate')['figures']['model']['auroc']['value']:.3f}" in page
    assert "No model was handed over" not in page


def test_backtest_writes_the_page_beside_its_answer(road: Any) -> None:
    file = road.folder / "pages" / "backtest.html"

    told = road.ask("backtest", "--html", file)

    page = file.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    for way in told["ways"]:
        assert way["name"].replace("'", "&#39;") in page


@pytest.mark.parametrize("command", ["evaluate", "backtest"])
def test_a_page_by_another_name_is_refused_before_the_work(
    tiny: Any, command: str, refused: Any, tmp_path: Path
) -> None:
    told = refused(tiny.run(command, "--html", tmp_path / "page.pdf"))

    assert told == "page.pdf ends neither in .html nor in .htm; name it so."
    assert not (tiny.folder / "state").exists()
