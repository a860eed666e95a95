"""Account × as-of: the table that training and the weekly job both read.

A weekly run is the same function with one as-of, so that training and serving cannot differ.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

import polars as pl

from data.config.settings import MONTH_DAYS, AdoptionConfig, Settings
from data.ingest.table_loader import Tables
from features import peer_percentiles, subscription_timeline
from features.activity.daily_tables import Activity
from features.catalogue import FEATURE_NAMES, FEATURES
from features.catalogue import peers as among_peers
from features.catalogue.feature import Feature
from features.panel import account_aggregates, user_activity
from features.panel.monthly import aggregate_monthly
from features.panel.user_activity import DETAIL_MONTHS

__all__ = ["Panel", "ReferencePopulation", "build_panel"]

SNAPSHOT_KEYS: Final = ("account_id", "as_of")
_NO_FEATURE: Final = "\0"  # the name of none: no name at all would mean those that few use


@dataclass(frozen=True)
class Panel:
    """Snapshots and the accounts that have none.

    Attributes
    ----------
    snapshots : polars.DataFrame
        One row per eligible account and as-of, ordered by as-of and account: ``account_id``,
        ``as_of`` (Date, 00:00 UTC), and a Float64 column per feature of the catalogue.
    excluded : polars.DataFrame
        ``account_id``, ``as_of``, ``reason`` of every account that existed and is not eligible.
    peers : polars.DataFrame
        The quantiles by which accounts were placed among their peers, per as-of, plan and size
        (:func:`features.peer_percentiles.peer_quantiles`): to place them by between two runs.
    months : polars.DataFrame
        Where asked for, the months behind the snapshots, for charts: ``account_id``, ``as_of``,
        and ``active_seats_mK``, ``seats_mK``, ``api_calls_mK`` of the 30-day month K before the
        as-of, null where the log does not reach back; ``plan``, ``usage_limit``, ``mrr``,
        ``renewal`` now.
    """

    snapshots: pl.DataFrame
    excluded: pl.DataFrame
    peers: pl.DataFrame
    months: pl.DataFrame = field(default_factory=pl.DataFrame)

    def __repr__(self) -> str:
        as_ofs = self.snapshots["as_of"]
        span = "none" if as_ofs.is_empty() else f"{as_ofs[0]} to {as_ofs[-1]}"
        return (
            f"Panel({self.snapshots.height:,} snapshots of"
            f" {self.snapshots['account_id'].n_unique():,} accounts at {as_ofs.n_unique()} as-ofs,"
            f" {span}; {len(FEATURE_NAMES)} features;"
            f" {self.excluded.height:,} excluded)"
        )


@dataclass(frozen=True, eq=False)
class ReferencePopulation:
    """What the features of a few accounts ask of all others: see :mod:`features.online`.

    Attributes
    ----------
    log_first_day : datetime.date
        The first day of the log, as known.
    advanced : tuple of str
        The advanced features; nothing else counts as such.
    peers : polars.DataFrame
        ``peers`` of a :class:`Panel` of all accounts, of one as-of.
    """

    log_first_day: date
    advanced: tuple[str, ...]
    peers: pl.DataFrame


def build_panel(
    log: Activity,
    tables: Tables,
    as_ofs: Sequence[datetime],
    settings: Settings,
    *,
    months: bool = False,
    reference: ReferencePopulation | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Panel:
    """Compute every feature of every eligible account at each as-of.

    Parameters
    ----------
    log : features.activity.daily_tables.Activity
        The daily tables of the log.
    tables : data.ingest.table_loader.Tables
        The tables under contract; the log itself comes in as ``log``.
    as_ofs : sequence of datetime.datetime
        00:00 UTC; those a multiple of 30 days apart share one fold of the log.
    settings : data.config.settings.Settings
        Seat window, eligibility, order of plans, reliability of ``known_at``, stable attributes.
    months : bool
        Whether the months behind the snapshots are kept, too.
    reference : Around, optional
        Where log and tables hold a few accounts only, what is asked of all others.
    progress : callable, optional
        Told as-ofs done and as-ofs in all.

    Returns
    -------
    Panel
        The snapshots, and who was excluded and why.
    """
    contracts = subscription_timeline.build_timeline(
        tables.subscriptions.rows,
        plans=settings.outcome.plans,
        reliable_from=settings.tables.known_at_reliable_from,
    )
    seat_days = settings.seats.window_days
    people = user_activity.prepare_users(
        tables.users.rows,
        tables.accounts.rows,
        settings.tables.time_invariant_attributes,
        settings.tables.known_at_reliable_from,
    )
    made: dict[datetime, tuple[pl.DataFrame, ...]] = {}
    for phase in _group_by_phase(as_ofs):
        between = (phase[-1] - phase[0]).days // MONTH_DAYS
        grid = aggregate_monthly(
            log,
            phase[-1],
            months=between + account_aggregates.LOOKBACK_MONTHS + seat_days // MONTH_DAYS,
            detail_months=between + len(DETAIL_MONTHS),
        )
        for as_of in phase:
            counted = account_aggregates.aggregate_accounts(
                grid,
                contracts,
                people,
                as_of,
                seat_months=seat_days // MONTH_DAYS,
                adoption=_resolve_adoption(settings, reference),
                log_first_day=reference.log_first_day if reference else None,
            )
            verdict = assign_exclusion_reasons(
                tables.accounts.rows, counted, as_of, settings.eligibility.silent_days
            )
            made[as_of] = _build_as_of(
                counted, verdict, seat_days, months=months, reference=reference
            )
            if progress:
                progress(len(made), len(as_ofs))
    return Panel(
        *(pl.concat(parts) for parts in zip(*(made[at] for at in sorted(made)), strict=True))
    )


def _build_as_of(
    aggregates: pl.DataFrame,
    verdicts: pl.DataFrame,
    seat_days: int,
    *,
    months: bool,
    reference: ReferencePopulation | None,
) -> tuple[pl.DataFrame, ...]:
    """The snapshots of one as-of, who is excluded, the quantiles of the peers, and the months."""
    fit = verdicts.filter(pl.col("reason").is_null()).select("account_id")
    eligible = aggregates.join(fit, on="account_id", how="semi")
    valued = _compute_features(eligible, seat_days)
    quantiles = _get_peer_quantiles(valued, reference)
    excluded = verdicts.filter(pl.col("reason").is_not_null())
    placed = _add_peer_features(valued, quantiles).sort("account_id")
    behind = _select_months(eligible, seat_days) if months else pl.DataFrame()
    return placed, excluded.sort("account_id"), quantiles, behind


def _get_peer_quantiles(
    valued: pl.DataFrame, reference: ReferencePopulation | None
) -> pl.DataFrame:
    """The quantiles of the peers; those of an earlier day are taken for today's."""
    if reference is None:
        return peer_percentiles.peer_quantiles(
            valued, among_peers.RANKED_FEATURES, among_peers.CEILING_FEATURES
        )
    day = pl.lit(valued["as_of"].first(), pl.Date).alias("as_of")
    return reference.peers.with_columns(day)


