"""`expansion check` reports columns that leak the label, and no others."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from data.config.settings import OutcomeConfig
from serving.cli.output import data_report
from training.data_quality import leakage

pytestmark = pytest.mark.long

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)


def leaky_columns(values: Any, expanded: list[bool], accounts: list[str] | None = None) -> set[str]:
    """Return the implausible columns, with one row per account by default."""
    names = accounts or [f"acc_{number:04}" for number in range(len(expanded))]
    columns = values if isinstance(values, dict) else {"value": values}
    rows = pl.DataFrame({"account_id": names, leakage.LABEL_COLUMN: expanded, **columns})
    return {finding["column"] for finding in leakage.find_implausible_columns(rows)}


def spread_labels(positives: int, total: int = 400) -> list[bool]:
    """Spread a number of positive labels over the accounts."""
    return [number * positives % total < positives for number in range(total)]


FORTY_LABELS = spread_labels(40)
DAY = date(2026, 1, 1)


@pytest.mark.parametrize(
    "values",
    [
        ["expanded" if is_positive else "small" for is_positive in FORTY_LABELS],
        FORTY_LABELS,
        [
            90 + number % 9 if is_positive else 50 + number % 9
            for number, is_positive in enumerate(FORTY_LABELS)
        ],
        [-1.5 if is_positive else number % 9 for number, is_positive in enumerate(FORTY_LABELS)],
        [
            DAY + timedelta(days=number % 9) if is_positive else None
            for number, is_positive in enumerate(FORTY_LABELS)
        ],
        [
            20 + number % 2 if is_positive else number % 60 + (number % 60 > 19) * 3
            for number, is_positive in enumerate(FORTY_LABELS)
        ],
    ],
    ids=["word", "truth value", "high number", "low number", "date or none", "band in the middle"],
)
def test_a_column_written_by_the_sale_is_found(values: list[Any]) -> None:
    assert leaky_columns(values, FORTY_LABELS) == {"value"}


@pytest.mark.parametrize(
    "values",
    [
        [f"Company {number}" for number in range(400)],
        list(range(400)),
        ["only value"] * 400,
        [None] * 400,
        [[1, 2]] * 400,
        np.random.default_rng(1).normal(size=400).tolist(),
        [float("nan")] * 400,
    ],
    ids=["names", "numbers of rows", "constant", "missing", "lists", "noise", "not a number"],
)
def test_names_ids_constants_and_noise_are_not_found(values: list[Any]) -> None:
    assert leaky_columns(values, FORTY_LABELS) == set()


def test_a_legitimate_predictor_is_not_found() -> None:
    rng = np.random.default_rng(2)
    strong = rng.normal(size=400) + 1.8 * np.array(FORTY_LABELS)  # an AUROC of .90

    assert leaky_columns(strong.tolist(), FORTY_LABELS) == set()


@pytest.mark.parametrize(("positives", "expected"), [(9, set()), (10, {"value"})])
def test_fewer_than_ten_expansions_give_no_finding(positives: int, expected: set[str]) -> None:
    expanded = spread_labels(positives)

    assert leaky_columns(expanded, expanded) == expected


@pytest.mark.parametrize(("total", "expected"), [(9, set()), (10, {"value"})])
def test_ten_expanding_accounts_are_required(total: int, expected: set[str]) -> None:
    accounts = [
        f"acc_{number // 10 % total if is_positive else number:04}"
        for number, is_positive in enumerate(FORTY_LABELS)
    ]

    assert leaky_columns(FORTY_LABELS, FORTY_LABELS, accounts) == expected


def test_a_partial_leak_is_found_if_expansions_are_rare() -> None:
    partial_leak = [
        is_positive and number % 40 > 0 for number, is_positive in enumerate(FORTY_LABELS)
    ]
    noise = np.random.default_rng(3).uniform(size=400)
    values = (noise + np.array(partial_leak)).tolist()

    assert leaky_columns(values, FORTY_LABELS) == {"value"}


def test_sampled_dates_are_complete_spaced_and_at_most_six() -> None:
    rules = OutcomeConfig(horizon_days=60, booking_lag_days=10, revert_days=7)

    sampled = leakage.sample_as_of_dates(AS_OF, AS_OF - timedelta(days=240), rules)
    all_sampled = leakage.sample_as_of_dates(AS_OF, AS_OF - timedelta(days=9999), rules)

    assert [(AS_OF - sample).days for sample in sampled] == [90, 150, 210]
    assert len(all_sampled) == 6


def test_a_leaky_column_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    column = {
        "table": "accounts",
        "column": "tag[1]",
        "auroc": 0.987,
        "low": 0.97,
        "average_precision": 0.9,
        "positives": 1041,
        "advice": "leave it out",
    }

    data_report.print_leakage_warning(column)

    assert " ".join(capsys.readouterr().out.split()) == (
        "! accounts.tag[1] may leak the label: alone it separates 1,041 expansions from the rest"
        " with an AUROC of 0.99; leave it out."
    )


def test_an_attribute_set_by_the_sale_is_found(tiny: Any) -> None:
    buyers = add_expanding_accounts(
        tiny, lambda _, bought: "Expanded Ltd" if bought else "Plain Ltd"
    )

    (finding,) = tiny.run_json("check")["leakage"]

    assert (finding["table"], finding["column"]) == ("accounts", "name")
    assert finding["auroc"] > 0.95
    assert finding["positives"] == len(buyers)
    assert "accounts.name may leak the label" in " ".join(tiny.run("check").stdout.split())


def test_names_and_ids_are_not_found_and_reports_repeat(tiny: Any) -> None:
    add_expanding_accounts(tiny, lambda name, _: f"{name} Ltd")

    first_report, second_report = tiny.run_json("check"), tiny.run_json("check")

    assert first_report["leakage"] == []
    assert first_report == second_report


def add_expanding_accounts(tiny: Any, make_name: Callable[[str, bool], str]) -> list[str]:
    """Add forty accounts to the company, twelve of which expand within the year."""
    names = [f"acc-{number:02}" for number in range(40)]
    buyers = names[::3][:12]
    tiny.write(
        "accounts",
        [f"{number},2023-12-01,{make_name(number, number in buyers)}" for number in names],
    )
    first = [f"{name},2023-12-01,10,team,100,paid" for name in names]
    expansions = [
        f"{name},2024-{7 + number % 4:02}-{5 + number:02},20,team,200,paid"
        for number, name in enumerate(buyers)
    ]
    tiny.write("subscriptions", [*first, *expansions])
    days = [datetime(2024, 1, 1, 9, tzinfo=UTC) + timedelta(days=10 * step) for step in range(41)]
    usage = [
        f"{number},{number}-1,{day:%Y-%m-%dT%H:%M:%SZ},view,reports"
        for number in names
        for day in days
    ]
    tiny.write("events", usage)
    return buyers
