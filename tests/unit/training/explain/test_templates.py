"""Reason texts are well formed and consistent with their numbers."""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.catalogue import FEATURE_NAMES, REASON_GROUPS, reason_templates
from training.explain import templates
from training.explain.number_format import NumberFormat

DIRECTIONS: tuple[templates.Direction, ...] = ("increases", "decreases")
DEFAULT_TEMPLATES = templates.load_default_templates()
TEMPLATES = [
    (group, direction)
    for group in REASON_GROUPS
    for direction in DIRECTIONS
    if DEFAULT_TEMPLATES.required_features(group, direction)
]
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?%?")
number_format = NumberFormat()

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
PARTS = {  # parts that cannot exceed their total
    "departments_new_90d": "departments_90d",
    "email_domains_new_90d": "email_domains_90d",
    "new_users_30d": "new_users_90d",
}

every_template = pytest.mark.parametrize(("group", "direction"), TEMPLATES)


@st.composite
def account_features(
    draw: Any, group: str, direction: templates.Direction
) -> dict[str, float | None]:
    """Draw plausible features: whole counts, consistent shares, some unknown."""
    names = DEFAULT_TEMPLATES.required_features(group, direction)
    features = {name: draw(value_strategy(name)) for name in names}
    if features.keys() >= {"active_seats", "licensed_seats"}:
        seats, active = features["licensed_seats"], features["active_seats"]
        features |= {"seat_utilization": active / seats, "seat_headroom": seats - active}
    for part, total in PARTS.items():
        if part in features:
            features[total] = max(features[part], features[total])
    for name in draw(st.sets(st.sampled_from(names), max_size=2)):
        features[name] = None
    return dict.fromkeys(FEATURE_NAMES) | features


def value_strategy(name: str) -> st.SearchStrategy[Any]:
    return next(strategy for pattern, strategy in KINDS if re.match(pattern, name))


@every_template
@given(st.data())
@settings(max_examples=40)
def test_texts_are_well_formed_for_all_numbers(
    group: str, direction: templates.Direction, data: st.DataObject
) -> None:
    text = DEFAULT_TEMPLATES.render(group, data.draw(account_features(group, direction)), direction)

    assert not text or text[0].isupper() or text[0].isdigit(), text
    assert text == text.strip(), text
    assert not re.search(r"\bnan\b|None(?! of)|unknown|\binf|[{}\n]|  | ,|,,|\d{4}-\d", text), text
    assert not re.search(r"(?<!\w)-|\.0\b", text), text
    assert not re.search(r"(?<![\d,.])1 [a-z-]*( ?people|[a-z]{3,}s)\b", text), text
    assert not re.search(r"(?<![\d,.])0 [a-z]", text), text


@every_template
@given(st.data())
@settings(max_examples=40)
def test_every_number_in_a_text_is_a_feature_value(
    group: str, direction: templates.Direction, data: st.DataObject
) -> None:
    features = data.draw(account_features(group, direction))

    text = DEFAULT_TEMPLATES.render(group, features, direction)

    source = reason_templates.load_default()[group][direction]
    template_text = re.sub(r"{{.*?}}|{%.*?%}", " ", source, flags=re.DOTALL)
    allowed = set(NUMBER.findall(template_text)) | {"30", "60"}  # arguments of the macros
    assert set(NUMBER.findall(text)) <= allowed | possible_numbers(group, direction, features), text


CONTRADICTIONS: dict[str, str] = {
    "increases": r"\b(down|no|none|nobody|not|free|inactive)\b|\bonly (?!seat is active)",
    "decreases": r"\b(up|more than|all|larger|already)\b",
}


CHANGE = rf"(?:Only |All )?({NUMBER.pattern}).*, (up|down) from ({NUMBER.pattern})"


@every_template
@given(st.data())
@settings(max_examples=40)
def test_a_reason_never_contradicts_its_direction(
    group: str, direction: templates.Direction, data: st.DataObject
) -> None:
    text = DEFAULT_TEMPLATES.render(group, data.draw(account_features(group, direction)), direction)

    text_with_zero = text.replace("up from none", "up from 0")
    assert not re.search(CONTRADICTIONS[direction], text_with_zero, re.IGNORECASE), text
    if change := re.match(CHANGE, text_with_zero):
        current, previous = parse_number(change[1]), parse_number(change[3])
        assert (current > previous) == (change[2] == "up"), text


@every_template
def test_unknown_features_give_no_text(group: str, direction: templates.Direction) -> None:
    assert not DEFAULT_TEMPLATES.render(group, dict.fromkeys(FEATURE_NAMES), direction)


def possible_numbers(
    group: str, direction: templates.Direction, features: dict[str, float | None]
) -> set[str]:
    """Return every feature value of a text in each possible format."""
    numbers = set()
    for name in DEFAULT_TEMPLATES.required_features(group, direction):
        if (value := features[name]) is None:
            continue
        numbers |= {
            formatted.removeprefix("-")
            for formatted in (
                number_format.format_number(value),
                number_format.format_percent(value),
                number_format.format_percent(1 - value),
            )
        }
        numbers |= {NUMBER.findall(number_format.format_duration(abs(value)))[0]}
    return numbers


def parse_number(text: str) -> float:
    return float(text.replace(",", "").removesuffix("%"))


