"""Weekly digests: content, wording, escaping of data, files and the command."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving import store
from serving.cli.main import main
from serving.notify.digest import content, export, render, slack_blocks
from serving.notify.digest.text_utils import slugify, to_single_line
from serving.store.schema import RUNS, SCORE_COLUMNS, SCORES
from tests.parsed_page import ParsedPage

AS_OF = date(2026, 6, 1)
HOSTILE = [
    "<script>alert(1)</script>",
    "*bold* _it_ ~s~ `c`",
    "<!here> <@U1> <https://x.y|z> & :tada:",
    "two\nlines\r\nand more",
    '"quoted" \'s "',
    "{{ 7 * 7 }} {% raw %}",
    "\u202egnp.exe",
    "x" * 4000,
    "&amp;" * 900,
]
texts = st.sampled_from(HOSTILE) | st.text(max_size=20)
sentences = st.none() | st.lists(texts, max_size=4)
dates = st.integers(-60, 400).map(lambda days: AS_OF + timedelta(days=days))
MOTIONS = [None, "seat add", "volume upgrade", "capabilities", "watch", "other"]
list_rows = st.fixed_dictionaries(
    {
        "account_id": st.text(min_size=1, max_size=8),
        "name": st.none() | texts,
        "csm": st.none() | st.sampled_from(["Ada", "ada", " ", "", *HOSTILE]) | texts,
        "rank": st.none() | st.integers(1, 1000),
        "portfolio_rank": st.none() | st.integers(1, 100),
        "in_weekly_capacity": st.none() | st.booleans(),
        "outreach_allowed": st.none() | st.booleans(),
        "probability": st.none() | st.floats(0, 1),
        "readiness_date": st.none() | dates,
        "limit": st.sampled_from([None, "seats", "usage", "plan", "none"]),
        "motion": st.sampled_from([*MOTIONS, "retain", "cooldown", "consolidate"]),
        "contact_role": st.none() | texts,
        "signals": sentences,
        "changes": sentences,
        "counter_reasons": sentences,
        "note": st.none() | texts,
    }
)
LINK = "https://page.example/a/{account_id}?x=1&y=2"


def list_row(number=1, **columns):
    identity = {
        "account_id": f"a{number}",
        "name": f"Account {number}",
        "csm": "Ada",
        "rank": number,
    }
    return dict.fromkeys(SCORE_COLUMNS) | identity | {"probability": 0.5} | columns


def build(rows, previous_motions=None, today=AS_OF, **options):
    fixed = {"as_of": AS_OF, "today": today, "horizon_days": 60}
    return content.build_digests(rows, previous_motions or {}, **fixed, **options)


def render_rows(*rows, **options):
    (digest,) = build(rows, **options)
    return render.render_text(digest)


@st.composite
def digest_lists(draw):
    rows = draw(st.lists(list_rows, max_size=12))
    previous = {row["account_id"]: "watch" for row in rows[::2]}
    link = draw(st.sampled_from([None, LINK]))
    today = AS_OF + timedelta(days=draw(st.sampled_from([0, 1, 8, 400])))
    return build(
        rows, previous, today, link=link, max_accounts=draw(st.integers(1, 10)), basis="by rule"
    )


CLUMSY = re.compile(
    r"\bnan\b|\bNone\b|\binf\b|\b1 accounts\b|\b1 (?:more )?accounts\b|\b0 accounts\b"
)


@settings(max_examples=30)
@given(digest_lists())
def test_each_csm_has_one_digest_and_accounts_without_a_csm_come_last(digests):
    assert len({digest.csm for digest in digests}) == len(digests)
    for digest in digests:
        assert digest.outreach_accounts >= len(digest.entries)
        assert [each for each in digests if each.csm is None] in ([], [digests[-1]])


def replace_data(digest):
    """The same parts, with one harmless character for each text from data."""
    plain = tuple(
        replace(
            entry,
            name="n",
            contact_role="b",
            note="n" if entry.note else "",
            signals=("s",) * len(entry.signals),
            changes=("c",) * len(entry.changes),
            counter_reasons=("h",) * len(entry.counter_reasons),
        )
        for entry in digest.entries
    )
    suppressed = tuple(replace(group, new=("n",) * len(group.new)) for group in digest.suppressed)
    return replace(digest, csm=digest.csm and "c", entries=plain, suppressed=suppressed)


@settings(max_examples=30)
@given(digest_lists())
def test_our_own_text_is_well_formed_with_any_values_missing(digests):
    for digest in map(replace_data, digests):
        for text in (render.render_subject(digest), render.render_text(digest)):
            assert not CLUMSY.search(text)
            assert not re.search(r" {2,}\S.*:$|\( |,,| \.|\.\.|;\.", text)
            assert "\n\n\n" not in text
            assert text == text.strip("\n") + "\n" * text.endswith("\n")
        days = {f"{day.day} {day:%B}" for day in (AS_OF + timedelta(n) for n in range(-60, 0))}
        assert not any(f"From {day}:" in render.render_text(digest) for day in days)


@settings(max_examples=30)
@given(digest_lists())
def test_a_line_break_in_the_data_breaks_no_line(digests):
    for digest in digests:
        assert "\n" not in render.render_subject(digest)
        for row in render.render_text(digest).splitlines():
            assert row == "" or re.match(r"\d+\. |   \S|\S", row)


@settings(max_examples=30)
@given(digest_lists())
def test_data_adds_no_tag_and_no_url_to_the_page(digests):
    for digest in digests:
        page = ParsedPage(render.render_html(digest))

        plain = render.render_html(replace_data(digest))
        expected = ParsedPage(plain)
        assert page.tags == expected.tags
        assert not page.event_handlers
        assert page.links == [entry.link for entry in digest.entries if entry.link]
        assert "http" not in re.sub(r'href="[^"]*"', "", plain)


@settings(max_examples=30)
@given(digest_lists())
def test_a_slack_message_is_within_its_limits_and_has_only_our_markup(digests):
    for digest in digests:
        message = slack_blocks.build_message(digest)

        blocks = message["blocks"]
        parts = [
            part for block in blocks for part in [block.get("text"), *block.get("elements", [])]
        ]
        strings = [part["text"] for part in parts if part]
        assert len(blocks) <= slack_blocks.MAX_BLOCKS
        assert all(
            1 <= len(each) <= slack_blocks.MAX_TEXT_LENGTH for each in [*strings, message["text"]]
        )
        assert sum(map(len, strings)) <= slack_blocks.MAX_MESSAGE_CHARACTERS
        assert {block["type"] for block in blocks} <= {"section", "divider", "context"}
        for each in strings:
            bare = re.sub(r"<https://page\.example/[^<>|]*\|[^<>]*>", "", each)
            assert not re.search(r"[<>`~]", bare)
            assert not re.search(r"&(?!amp;|lt;|gt;)", bare)
            assert not re.search(r":[\w+-]+:", bare)
            assert each.count("*") % 2 == 0
        assert json.loads(json.dumps(message)) == message


@given(st.text())
@example("<!here>")
@example("a:b:c :+1: ::x:")
def test_escaped_text_contains_no_slack_markup(text):
    escaped = slack_blocks.escape_mrkdwn(text)

    assert not re.search(r"[<>*~`_\n]|&(?!amp;|lt;|gt;)|:[\w+-]+:", escaped)


def test_a_whole_digest_matches_a_hand_written_one():
    allowed = {"in_weekly_capacity": True, "outreach_allowed": True}
    rows = [
        list_row(
            1,
            **allowed,
            readiness_date=date(2026, 6, 13),
            motion="seat add",
            contact_role="admin",
            limit="seats",
            probability=0.68,
            signals=["No seat is free"],
            changes=["Now tier 1", "New on the list"],
        ),
        list_row(
            2,
            **allowed,
            readiness_date=date(2026, 6, 1),
            motion="watch",
            probability=0.004,
            counter_reasons=["Only 12 of 40 seats active"],
            note="Customer for only 40 days",
        ),
        list_row(3, **allowed, probability=0.03, readiness_date=date(2027, 1, 2)),
        list_row(4, motion="retain", outreach_allowed=False, in_weekly_capacity=False),
        list_row(5, motion="consolidate", outreach_allowed=False),
        list_row(6, motion="consolidate", outreach_allowed=False),
        list_row(None, account_id="gone", rank=None, note="contract ended"),
    ]
    previous = {"a5": "consolidate"}

    (digest,) = build(rows, previous, link="https://p.example/{account_id}", max_accounts=2)

    assert render.render_subject(digest) == "Contact Account 1 and 1 more first, as of 1 June"
    assert (
        render.render_text(digest)
        == """\
