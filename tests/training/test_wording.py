"""A sentence is one that a CSM can read aloud and trust, whatever the numbers behind it."""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.catalogue import FEATURE_NAMES, REASON_GROUPS, reason_templates
from training.explain import templates
from training.explain.number_format import NumberFormat

WAYS: tuple[templates.Direction, ...] = ("raises", "holds")
TOLD = [
    (story, way)
    for story in REASON_GROUPS
    for way in WAYS
    if templates.load_default_templates().required_features(story, way)
]
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?%?")
words = NumberFormat()

EDGES = st.sampled_from([0.0, 1.0, 2.0, 9.0, 10.0, 999.0, 1000.0, 1204.0])
small = st.integers(0, 12).map(float)
counts = small | EDGES | st.integers(0, 3_000_000).map(float)
shares = st.sampled_from([0.0, 0.001, 0.004, 0.5, 0.75, 0.996, 0.9999, 1.0]) | st.floats(0, 1)
KINDS: list[tuple[str, st.SearchStrategy[Any]]] = [
    (r"licensed_seats$", counts.filter(bool)),
    (r".*among_peers$|champion_share|weekly_stickiness", shares),
    (r"usage_ratio|seats_ahead", shares | st.floats(1, 3)),
    (r".*change", st.floats(-1, 10)),
    (r"days_to_renewal", st.integers(-400, 800).map(float)),
    (r".*per_user|usage_days_to_limit|mrr", st.floats(0, 720) | EDGES),
    (r".*months_6m$|plateau_months", small),
    (r"seat_days_above", st.integers(0, 90).map(float)),
    (r".*", counts),
]
PARTS = {  # no more than their whole
    "departments_new_90d": "departments_90d",
    "email_domains_new_90d": "email_domains_90d",
    "new_users_30d": "new_users_90d",
}

every_sentence = pytest.mark.parametrize(("story", "way"), TOLD)


@st.composite
def facts(draw: Any, story: str, way: templates.Direction) -> dict[str, float | None]:
    """Facts of an account as they can be: counts are whole, shares follow, some unknown."""
    asked = templates.load_default_templates().required_features(story, way)
    known = {name: draw(_kind(name)) for name in asked}
    if known.keys() >= {"active_seats", "licensed_seats"}:
        seats, active = known["licensed_seats"], known["active_seats"]
        known |= {"seat_utilization": active / seats, "seat_headroom": seats - active}
    for part, whole in PARTS.items():
        if part in known:
            known[whole] = max(known[part], known[whole])
    for name in draw(st.sets(st.sampled_from(asked), max_size=2)):
        known[name] = None
    return dict.fromkeys(FEATURE_NAMES) | known


def _kind(name: str) -> st.SearchStrategy[Any]:
    return next(kind for pattern, kind in KINDS if re.match(pattern, name))


@every_sentence
@given(st.data())
@settings(max_examples=40)
def test_a_sentence_reads_well_whatever_the_numbers(
    story: str, way: templates.Direction, data: st.DataObject
) -> None:
    text = templates.load_default_templates().render(story, data.draw(facts(story, way)), way)

    assert not text or text[0].isupper() or text[0].isdigit(), text
    assert text == text.strip(), text
    assert not re.search(r"\bnan\b|None(?! of)|unknown|\binf|[{}\n]|  | ,|,,|\d{4}-\d", text), text
    assert not re.search(r"(?<!\w)-|\.0\b", text), text
    assert not re.search(r"(?<![\d,.])1 [a-z-]*( ?people|[a-z]{3,}s)\b", text), text
    assert not re.search(r"(?<![\d,.])0 [a-z]", text), text


@every_sentence
@given(st.data())
@settings(max_examples=40)
def test_a_sentence_has_no_number_that_is_not_a_fact(
    story: str, way: templates.Direction, data: st.DataObject
) -> None:
    known = data.draw(facts(story, way))

    text = templates.load_default_templates().render(story, known, way)

    bare = re.sub(r"{{.*?}}|{%.*?%}", " ", _template(story, way), flags=re.DOTALL)
    windows = set(NUMBER.findall(bare)) | {"30", "60"}  # these two the macros are told
    assert set(NUMBER.findall(text)) <= windows | _shown(story, way, known), text


