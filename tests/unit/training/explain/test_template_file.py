"""A company's template file: what it can change, and how invalid files are rejected."""

import tomllib
from pathlib import Path

import pytest

from data.errors import SettingsError
from features.catalogue import FEATURE_NAMES, reason_templates
from training.explain import templates


def test_a_company_can_use_its_own_templates(tmp_path: Path) -> None:
    file = tmp_path / "saetze.toml"
    file.write_text(
        """
        [number_format]
        thousands = "."
        decimal = ","
        percent = " %"
        day = ["Tag", "Tage"]
        [seats]
        increases = "{{ n(active_seats) }} von {{ count(licensed_seats, 'Platz', 'Plätzen') }}"
        [newcomers]
        decreases = "seit {{ span(days_since_new_user) }} niemand Neues"
        """
    )

    loaded = templates.load_templates(file)

    features = dict.fromkeys(FEATURE_NAMES) | {"active_seats": 1204.0, "licensed_seats": 1300.0}
    assert loaded.render("seats", features) == "1.204 von 1.300 Plätzen"
    features["days_since_new_user"] = 1.0
    assert loaded.render("newcomers", features, "decreases") == "Seit 1 Tag niemand Neues"
    assert loaded.render("usage", features | {"usage_ratio": 0.834}) == (
        "83 % of the monthly usage limit used"
    )


def test_the_printed_file_equals_the_default(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(reason_templates.read_text(), encoding="utf-8")

    loaded = templates.load_templates(file)

    assert tomllib.loads(reason_templates.read_text()) == reason_templates.load_default()
    assert loaded.templates.keys() == templates.load_default_templates().templates.keys()


def load_invalid(file: Path, text: str) -> str:
    """Return the one-line error of loading a template file."""
    file.write_text(text)
    with pytest.raises(SettingsError) as loaded:
        templates.load_templates(file)
    assert "\n" not in str(loaded.value)
    return str(loaded.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[seat]\nincreases = 'x'", "unknown name seat. Did you mean seats?"),
        ("[seats]\nincrease = 'x'", "seats: unknown name increase. Did you mean increases?"),
        ("[seats]\nincreases = 3", "seats.increases: expected a quoted string; found 3."),
        ("seats = 'x'", "seats: expected a table; found 'x'."),
        ("[number_format]\nday = ['Tag']", "number_format.day: expected a list of two strings"),
    ],
)
def test_an_invalid_entry_is_rejected_when_loaded(tmp_path: Path, text: str, message: str) -> None:
    assert f"own.toml: {message}" in load_invalid(tmp_path / "own.toml", text)


@pytest.mark.parametrize(
    ("template", "message"),
    [("{{ n(active_seat) }}", "unknown name active_seat.")]
    + [
        (template, "the template cannot be rendered")
        for template in (
            "{{ n(active_seats ",
            "{{ n() }}",
            "{{ n(1 / (mrr - mrr)) }}",
            "{{ ''.__class__.__mro__ }}",
            '{% include "x" %}',
        )
    ],
)
def test_an_invalid_template_is_rejected_when_loaded(
    tmp_path: Path, template: str, message: str
) -> None:
    error = load_invalid(tmp_path / "own.toml", f"[seats]\nincreases = '''{template}'''")

    assert f"seats.increases: {message}" in error


def test_a_file_that_is_no_toml_is_rejected(tmp_path: Path) -> None:
    assert "cannot be read as TOML" in load_invalid(tmp_path / "own.toml", "[seats\n")


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"scoring\.reason_templates.*absent\.toml"):
        templates.load_templates(tmp_path / "absent.toml")
