"""`expansion check` names the columns that look like the outcome, and no others."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from data.config.settings import Outcome, Settings
from serving.cli import output
from training.data_quality import leakage, leakage_score

pytestmark = pytest.mark.long

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)


def told(values: Any, expanded: list[bool], accounts: list[str] | None = None) -> set[str]:
    """The columns that `telltales` names, of accounts that are all different unless given."""
    names = accounts or [f"acc_{number:04}" for number in range(len(expanded))]
    columns = values if isinstance(values, dict) else {"value": values}
    rows = pl.DataFrame({"account_id": names, leakage_score.LABEL_COLUMN: expanded, **columns})
    return {found.column for found in leakage_score.find_implausible_columns(rows)}


def some(positives: int, of: int = 400) -> list[bool]:
    """So many expansions, spread over the accounts."""
    return [number * positives % of < positives for number in range(of)]


FORTY = some(40)
DAY = date(2026, 1, 1)


@pytest.mark.parametrize(
    "values",
    [
        ["expanded" if yes else "small" for yes in FORTY],
        FORTY,
        [90 + n % 9 if yes else 50 + n % 9 for n, yes in enumerate(FORTY)],
        [-1.5 if yes else n % 9 for n, yes in enumerate(FORTY)],
        [DAY + timedelta(days=n % 9) if yes else None for n, yes in enumerate(FORTY)],
        [20 + n % 2 if yes else n % 60 + (n % 60 > 19) * 3 for n, yes in enumerate(FORTY)],
    ],
    ids=["word", "truth value", "high number", "low number", "date or none", "band in the middle"],
)
def test_a_column_that_was_written_by_the_sale_is_named(values: list[Any]) -> None:
    assert told(values, FORTY) == {"value"}


@pytest.mark.parametrize(
    "values",
    [
        [f"Company {n}" for n in range(400)],
        list(range(400)),
        ["only value"] * 400,
        [None] * 400,
        [[1, 2]] * 400,
        np.random.default_rng(1).normal(size=400).tolist(),
        [float("nan")] * 400,
    ],
    ids=["names", "numbers of rows", "constant", "missing", "lists", "noise", "not a number"],
)
def test_names_ids_constants_and_noise_are_not_named(values: list[Any]) -> None:
    assert told(values, FORTY) == set()


def test_an_honest_signal_is_not_named() -> None:
    rng = np.random.default_rng(2)
    strong = rng.normal(size=400) + 1.8 * np.array(FORTY)  # an AUROC of .90

    assert told(strong.tolist(), FORTY) == set()


@pytest.mark.parametrize(("positives", "named"), [(9, set()), (10, {"value"})])
def test_of_fewer_than_ten_expansions_nothing_is_said(positives: int, named: set[str]) -> None:
    expanded = some(positives)

    assert told(expanded, expanded) == named


@pytest.mark.parametrize(("of", "named"), [(9, set()), (10, {"value"})])
def test_the_expansions_are_those_of_ten_accounts(of: int, named: set[str]) -> None:
    accounts = [
        f"acc_{number // 10 % of if yes else number:04}" for number, yes in enumerate(FORTY)
    ]

    assert told(FORTY, FORTY, accounts) == named


def test_a_leak_of_most_expansions_is_named_where_expansions_are_rare() -> None:
    partly = [yes and number % 40 > 0 for number, yes in enumerate(FORTY)]
    noise = np.random.default_rng(3).uniform(size=400)
    values = (noise + np.array(partly)).tolist()

    assert told(values, FORTY) == {"value"}


def test_past_as_ofs_are_complete_apart_and_at_most_six() -> None:
    settings = Settings(outcome=Outcome(horizon_days=60, booking_lag_days=10, revert_days=7))

    chosen = leakage.sample_as_of_dates(AS_OF, AS_OF - timedelta(days=240), settings)
    many = leakage.sample_as_of_dates(AS_OF, AS_OF - timedelta(days=9999), settings)

    assert [(AS_OF - moment).days for moment in chosen] == [90, 150, 210]
    assert len(many) == 6


def test_a_suspicious_column_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    column = {
        "table": "accounts",
        "column": "tag[1]",
        "auroc": 0.987,
        "low": 0.97,
        "average_precision": 0.9,
        "positives": 1041,
        "advice": "leave it out",
    }

    output.print_leakage_warning(column)

    assert " ".join(capsys.readouterr().out.split()) == (
        "! accounts.tag[1] looks like the outcome: alone it tells 1,041 expansions from the rest"
        " with an AUROC of 0.99; leave it out."
    )


# ---- At the command line


def test_an_attribute_that_was_set_by_the_sale_is_named(tiny: Any) -> None:
    buyers = grow(tiny, lambda _, bought: "Expanded Ltd" if bought else "Plain Ltd")

    (found,) = tiny.ask("check")["suspicious"]

    assert (found["table"], found["column"]) == ("accounts", "name")
    assert found["auroc"] > 0.95
    assert found["positives"] == len(buyers)
    assert "accounts.name looks like the outcome" in " ".join(tiny.run("check").stdout.split())


def test_names_and_ids_are_not_named_and_a_second_look_says_the_same(tiny: Any) -> None:
    grow(tiny, lambda name, _: f"{name} Ltd")

    first, second = tiny.ask("check"), tiny.ask("check")

    assert first["suspicious"] == []
    assert first == second


def grow(tiny: Any, named: Callable[[str, bool], str]) -> list[str]:
    """Give the tiny company forty accounts, of which twelve buy more seats within the year."""
    names = [f"acc-{number:02}" for number in range(40)]
    buyers = names[::3][:12]
    tiny.write("accounts", [f"{n},2023-12-01,{named(n, n in buyers)}" for n in names])
    first = [f"{name},2023-12-01,10,team,100,paid" for name in names]
    more = [
        f"{name},2024-{7 + number % 4:02}-{5 + number:02},20,team,200,paid"
        for number, name in enumerate(buyers)
    ]
    tiny.write("subscriptions", [*first, *more])
    days = [datetime(2024, 1, 1, 9, tzinfo=UTC) + timedelta(days=10 * step) for step in range(41)]
    use = [f"{n},{n}-1,{day:%Y-%m-%dT%H:%M:%SZ},view,reports" for n in names for day in days]
    tiny.write("events", use)
    return buyers