Ada, contact these accounts first this week.
Accounts likely to expand within 60 days, as of 1 June.

1. Account 1
   68%, about 7 in 10 within 60 days; is reaching its seat limit
   From 13 June: add seats with the admin
   - No seat is free
   Now tier 1. New on the list.
   https://p.example/a1

2. Account 2
   under 1%, less than 1 in 100 within 60 days
   Now: get in touch
   - Nothing stands out
   But: Only 12 of 40 seats active
   Customer for only 40 days
   https://p.example/a2

1 more account is within this week's capacity.

Outreach suppressed: 1 account is at risk of churn: retain it first (new: Account 4); 2 accounts \
are full but flat: look for new use cases first (new: Account 6).

The probability predicts an expansion within 60 days of 1 June. It does not measure the effect of \
a call.
"""
    )


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.0, "under 1%, less than 1 in 100"),
        (0.011, "1%, about 1 in 90"),
        (0.0499, "5%, about 1 in 20"),
        (0.07, "7%, about 1 in 14"),
        (0.149, "15%, about 1 in 7"),
        (0.15, "15%, about 2 in 10"),
        (0.5, "50%, about 1 in 2"),
        (0.56, "56%, about 6 in 10"),
        (0.949, "95%, about 9 in 10"),
        (0.97, "97%, more than 9 in 10"),
        (1.0, "over 99%, more than 9 in 10"),
        (None, "No probability available"),
    ],
)
def test_the_probability_is_also_given_as_odds(probability, text):
    assert f"   {text}" in render_rows(list_row(probability=probability))


@given(st.floats(0.005, 0.949))
def test_the_odds_are_close_to_the_probability(probability):
    match = re.search(
        r"(less than|about) (\d+) in (\d+)", render_rows(list_row(probability=probability))
    )
    odds = int(match[2]) / int(match[3])

    assert (
        odds >= probability
        if match[1] == "less than"
        else abs(odds - probability) <= max(0.051, 0.1 * probability)
    )


@pytest.mark.parametrize(
    ("day", "today", "text"),
    [
        (date(2026, 6, 13), AS_OF, "From 13 June: "),
        (date(2026, 6, 13), date(2026, 6, 13), "Now: "),
        (date(2026, 6, 3), date(2026, 6, 4), "Now: "),
        (date(2027, 1, 2), AS_OF, "From 2 January 2027: "),
        (None, AS_OF, "No specific date: "),
    ],
)
def test_a_day_that_is_not_in_the_future_is_now(day, today, text):
    assert f"   {text}" in render_rows(list_row(readiness_date=day), today=today)


@pytest.mark.parametrize(
    ("in_capacity", "expected"),
    [
        ([None, None], ""),
        ([False, False], "No account is within this week's capacity."),
        ([True, False], "This week's capacity covers the first."),
        ([True, True], "This week's capacity covers these 2."),
        ([True] * 6, "1 more account is within this week's capacity."),
        ([True] * 9, "4 more accounts are within this week's capacity."),
    ],
)
def test_the_weekly_capacity_is_described(in_capacity, expected):
    text = render_rows(
        *(list_row(n, in_weekly_capacity=flag) for n, flag in enumerate(in_capacity, start=1))
    )

    assert expected in text
    assert ("week's capacity" in text) == bool(expected)


def test_an_old_list_is_marked():
    assert "8 days ago" in render_rows(list_row(), today=AS_OF + timedelta(days=8))
    assert "days ago" not in render_rows(list_row(), today=AS_OF + timedelta(days=7))


def test_a_csm_without_outreach_gets_a_digest_that_explains_it():
    unlisted, suppressed = (
        list_row(1, rank=None, note="contract ended"),
        list_row(2, outreach_allowed=False, motion="cooldown"),
    )

    assert render_rows(unlisted).startswith("Ada, no account of yours is on the list this week.")
    assert render_rows(unlisted, suppressed).startswith(
        "Ada, outreach is suppressed for all accounts this week."
    )
    assert "1 account is in cool-down." in render_rows(unlisted, suppressed)


def test_accounts_without_a_csm_get_their_own_digest_which_comes_last():
    digests = build(
        [
            list_row(1, csm=None),
            list_row(2, csm="Zoe"),
            list_row(3, csm="  "),
            list_row(4, csm="Ada"),
        ]
    )

    assert [digest.csm for digest in digests] == ["Ada", "Zoe", None]
    assert digests[-1].outreach_accounts == 2
    assert "These accounts have no CSM" in render.render_text(digests[-1])


def test_on_the_first_list_nothing_is_new():
    assert "(new:" not in render_rows(list_row(1, outreach_allowed=False, motion="retain"))


def test_the_first_in_the_portfolio_comes_first():
    rows = [
        list_row(1, portfolio_rank=2),
        list_row(2, portfolio_rank=1),
        list_row(3, portfolio_rank=None),
    ]

    (digest,) = build(rows)

    assert [entry.name for entry in digest.entries] == ["Account 2", "Account 1", "Account 3"]


def test_account_ids_are_url_encoded_in_links():
    (digest,) = build([list_row(1, account_id="a/../b?c#d \"'<>")], link=LINK)

    assert (
        digest.entries[0].link == "https://page.example/a/a%2F..%2Fb%3Fc%23d%20%22%27%3C%3E?x=1&y=2"
    )


@settings(max_examples=30)  # every file is flushed to the disk
@given(st.lists(st.none() | texts, min_size=1, max_size=8, unique=True))
@example(["index", None, "no csm", "../index", "INDEX"])
def test_each_csm_has_a_file_inside_the_folder_and_an_index_entry(names):
    digests = build([list_row(n, csm=name) for n, name in enumerate(names, start=1)])
    with TemporaryDirectory() as folder:
        files = export.write_files(digests, Path(folder), "html")

        index = json.loads((Path(folder) / "index.json").read_text())
        assert sorted([*files, "index.json"]) == sorted(
            each.name for each in Path(folder).iterdir()
        )
        assert len({file.lower() for file in files}) == len(digests)
        assert [each["csm"] for each in index["digests"]] == [digest.csm for digest in digests]
        for digest, file in zip(digests, files, strict=True):
            assert (Path(folder) / file).read_text(encoding="utf-8") == render.render_html(digest)


@given(st.text())
def test_to_single_line_is_idempotent(text):
    line = to_single_line(text, 40)

    assert to_single_line(line, 40) == line
    assert len(line) <= 40
    assert len(line.splitlines()) <= 1
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slugify(text))


@pytest.fixture
def company(tmp_path):
    """Settings, and a list in the database as written by `expansion score`."""
    (tmp_path / "expansion.toml").write_text(
        'state = "."\n[digest]\nlink = "https://p.example/{account_id}"\n'
    )
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    older = [list_row(1, as_of=date(2026, 5, 25), motion="watch")]
    rows = [
        list_row(1, as_of=AS_OF, outreach_allowed=False, motion="retain"),
        list_row(2, as_of=AS_OF, csm=None),
    ]
    with store.write_transaction(engine) as connection:
        connection.execute(sa.insert(SCORES), older + rows)
        record = {"basis": "by the tier rules and utilization, without a probability"}
        connection.execute(
            sa.insert(RUNS),
            {"as_of": AS_OF, "finished_at": datetime.now(UTC), "model": "1", "record": record},
        )
    return tmp_path


def run(folder, *arguments):
    return CliRunner().invoke(main, ["digest", "-c", str(folder / "expansion.toml"), *arguments])


def test_the_command_prints_every_digest_of_the_last_list(company):
    result = run(company)

    assert result.exit_code == 0
    assert "1 account is at risk of churn: retain it first (new: Account 1)." in result.stdout
    assert "ranked by the tier rules and utilization" in result.stdout
    assert "https://p.example/a2" in result.stdout


def test_the_command_writes_a_folder(company):
    result = run(company, "--format", "slack", "--out", str(company / "out"), "--json")

    payload = json.loads(result.stdout)
    assert [each["file"] for each in payload["digests"]] == ["ada.json", "no-csm.json"]
    assert "blocks" in json.loads((company / "out" / "no-csm.json").read_text())


def test_one_csm_as_json(company):
    payload = json.loads(run(company, "--csm", "Ada", "--json", "--format", "html").stdout)

    assert payload["as_of"] == "2026-06-01"
    assert payload["digests"][0]["content"].startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--csm", "Bo"], "no CSM 'Bo' on the list; found Ada."),
        (["--format", "html"], "pass a folder with --out"),
        (["--out", "/proc/none/here"], "could not be written"),
    ],
)
def test_an_error_is_one_sentence(company, arguments, message):
    result = run(company, *arguments)

    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_without_a_list_the_error_names_the_command_to_run(tmp_path):
    (tmp_path / "expansion.toml").write_text('state = "."\n')

    assert "expansion score" in run(tmp_path).stderr
