"""How features spread among the people of an account: SQL."""

from collections.abc import Iterator

from duckdb_activity import quoted

from data.config.settings import AdoptionConfig


def at(day: int, adoption: AdoptionConfig) -> Iterator[str]:
    """The statements that count first uses, what left the champion's hands, and advanced features.

    Parameters
    ----------
    day : int
        The as-of, in days since 1970.
    adoption : data.config.settings.Adoption
        Which features are advanced.
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
            count(*) filter (since <= 60 and came > 60) as first_uses_established,
            count(*) filter (since > 60 and came > 120) as first_uses_established_previous,
            count(*) filter (since <= 60 and came <= 60) as first_uses_recent,
            count(*) filter (since > 60 and came <= 120) as first_uses_recent_previous,
            count(distinct feature) filter (since <= 60 and came <= 60) as features_of_recent
        from (select first_now.*, since_first_use as came
            from first_now join person_now using (account, person) where since <= 120)
        group by account"""
    # Of several who did as much the first by name: people are numbered in that order.
    yield """
        create or replace temp table champion as
        select account, arg_min(person, (-events_90d, person)) as champion
        from person_now where events_90d > 0 group by account"""
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
    yield f"create or replace temp table advanced as {_advanced(adoption)}"
    yield """
        create or replace temp table advanced_counts as
        with mine as (from first_now semi join advanced using (feature)), someone as (
            select account, max(since) as since from mine group by account, person
        ), something as (
            select account, max(since) as since from mine group by account, feature
        ), people as (
            select account, count(*) as advanced_people,
                count(*) filter (since <= 60) as advanced_people_new
            from someone group by account
        ), features as (
            select account, count(*) as advanced_features,
                count(*) filter (since <= 60) as advanced_features_new
            from something group by account
        )
        from people join features using (account)"""


def _advanced(adoption: AdoptionConfig) -> str:
    """The features that are named, else those that few of the accounts had used."""
    if adoption.advanced_features:
        return f"select feature from feature where name in ({quoted(adoption.advanced_features)})"
    return f"""
        select feature from spread group by feature
        having count(*) <= {adoption.advanced_max_share} * (select count(distinct account) from spread)"""
