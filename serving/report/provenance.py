"""What an evaluation left out, how its figures are defined, and what it was made from."""

from importlib.metadata import version
from typing import Final

import polars as pl

from data.settings import Settings
from serving.report.page import Note, Part, Section, Table, Terms
from serving.report.paint import plain
from serving.report.words import MEANINGS, title
from training import fingerprint, team
from training.evaluate import Evaluation
from training.pipeline import History

__all__ = ["left_out", "made_from", "method"]

# All that decides what is learned and how it is judged; where tables lie may hold secrets.
_SECTIONS: Final = (
    "outcome",
    "evaluation",
    "team",
    "eligibility",
    "model",
    "seats",
    "adoption",
    "roles",
)
_LIBRARIES: Final = ("lightgbm", "scikit-learn", "polars", "numpy")


def left_out(walked: Evaluation, past: History) -> Section:
    """Count what no figure is computed on, by reason."""
    parts: list[Part] = [_excluded(past), _unknown(walked)]
    if walked.skipped:
        rows = [[str(cut), plain(reason, 300)] for cut, reason in walked.skipped.items()]
        words = frozenset({0, 1})
        parts.append(Table("Cuts at which no model was trained", ["cut", "reason"], rows, words))
    else:
        parts.append(Note("No cut was skipped."))
    parts.append(_quarantined(past))
    return Section("left-out", "What was left out, and why", parts)


def method(past: History, settings: Settings) -> Section:
    """Say how it was measured, in plain words."""
    rules, outcome = settings.evaluation, settings.outcome
    waits = outcome.booking_lag_days + outcome.revert_days
    steps = [
        (
            "The question",
            f"Will this account expand within {outcome.horizon_days} days of the as-of? It is asked"
            f" of every eligible account, {_how_often(settings)}, with only what was"
            " known before that day.",
        ),
        (
            "Expansion",
            "A rise of seats, usage limit or plan above their level at the as-of, or of recurring"
            " revenue where nothing else is counted. Not: a price rise, a flat renewal, steps of a"
            " ramp that was signed before, a merger, a correction, a first purchase, or a rise"
            f" undone within {outcome.revert_days} days.",
        ),
        (
            "Eligible",
            "Under a paid contract that has not ended, with an event in the last"
            f" {settings.eligibility.silent_days} days.",
        ),
        (
            "Walk forward",
            f"Every {rules.refit_months} months a model is trained on what was known at that cut,"
            " and judged on the as-ofs from there to the next cut. An outcome is known at a cut"
            f" only when its whole window and {waits} further days for late bookings and undone"
            " rises were over by then.",
        ),
        (
            "Calibration",
            "The map from score to probability at a cut is fitted on what earlier cuts' models had"
            " said, where the outcome had become known by then.",
        ),
        (
            "Intervals",
            f"90%: {rules.resamples} draws, with replacement, of whole accounts, and of whole cuts"
            " where there are four or more. Rows of one account resemble each other, and so do"
            " those of one cut.",
        ),
        (
            "Capacity",
            f"{plain(_capacity(past, settings), 200)} All of them are worked; equal scores at the"
            " end of the list count by their average.",
        ),
        (
            "What it is not",
            "Nothing here says what a conversation causes: accounts expanded without this list, and"
            " the past lists that a team did work with are not in it.",
        ),
    ]
    figures = [(title(name), meaning) for name, meaning in MEANINGS.items()]
    return Section(
        "method", "How it was measured", [Terms(steps), Terms(figures, "What each figure means")]
    )


def made_from(past: History, settings: Settings) -> Section:
    """Name the data, the settings and the code."""
    as_ofs = sorted(past.panel.snapshots["as_of"].unique())
    window = [
        ("As of", f"{past.as_of:%Y-%m-%d}, 00:00 UTC"),
        (
            "Log",
            f"{past.activity.events:,} events, {past.activity.first_day} to"
            f" {past.activity.last_day}",
        ),
        (
            "Snapshots",
            f"{past.panel.snapshots.height:,} of"
            f" {past.panel.snapshots['account_id'].n_unique():,} accounts at"
            f" {len(as_ofs)} as-ofs, {as_ofs[0]} to {as_ofs[-1]}",
        ),
    ]
    tables = Table(
        "The tables as they were read: the same digest means the same rows",
        ["table", "rows", "digest"],
        [
            [each.name, f"{each.rows:,}", each.digest]
            for each in fingerprint.of(past.tables, past.activity)
        ],
    )
    code = fingerprint.code()
    versions = [("expansion-propensity", f"{code['version']}, sources {code['sources']}")]
    versions += [(name, version(name)) for name in _LIBRARIES]
    chosen = [
        (f"{section}.{name}", plain(_shown(value), 400))
        for section in _SECTIONS
        for name, value in getattr(settings, section).model_dump(mode="json").items()
    ]
    return Section(
        "made-from",
        "What it was made from",
        [Terms(window), tables, Terms(chosen, "Settings"), Terms(versions, "Versions")],
    )


def _how_often(settings: Settings) -> str:
    grids = settings.model.weekly_anchors
    return "every 30 days" if grids == 1 else f"every 30 days on each of {grids} grids"


def _capacity(past: History, settings: Settings) -> str:
    why = team.capacity(settings, past.tables.accounts.rows).why
    return why[:1].upper() + why[1:]


def _excluded(past: History) -> Table | Note:
    excluded, eligible = past.panel.excluded, past.panel.snapshots.height
    if "reason" not in excluded.columns or excluded.is_empty():
        return Note("Every account was eligible at every as-of.")
    counts = excluded.group_by("reason").agg(
        rows=pl.len(), accounts=pl.col("account_id").n_unique()
    )
    rows = [
        [plain(row["reason"]), f"{row['rows']:,}", f"{row['accounts']:,}"]
        for row in counts.sort("rows", "reason", descending=[True, False]).rows(named=True)
    ]
    caption = f"Accounts that were not eligible, beside {eligible:,} snapshots that were"
    return Table(caption, ["reason", "account × as-of", "accounts"], rows)


def _unknown(walked: Evaluation) -> Note:
    unknown = walked.predictions["expanded"].null_count()
    return Note(
        f"Of {walked.predictions.height:,} predictions {unknown:,} have no known outcome: their"
        " window was not over at the end of the history, or a rise in it cannot be told from a"
        " price change."
    )


def _quarantined(past: History) -> Table | Note:
    found = {"events": past.activity.quarantine} | {
        name: getattr(past.tables, name).quarantine
        for name in ("subscriptions", "accounts", "users")
    }
    rows = [
        [table, plain(reason, 120), f"{count:,}"]
        for table, reasons in found.items()
        for reason, count in reasons.items()
        if count
    ]
    if not rows:
        return Note("No row was left out on arrival.")
    head = ["table", "reason", "rows"]
    return Table("Rows left out on arrival", head, rows, words=frozenset({0, 1}))


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