AGAINST: dict[str, str] = {
    "raises": r"\b(down|no|none|nobody|not|free|inactive)\b|\bonly (?!seat is active)",
    "holds": r"\b(up|more than|all|larger|already)\b",
}


MOVED = rf"(?:Only |All )?({NUMBER.pattern}).*, (up|down) from ({NUMBER.pattern})"


@every_sentence
@given(st.data())
@settings(max_examples=40)
def test_a_reason_never_reads_as_its_opposite(
    story: str, way: templates.Direction, data: st.DataObject
) -> None:
    text = templates.load_default_templates().render(story, data.draw(facts(story, way)), way)

    told = text.replace("up from none", "up from 0")
    assert not re.search(AGAINST[way], told, re.IGNORECASE), text
    if moved := re.match(
        rf"(?:Only |All )?({NUMBER.pattern}).*, (up|down) from ({NUMBER.pattern})", told
    ):
        now, before = _value(moved[1]), _value(moved[3])
        assert (now > before) == (moved[2] == "up"), text


@every_sentence
def test_of_what_is_not_known_nothing_is_told(story: str, way: templates.Direction) -> None:
    assert templates.load_default_templates().render(story, dict.fromkeys(FEATURE_NAMES), way) == ""


def _template(story: str, way: str) -> str:
    return str(reason_templates.load_default()[story][way])


def _shown(story: str, way: templates.Direction, known: dict[str, float | None]) -> set[str]:
    """Every fact of a sentence as it may be written."""
    values = [
        known[name] for name in templates.load_default_templates().required_features(story, way)
    ]
    shown = set()
    for value in filter(lambda each: each is not None, values):
        for written in (
            words.format_number(value),
            words.format_percent(value),
            words.format_percent(1 - value),
        ):
            shown.add(written.removeprefix("-"))
        shown |= {NUMBER.findall(words.format_duration(abs(value)))[0]}
    return shown


def _value(text: str) -> float:
    return float(text.replace(",", "").removesuffix("%"))


SAID = [
    ("seats", "raises", "9 of 10 seats active, up from 6 three months ago", (9, 10, 6)),
    ("seats", "raises", "All 10 seats active, up from 6 three months ago", (10, 10, 6)),
    ("seats", "raises", "All 10 seats active", (10, 10, 12)),
    ("seats", "raises", "12 people active on 10 seats", (12, 10, 12)),
    ("seats", "raises", "32 people active on 29 seats", (32, 29, 33)),
    ("seats", "raises", "2 people active on 1 seat", (2, 1, 2)),
    ("seats", "raises", "The only seat is active", (1, 1, 1)),
    ("seats", "raises", "Both seats active, up from none three months ago", (2, 2, 0)),
    ("seats", "raises", "9 of 10 seats active", (9, 10, 9)),
    ("seats", "raises", "", (4, 10, 6)),
    ("seats", "holds", "Only 4 of 10 seats active, down from 6 three months ago", (4, 10, 6)),
    ("seats", "holds", "Only 12 of 40 seats active", (12, 40, 12)),
    ("seats", "holds", "None of the 10 seats is active", (0, 10, 3)),
    ("seats", "holds", "32 of 29 seats active, down from 33 three months ago", (32, 29, 33)),
    ("seats", "holds", "4 of 10 seats still free", (6, 10, 6)),
    ("seats", "holds", "", (9, 10, 9)),
]


@pytest.mark.parametrize(("story", "way", "text", "seats"), SAID)
def test_seats_are_told_as_they_are(
    story: str, way: templates.Direction, text: str, seats: tuple[int, int, int]
) -> None:
    active, licensed, before = seats
    known = {
        "active_seats": active,
        "licensed_seats": licensed,
        "active_seats_90d_ago": before,
        "seat_utilization": active / licensed,
        "seat_headroom": licensed - active,
    }

    assert (
        templates.load_default_templates().render(story, dict.fromkeys(FEATURE_NAMES) | known, way)
        == text
    )


