"""Panel of account × as-of snapshots, read by training and the weekly job.

A weekly run is the same function with one as-of, so that training and serving cannot differ.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

import polars as pl

from data.config.settings import MONTH_DAYS, Settings
from data.ingest.table_loader import Tables
from features import peer_percentiles, subscription_timeline
from features.activity.daily_tables import Activity
from features.catalogue import FEATURE_NAMES, FEATURES
from features.catalogue import peers as among_peers
from features.catalogue.feature import Feature
from features.panel import account_aggregates, eligibility, user_activity
from features.panel.monthly import aggregate_monthly
from features.panel.user_activity import DETAIL_MONTHS

__all__ = ["Panel", "ReferencePopulation", "build_panel"]

SNAPSHOT_KEYS: Final = ("account_id", "as_of")
_NO_FEATURE: Final = "\0"  # an empty tuple would mean rarely used features


@dataclass(frozen=True)
class Panel:
    """Snapshots, and the accounts that have none.

    Attributes
    ----------
    snapshots : polars.DataFrame
        One row per eligible account and as-of, ordered by as-of and account: ``account_id``,
        ``as_of`` (Date, 00:00 UTC), and a Float64 column per feature of the catalogue.
    excluded : polars.DataFrame
        ``account_id``, ``as_of``, ``reason`` of every account that existed and is not eligible.
    peers : polars.DataFrame
        The quantiles behind the peer percentiles, per as-of, plan and size
        (:func:`features.peer_percentiles.compute_peer_quantiles`); reused between two runs.
    months : polars.DataFrame
        If requested, the monthly values behind the snapshots, for charts: ``account_id``,
        ``as_of``, and ``active_seats_mK``, ``seats_mK``, ``api_calls_mK`` of the 30-day month K
        before the as-of, null where the log does not reach back; ``plan``, ``usage_limit``,
        ``mrr``, ``renewal`` now; ``last_increase_known_at``, when the last increase became known.
    contracts : polars.DataFrame
        The subscription timeline of the tables, computed once for labels, rules and delivery
        (:func:`features.subscription_timeline.build_timeline`).
    """

    snapshots: pl.DataFrame
    excluded: pl.DataFrame
    peers: pl.DataFrame
    months: pl.DataFrame = field(default_factory=pl.DataFrame)
    contracts: pl.DataFrame = field(default_factory=pl.DataFrame)

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
    """Inputs that a few accounts' features take from all accounts: see :mod:`features.online`.

    ``log_first_day`` is the first day of the log, as known. ``peers`` are those of a
    :class:`Panel` of all accounts, of one as-of.
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
        The validated tables; the log itself is passed as ``log``.
    as_ofs : sequence of datetime.datetime
        00:00 UTC; those a multiple of 30 days apart share one aggregation of the log.
    settings : data.config.settings.Settings
        Seat window, eligibility, order of plans, reliability of ``known_at``, time-invariant
        attributes.
    months : bool
        Whether to return the monthly values behind the snapshots as well.
    reference : ReferencePopulation, optional
        Where log and tables hold a few accounts only, the inputs taken from all accounts.
    progress : callable, optional
        Receives the number of completed as-ofs and the total.

    Returns
    -------
    Panel
        The snapshots, and the excluded accounts with reasons.
    """
    contracts = subscription_timeline.build_timeline(
        tables.subscriptions.rows,
        plans=settings.outcome.plans,
        reliable_from=settings.tables.known_at_reliable_from,
    )
    seat_days = settings.seats.window_days
    advanced_features = settings.adoption.advanced_features
    if reference is not None:
        advanced_features = reference.advanced or (_NO_FEATURE,)
    prepared_users = user_activity.prepare_users(
        tables.users.rows,
        tables.accounts.rows,
        settings.tables.time_invariant_attributes,
        settings.tables.known_at_reliable_from,
    )
    results: dict[datetime, tuple[pl.DataFrame, ...]] = {}
    for as_of_group in _group_by_phase(as_ofs):
        months_between = (as_of_group[-1] - as_of_group[0]).days // MONTH_DAYS
        grid = aggregate_monthly(
            log,
            as_of_group[-1],
            months=months_between + account_aggregates.LOOKBACK_MONTHS + seat_days // MONTH_DAYS,
            detail_months=months_between + len(DETAIL_MONTHS),
        )
        for as_of in as_of_group:
            aggregates = account_aggregates.aggregate_accounts(
                grid,
                contracts,
                prepared_users,
                as_of,
                seat_months=seat_days // MONTH_DAYS,
                advanced_features=advanced_features,
                log_first_day=reference.log_first_day if reference else None,
            )
            verdicts = eligibility.assign_exclusion_reasons(
                tables.accounts.rows, aggregates, as_of, settings.eligibility.max_inactive_days
            )
            results[as_of] = _build_as_of(
                aggregates, verdicts, seat_days, months=months, reference=reference
            )
            if progress:
                progress(len(results), len(as_ofs))
    by_as_of = (results[as_of] for as_of in sorted(results))
    snapshots, excluded, peers, monthly = map(pl.concat, zip(*by_as_of, strict=True))
    return Panel(snapshots, excluded, peers, monthly, contracts)


def _build_as_of(
    aggregates: pl.DataFrame,
    verdicts: pl.DataFrame,
    seat_days: int,
    *,
    months: bool,
    reference: ReferencePopulation | None,
) -> tuple[pl.DataFrame, ...]:
    """Return snapshots, excluded accounts, peer quantiles and monthly values of one as-of."""
    eligible_ids = verdicts.filter(pl.col("reason").is_null()).select("account_id")
    eligible = aggregates.join(eligible_ids, on="account_id", how="semi")
    features = _compute_features(eligible, seat_days)
    quantiles = _get_peer_quantiles(features, reference)
    excluded = verdicts.filter(pl.col("reason").is_not_null())
    snapshots = _add_peer_features(features, quantiles).sort("account_id")
    monthly = _select_months(eligible, seat_days) if months else pl.DataFrame()
    return snapshots, excluded.sort("account_id"), quantiles, monthly


def _get_peer_quantiles(
    features: pl.DataFrame, reference: ReferencePopulation | None
) -> pl.DataFrame:
    """Return the peer quantiles: computed, or those of the reference population."""
    if reference is None:
        return peer_percentiles.compute_peer_quantiles(
            features, among_peers.RANKED_FEATURES, among_peers.CEILING_FEATURES
        )
    day = pl.lit(features["as_of"].first(), pl.Date).alias("as_of")
    return reference.peers.with_columns(day)


def _select_months(eligible: pl.DataFrame, seat_days: int) -> pl.DataFrame:
    """Return the monthly values behind the snapshots; a month that began before the log is null."""

    def within_log(name: str, window_days: int) -> list[pl.Expr]:
        return [
            pl.when(pl.col("log_days") >= months_back * MONTH_DAYS + window_days)
            .then(pl.col(f"{name}_m{months_back}"))
            .alias(f"{name}_m{months_back}")
            for months_back in range(account_aggregates.LOOKBACK_MONTHS + 1)
        ]

    return eligible.select(
        *SNAPSHOT_KEYS,
        *("plan", "usage_limit", "mrr", "renewal", "last_increase_known_at"),
        *within_log("active_seats", seat_days),
        *within_log("api_calls", MONTH_DAYS),
        *(f"seats_m{months_back}" for months_back in range(account_aggregates.LOOKBACK_MONTHS + 1)),
    ).sort("account_id")


def _group_by_phase(as_ofs: Sequence[datetime]) -> list[list[datetime]]:
    """Group as-ofs that lie whole months apart, each group ascending."""
    phases: dict[int, list[datetime]] = {}
    for as_of in sorted(set(as_ofs)):
        phases.setdefault(as_of.toordinal() % MONTH_DAYS, []).append(as_of)
    return list(phases.values())


def _compute_features(aggregates: pl.DataFrame, seat_days: int) -> pl.DataFrame:
    """Compute all features except the peer percentiles, with the columns that define the peers."""
    expressions = [
        _feature_expr(feature, seat_days) for feature in FEATURES if feature.family != "peers"
    ]
    size = pl.coalesce(pl.when(pl.col("seats") > 0).then("seats"), "people_90d")
    return aggregates.select(*SNAPSHOT_KEYS, "plan", peer_percentiles.size_band(size), *expressions)


def _feature_expr(feature: Feature, seat_days: int) -> pl.Expr:
    """Return a feature's value; a window that starts before the log does is null."""
    value = feature.value.cast(pl.Float64)
    if feature.fill_value is not None:
        value = value.fill_null(feature.fill_value)
    is_covered = pl.col("log_days") >= feature.lookback_days(seat_days)
    return pl.when(is_covered & value.is_finite()).then(value).alias(feature.name)


def _add_peer_features(features: pl.DataFrame, quantiles: pl.DataFrame) -> pl.DataFrame:
    """Add the peer percentile features."""
    percentiles = [f.value.alias(f.name) for f in FEATURES if f.family == "peers"]
    return (
        peer_percentiles.join_quantiles(features, quantiles)
        .with_columns(percentiles)
        .select(*SNAPSHOT_KEYS, *FEATURE_NAMES)
    )