def _resolve_adoption(settings: Settings, reference: ReferencePopulation | None) -> AdoptionConfig:
    if reference is None:
        return settings.adoption
    return settings.adoption.model_copy(update={"advanced": reference.advanced or (_NO_FEATURE,)})


def _select_months(eligible: pl.DataFrame, seat_days: int) -> pl.DataFrame:
    """The months behind the snapshots; one that began before the log did is missing."""

    def told(name: str, window_days: int) -> list[pl.Expr]:
        return [
            pl.when(pl.col("log_days") >= back * MONTH_DAYS + window_days)
            .then(pl.col(f"{name}_m{back}"))
            .alias(f"{name}_m{back}")
            for back in range(account_aggregates.LOOKBACK_MONTHS + 1)
        ]

    return eligible.select(
        *SNAPSHOT_KEYS,
        *("plan", "usage_limit", "mrr", "renewal"),
        *told("active_seats", seat_days),
        *told("api_calls", MONTH_DAYS),
        *(f"seats_m{back}" for back in range(account_aggregates.LOOKBACK_MONTHS + 1)),
    ).sort("account_id")


def _group_by_phase(as_ofs: Sequence[datetime]) -> list[list[datetime]]:
    """Group as-ofs that lie whole months apart, each group in rising order."""
    phases: dict[int, list[datetime]] = {}
    for as_of in sorted(set(as_ofs)):
        phases.setdefault(as_of.toordinal() % MONTH_DAYS, []).append(as_of)
    return list(phases.values())


def assign_exclusion_reasons(
    accounts: pl.DataFrame, aggregates: pl.DataFrame, as_of: datetime, silent_days: int
) -> pl.DataFrame:
    """Say of every account that exists why it is not eligible, or null."""
    silent = pl.col("since_event_months").fill_null(10**6) >= silent_days // MONTH_DAYS
    return (
        accounts.filter(pl.col("created_date") < as_of)
        .select("account_id")
        .join(aggregates, on="account_id", how="left")
        .select(
            "account_id",
            as_of=pl.lit(as_of.date()),
            reason=pl.when(pl.col("paid").is_null())
            .then(pl.lit("no contract in force"))
            .when(pl.col("trial"))
            .then(pl.lit("on trial"))
            .when(~pl.col("paid"))
            .then(pl.lit("contract ended"))
            .when(silent)
            .then(pl.lit(f"no event in {silent_days} days")),
        )
    )


def _compute_features(aggregates: pl.DataFrame, seat_days: int) -> pl.DataFrame:
    """Turn counts into features, all but the places among peers; beside them, what makes a peer."""
    own = [_feature_expr(feature, seat_days) for feature in FEATURES if feature.family != "peers"]
    people = pl.coalesce(pl.when(pl.col("seats") > 0).then("seats"), "people_90d")
    return aggregates.select(*SNAPSHOT_KEYS, "plan", peer_percentiles.size_band(people), *own)


def _feature_expr(feature: Feature, seat_days: int) -> pl.Expr:
    """A feature's value; a window that starts before the log does is missing."""
    value = feature.value.cast(pl.Float64)
    if feature.fill_value is not None:
        value = value.fill_null(feature.fill_value)
    whole = pl.col("log_days") >= feature.lookback_days(seat_days)
    return pl.when(whole & value.is_finite()).then(value).alias(feature.name)


def _add_peer_features(valued: pl.DataFrame, quantiles: pl.DataFrame) -> pl.DataFrame:
    """Place each snapshot among its peers."""
    places = [f.value.alias(f.name) for f in FEATURES if f.family == "peers"]
    return (
        peer_percentiles.join_quantiles(valued, quantiles)
        .with_columns(places)
        .select(*SNAPSHOT_KEYS, *FEATURE_NAMES)
    )
