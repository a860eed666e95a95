"""A company's own file of sentences: what it may say, and how what cannot be told is refused."""

import tomllib
from pathlib import Path

import pytest

from data.errors import SettingsError
from features.catalogue import FEATURE_NAMES, reason_templates
from training.explain import templates


def test_a_company_may_use_its_own_words(tmp_path: Path) -> None:
    own = tmp_path / "saetze.toml"
    own.write_text(
        """
        [words]
        thousands = "."
        decimal = ","
        percent = " %"
        day = ["Tag", "Tage"]
        [seats]
        raises = "{{ n(active_seats) }} von {{ count(licensed_seats, 'Platz', 'Plätzen') }} belegt"
        [newcomers]
        holds = "seit {{ span(days_since_new_user) }} niemand Neues"
        """
    )

    found = templates.load_templates(own)

    known = dict.fromkeys(FEATURE_NAMES) | {"active_seats": 1204.0, "licensed_seats": 1300.0}
    assert found.render("seats", known) == "1.204 von 1.300 Plätzen belegt"
    known["days_since_new_user"] = 1.0
    assert found.render("newcomers", known, "holds") == "Seit 1 Tag niemand Neues"
    assert found.render("usage", known | {"usage_ratio": 0.834}) == (
        "83 % of the monthly usage limit used"
    )


def test_the_file_that_is_printed_is_the_default(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(reason_templates.read_text(), encoding="utf-8")

    found = templates.load_templates(own)

    assert tomllib.loads(reason_templates.read_text()) == reason_templates.load_default()
    assert found.templates.keys() == templates.load_default_templates().templates.keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[seat]\nraises = 'x'", "own.toml: there is no seat. Did you mean seats?"),
        ("[seats]\nraise = 'x'", "own.toml: seats: there is no raise. Did you mean raises?"),
        ("[seats]\nraises = 3", "own.toml: seats.raises: expected a text in quotes; found 3."),
        ("seats = 'x'", "own.toml: seats: expected a table; found 'x'."),
        ("[words]\nday = ['Tag']", "own.toml: words.day: expected a list of two nouns"),
        ("[seats]\nraises = '{{ n(active_seat) }}'", "seats.raises: there is no active_seat."),
        ("[seats]\nraises = '{{ n(active_seats '", "own.toml: seats.raises: not a template"),
        ("[seats]\nraises = '{{ n() }}'", "own.toml: seats.raises: not a template"),
        ("[seats]\nraises = '{{ n(1 / (mrr - mrr)) }}'", "own.toml: seats.raises: not a template"),
        (
            "[seats]\nraises = \"{{ ''.__class__.__mro__ }}\"",
            "own.toml: seats.raises: not a template",
        ),
        ("[seats]\nraises = '{% include \"x\" %}'", "own.toml: seats.raises: not a template"),
        ("[seats\n", "cannot be read as TOML"),
    ],
)
def test_a_file_that_cannot_be_told_is_refused_when_it_is_read(
    tmp_path: Path, text: str, said: str
) -> None:
    own = tmp_path / "own.toml"
    own.write_text(text)

    with pytest.raises(SettingsError) as found:
        templates.load_templates(own)

    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"scoring\.sentences.*absent\.toml"):
        templates.load_templates(tmp_path / "absent.toml")