@pytest.mark.parametrize(
    ("story", "way", "known", "text"),
    [
        ("newcomers", "raises", {"new_users_30d": 1}, "1 new person in the last 30 days"),
        (
            "newcomers",
            "raises",
            {"new_users_30d": 5, "new_users_previous_30d": 2},
            "5 new people in the last 30 days, up from 2 in the 30 before",
        ),
        ("newcomers", "holds", {"days_since_new_user": 74}, "Nobody new for 2 months"),
        ("newcomers", "holds", {"days_since_new_user": 31}, "Nobody new for 31 days"),
        (
            "usage",
            "raises",
            {"usage_ratio": 0.934, "usage_days_to_limit": 12.4},
            "93% of the monthly usage limit used, all of it in 12 days at this pace",
        ),
        (
            "usage",
            "raises",
            {"usage_ratio": 1.04, "usage_ratio_90d_ago": 0.97, "usage_days_to_limit": 0},
            "104% of the monthly usage limit used, up from 97% three months ago",
        ),
        ("usage", "holds", {"usage_ratio": 0.12}, "Only 12% of the monthly usage limit used"),
        ("usage", "holds", {"usage_ratio": 0.66}, "34% of the monthly usage limit still free"),
        (
            "departments",
            "raises",
            {"departments_90d": 2, "departments_new_90d": 1},
            "2 departments active, 1 of them new in the last 90 days",
        ),
        (
            "departments",
            "raises",
            {"departments_90d": 1, "departments_new_90d": 0, "days_since_new_department": 12},
            "First login given to one more department 12 days ago",
        ),
        ("departments", "holds", {"departments_90d": 1}, "Only one department active"),
        (
            "departments",
            "holds",
            {"departments_90d": 2, "departments_new_90d": 0, "days_since_new_department": 12},
            "",
        ),
        (
            "seats",
            "raises",
            {"provisioned_per_seat_change_90d": 0.124},
            "People with a login up by 12% of the seats in three months",
        ),
        (
            "seats",
            "raises",
            {"provisioned_users": 12, "licensed_seats": 10},
            "12 people with a login, for 10 seats",
        ),
        (
            "seats",
            "holds",
            {"provisioned_per_seat_change_90d": -0.124},
            "People with a login down by 12% of the seats in three months",
        ),
        ("terms", "holds", {"days_since_seat_cut": 45}, "Cut its seats 45 days ago"),
        (
            "activity",
            "raises",
            {"sessions_per_user_30d": 1.0, "sessions_per_user_90d_ago": 0.04},
            "1 session per active user in the last 30 days, up from none three months ago",
        ),
        ("terms", "raises", {"days_to_renewal": 1}, "Renews in 1 day"),
        ("terms", "raises", {"days_to_renewal": -4}, ""),
        ("calendar", "raises", {"days_to_quarter_end": 4}, ""),
    ],
)
def test_a_sentence_says_what_its_numbers_say(
    story: str, way: templates.Direction, known: dict[str, float | None], text: str
) -> None:
    assert (
        templates.load_default_templates().render(story, dict.fromkeys(FEATURE_NAMES) | known, way)
        == text
    )


@given(st.floats(-1e7, 1e7))
@example(0.9951)
@example(1.0049)
@example(0.0049)
def test_a_share_is_all_or_nothing_only_where_it_is(share: float) -> None:
    told = words.format_percent(share).removeprefix("-")

    assert (told == "0%") == (share == 0)
    assert (told == "100%") == (abs(share) == 1)
    assert float(told[:-1].replace(",", "")) == pytest.approx(abs(share) * 100, abs=0.51)


def test_many_are_told_as_each_is() -> None:
    rows = [(float(a), 3.0, 10.0) for a in range(12)]
    told = templates.load_default_templates()
    names = told.required_features("departments", "raises")

    assert told.render_many("calendar", "raises", [()] * 3) == ["", "", ""]
    for row in rows:
        values = dict(zip(names, (*row, 1.0, 20.0, 20.0)[: len(names)], strict=True))
        assert told.render_many("departments", "raises", [tuple(values.values())]) == [
            told.render("departments", values)
        ]