def seats(active: int, licensed: int, previous: int) -> dict[str, float]:
    """Return the features of an account's seats, now and three months ago."""
    return {
        "active_seats": active,
        "licensed_seats": licensed,
        "active_seats_90d_ago": previous,
        "seat_utilization": active / licensed,
        "seat_headroom": licensed - active,
    }


# (group, direction) → text → features; no text is expected of the features in NO_TEXTS.
TEXTS: dict[tuple[str, templates.Direction], dict[str, dict[str, float]]] = {
    ("seats", "increases"): {
        "9 of 10 seats active, up from 6 three months ago": seats(9, 10, 6),
        "All 10 seats active, up from 6 three months ago": seats(10, 10, 6),
        "All 10 seats active": seats(10, 10, 12),
        "12 people active on 10 seats": seats(12, 10, 12),
        "32 people active on 29 seats": seats(32, 29, 33),
        "2 people active on 1 seat": seats(2, 1, 2),
        "The only seat is active": seats(1, 1, 1),
        "Both seats active, up from none three months ago": seats(2, 2, 0),
        "9 of 10 seats active": seats(9, 10, 9),
        "People with a login up by 12% of the seats in three months": {
            "provisioned_per_seat_change_90d": 0.124
        },
        "12 people with a login, for 10 seats": {"provisioned_users": 12, "licensed_seats": 10},
    },
    ("seats", "decreases"): {
        "Only 4 of 10 seats active, down from 6 three months ago": seats(4, 10, 6),
        "Only 12 of 40 seats active": seats(12, 40, 12),
        "None of the 10 seats is active": seats(0, 10, 3),
        "32 of 29 seats active, down from 33 three months ago": seats(32, 29, 33),
        "4 of 10 seats still free": seats(6, 10, 6),
        "People with a login down by 12% of the seats in three months": {
            "provisioned_per_seat_change_90d": -0.124
        },
    },
    ("newcomers", "increases"): {
        "1 new person in the last 30 days": {"new_users_30d": 1},
        "5 new people in the last 30 days, up from 2 in the 30 before": {
            "new_users_30d": 5,
            "new_users_previous_30d": 2,
        },
    },
    ("newcomers", "decreases"): {
        "Nobody new for 2 months": {"days_since_new_user": 74},
        "Nobody new for 31 days": {"days_since_new_user": 31},
    },
    ("usage", "increases"): {
        "93% of the monthly usage limit used, all of it in 12 days at this pace": {
            "usage_ratio": 0.934,
            "usage_days_to_limit": 12.4,
        },
        "104% of the monthly usage limit used, up from 97% three months ago": {
            "usage_ratio": 1.04,
            "usage_ratio_90d_ago": 0.97,
            "usage_days_to_limit": 0,
        },
    },
    ("usage", "decreases"): {
        "Only 12% of the monthly usage limit used": {"usage_ratio": 0.12},
        "34% of the monthly usage limit still free": {"usage_ratio": 0.66},
    },
    ("departments", "increases"): {
        "2 departments active, 1 of them new in the last 90 days": {
            "departments_90d": 2,
            "departments_new_90d": 1,
        },
        "First login given to one more department 12 days ago": {
            "departments_90d": 1,
            "departments_new_90d": 0,
            "days_since_new_department": 12,
        },
    },
    ("departments", "decreases"): {"Only one department active": {"departments_90d": 1}},
    ("terms", "increases"): {"Renews in 1 day": {"days_to_renewal": 1}},
    ("terms", "decreases"): {"Cut its seats 45 days ago": {"days_since_seat_cut": 45}},
    ("activity", "increases"): {
        "1 session per active user in the last 30 days, up from none three months ago": {
            "sessions_per_user_30d": 1.0,
            "sessions_per_user_90d_ago": 0.04,
        },
    },
}
ONE_OF_TWO_DEPARTMENTS = {
    "departments_90d": 2,
    "departments_new_90d": 0,
    "days_since_new_department": 12,
}
NO_TEXTS: list[tuple[str, templates.Direction, dict[str, float]]] = [
    ("seats", "increases", seats(4, 10, 6)),
    ("seats", "decreases", seats(9, 10, 9)),
    ("departments", "decreases", ONE_OF_TWO_DEPARTMENTS),
    ("terms", "increases", {"days_to_renewal": -4}),
    ("calendar", "increases", {"days_to_quarter_end": 4}),
]


@pytest.mark.parametrize(
    ("group", "direction", "features", "text"),
    [
        (*group_direction, features, text)
        for group_direction, texts in TEXTS.items()
        for text, features in texts.items()
    ]
    + [(*case, "") for case in NO_TEXTS],
)
def test_texts_match_their_numbers(
    group: str, direction: templates.Direction, features: dict[str, float], text: str
) -> None:
    rendered = DEFAULT_TEMPLATES.render(group, dict.fromkeys(FEATURE_NAMES) | features, direction)

    assert rendered == text


@given(st.floats(-1e7, 1e7))
@example(0.9951)
@example(1.0049)
@example(0.0049)
def test_shares_show_0_and_100_percent_only_if_exact(share: float) -> None:
    text_with_zero = number_format.format_percent(share).removeprefix("-")

    assert (text_with_zero == "0%") == (share == 0)
    assert (text_with_zero == "100%") == (abs(share) == 1)
    assert float(text_with_zero[:-1].replace(",", "")) == pytest.approx(abs(share) * 100, abs=0.51)
