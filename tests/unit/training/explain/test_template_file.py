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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[seat]\nincreases = 'x'", "own.toml: unknown name seat. Did you mean seats?"),
        (
            "[seats]\nincrease = 'x'",
            "own.toml: seats: unknown name increase. Did you mean increases?",
        ),
        (
            "[seats]\nincreases = 3",
            "own.toml: seats.increases: expected a quoted string; found 3.",
        ),
        ("seats = 'x'", "own.toml: seats: expected a table; found 'x'."),
        (
            "[number_format]\nday = ['Tag']",
            "own.toml: number_format.day: expected a list of two strings",
        ),
        (
            "[seats]\nincreases = '{{ n(active_seat) }}'",
            "seats.increases: unknown name active_seat.",
        ),
        (
            "[seats]\nincreases = '{{ n(active_seats '",
            "own.toml: seats.increases: the template cannot be rendered",
        ),
        (
            "[seats]\nincreases = '{{ n() }}'",
            "own.toml: seats.increases: the template cannot be rendered",
        ),
        (
            "[seats]\nincreases = '{{ n(1 / (mrr - mrr)) }}'",
            "own.toml: seats.increases: the template cannot be rendered",
        ),
        (
            "[seats]\nincreases = \"{{ ''.__class__.__mro__ }}\"",
            "own.toml: seats.increases: the template cannot be rendered",
        ),
        (
            "[seats]\nincreases = '{% include \"x\" %}'",
            "own.toml: seats.increases: the template cannot be rendered",
        ),
        ("[seats\n", "cannot be read as TOML"),
    ],
)
def test_an_invalid_file_is_rejected_when_loaded(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)

    with pytest.raises(SettingsError) as loaded:
        templates.load_templates(file)

    assert message in str(loaded.value)
    assert "\n" not in str(loaded.value)


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"scoring\.reason_templates.*absent\.toml"):
        templates.load_templates(tmp_path / "absent.toml")
