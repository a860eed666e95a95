"""SQL of feature adoption: how features spread among the users of an account."""

from collections.abc import Iterator

from data.config.settings import AdoptionConfig
from features.panel.feature_adoption import ADVANCED_MAX_SHARE
from tests.benchmarks.features.duckdb_activity import quote_names


def aggregate_feature_adoption(day: int, adoption: AdoptionConfig) -> Iterator[str]:
    """Return the statements for first uses, features beyond the champion, and advanced features.

    The day is the as-of, in days since 1970.
    """
    yield f"""
        create or replace temp table first_now as
        select account, person, feature, {day} - day as since
        from firsts where known_day < {day} and not several
        union all
        select account, person, feature, {day} - min(day)
        from firsts where known_day < {day} and several group by account, person, feature"""
    yield """
        create or replace temp table first_use_counts as
        select account,
            count(*) filter (since <= 60 and user_age > 60) as first_uses_established,
            count(*) filter (since > 60 and user_age > 120) as first_uses_established_previous,
            count(*) filter (since <= 60 and user_age <= 60) as first_uses_recent,
            count(*) filter (since > 60 and user_age <= 120) as first_uses_recent_previous,
            count(distinct feature) filter (since <= 60 and user_age <= 60) as features_of_recent
        from (select first_now.*, since_first_use as user_age
            from first_now join user_as_of using (account, person) where since <= 120)
        group by account"""
    # Ties go to the first user by name: users are numbered in that order.
    yield """
        create or replace temp table champion as
        select account, arg_min(person, (-events_90d, person)) as champion
        from user_as_of where events_90d > 0 group by account"""
    yield """
        create or replace temp table spread as
        select account, feature,
            max(since) filter (person = champion) as by_champion,
            max(since) filter (champion is null or person <> champion) as by_others
        from first_now left join champion using (account) group by account, feature"""
    yield """
        create or replace temp table spread_counts as
        select account, count(*) as features_of_people,
            count(by_others) as features_beyond_champion,
            count(*) filter (by_others < by_champion and by_others <= 60) as features_spread,
            count(*) filter (by_others < by_champion and by_others between 61 and 120)
                as features_spread_previous
        from spread group by account"""
    yield f"create or replace temp table advanced as {_select_advanced_features(adoption)}"
    yield """
        create or replace temp table advanced_counts as
        with advanced_uses as (from first_now semi join advanced using (feature)), by_user as (
            select account, max(since) as since from advanced_uses group by account, person
        ), by_feature_used as (
            select account, max(since) as since from advanced_uses group by account, feature
        ), people as (
            select account, count(*) as advanced_people,
                count(*) filter (since <= 60) as advanced_people_new
            from by_user group by account
        ), features as (
            select account, count(*) as advanced_features,
                count(*) filter (since <= 60) as advanced_features_new
            from by_feature_used group by account
        )
        from people join features using (account)"""


def _select_advanced_features(adoption: AdoptionConfig) -> str:
    """Select the configured advanced features, else those that few accounts had used."""
    if adoption.advanced_features:
        return (
            f"select feature from feature where name in ({quote_names(adoption.advanced_features)})"
        )
    return f"""
        select feature from spread group by feature
        having count(*)
            <= {ADVANCED_MAX_SHARE} * (select count(distinct account) from spread)"""
