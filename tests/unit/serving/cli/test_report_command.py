"""Report pages written by the commands."""

from pathlib import Path
from typing import Any

import pytest

# MLflow uses deprecated SQLAlchemy calls.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def test_evaluate_writes_the_page(trained_company: Any) -> None:
    file = trained_company.folder / "pages" / "evaluation.html"

    payload = trained_company.run_json("evaluate", "--html", file)

    page = file.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count("<h1>") == 1
    assert f"{payload['metrics']['model']['auroc']['value']:.3f}" in page
    assert "No model was passed" not in page


def test_backtest_writes_the_page(trained_company: Any) -> None:
    file = trained_company.folder / "pages" / "backtest.html"

    payload = trained_company.run_json("backtest", "--html", file)

    page = file.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    for strategy in payload["strategies"]:
        assert strategy["name"].replace("'", "&#39;") in page


@pytest.mark.parametrize("command", ["evaluate", "backtest"])
def test_a_page_with_another_extension_is_rejected_first(
    tiny: Any, command: str, error_message: Any, tmp_path: Path
) -> None:
    message = error_message(tiny.run(command, "--html", tmp_path / "page.pdf"))

    assert message == "page.pdf has an unsupported extension; expected .html or .htm."
    assert not (tiny.folder / "state").exists()
