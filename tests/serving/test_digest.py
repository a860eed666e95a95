"""What a CSM gets on Monday reads well, says what the list says, and takes no harm from names."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
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
lines = st.fixed_dictionaries(
    {
        "account_id": st.text(min_size=1, max_size=8),
        "name": st.none() | texts,
        "csm": st.none() | st.sampled_from(["Ada", "ada", " ", "", *HOSTILE]) | texts,
        "rank": st.none() | st.integers(1, 1000),
        "book_rank": st.none() | st.integers(1, 100),
        "this_week": st.none() | st.booleans(),
        "ask": st.none() | st.booleans(),
        "probability": st.none() | st.floats(0, 1),
        "readiness_date": st.none() | dates,
        "limit": st.sampled_from([None, "seats", "usage", "plan", "none"]),
        "motion": st.sampled_from([*MOTIONS, "retain", "rest", "consolidate"]),
        "buyer": st.none() | texts,
        "signals": sentences,
        "changed": sentences,
        "holds_back": sentences,
        "note": st.none() | texts,
    }
)
LINK = "https://page.example/a/{account_id}?x=1&y=2"


def line(number=1, **told):
    known = {"account_id": f"a{number}", "name": f"Account {number}", "csm": "Ada", "rank": number}
    return dict.fromkeys(SCORE_COLUMNS) | known | {"probability": 0.5} | told


def made(rows, before=(), today=AS_OF, **told):
    known = {"as_of": AS_OF, "today": today, "horizon_days": 60}
    return content.build_digests(rows, before, **known, **told)


def told(*rows, **rest):
    (digest,) = made(rows, **rest)
    return render.render_text(digest)


@st.composite
def digests(draw):
    rows = draw(st.lists(lines, max_size=12))
    before = [{"account_id": row["account_id"], "motion": "watch"} for row in rows[::2]]
    link = draw(st.sampled_from([None, LINK]))
    today = AS_OF + timedelta(days=draw(st.sampled_from([0, 1, 8, 400])))
    return made(rows, before, today, link=link, accounts=draw(st.integers(1, 10)), basis="by rule")


class Seen(HTMLParser):
    """The tags of a page, its text, and where its links go."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.links = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src", "action"}]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text.append(data)


ODD = re.compile(r"\bnan\b|\bNone\b|\binf\b|\b1 accounts\b|\b1 (?:more )?accounts\b|\b0 accounts\b")


@settings(max_examples=30)
@given(digests())
def test_every_account_that_may_be_asked_is_told_of_once_by_somebody(found):
    assert len({digest.csm for digest in found}) == len(found)
    for digest in found:
        assert digest.asked >= len(digest.entries)
        assert [each for each in found if each.csm is None] in ([], [found[-1]])


def calm(digest):
    """The digest, its own words left, with nothing in it from data."""
    plain = tuple(
        replace(entry, name="N", buyer="b", signals=("s",), changed=(), holds_back=(), note="")
        for entry in digest.entries
    )
    held = tuple(replace(each, new=()) for each in digest.held)
    return replace(digest, csm="C", entries=plain, held=held)


@settings(max_examples=30)
@given(digests())
def test_our_own_words_read_well_whatever_is_missing(found):
    for digest in map(calm, found):
        for words in (render.render_subject(digest), render.render_text(digest)):
            assert not ODD.search(words)
            assert not re.search(r" {2,}\S.*:$|\( |,,| \.|\.\.|;\.", words)
            assert "\n\n\n" not in words
            assert words == words.strip("\n") + "\n" * words.endswith("\n")
        days = {f"{day.day} {day:%B}" for day in (AS_OF + timedelta(n) for n in range(-60, 0))}
        assert not any(f"From {day}:" in render.render_text(digest) for day in days)


@settings(max_examples=30)
@given(digests())
def test_a_line_break_in_the_data_breaks_no_line(found):
    for digest in found:
        assert "\n" not in render.render_subject(digest)
        for row in render.render_text(digest).splitlines():
            assert row == "" or re.match(r"\d+\. |   \S|\S", row)


@settings(max_examples=30)
@given(digests())
def test_data_adds_no_tag_and_no_address_to_the_page(found):
    for digest in found:
        page = Seen(render.render_html(digest))

        expected = Seen(render.render_html(_same_shape(digest)))
        assert page.tags == expected.tags
        assert page.links == [entry.link for entry in digest.entries if entry.link]
        assert "http" not in re.sub(r'href="[^"]*"', "", render.render_html(calm(digest)))


def _same_shape(digest):
    """The same parts, each of one harmless word."""
    plain = tuple(
        replace(
            entry,
            name="n",
            buyer="b",
            note="n" if entry.note else "",
            signals=("s",) * len(entry.signals),
            changed=("c",) * len(entry.changed),
            holds_back=("h",) * len(entry.holds_back),
        )
        for entry in digest.entries
    )
    return replace(digest, csm=digest.csm and "c", entries=plain)


@settings(max_examples=30)
@given(digests())
def test_a_slack_message_is_within_its_bounds_and_holds_only_our_marks(found):
    for digest in found:
        message = slack_blocks.build_message(digest)

        blocks = message["blocks"]
        parts = [
            part for block in blocks for part in [block.get("text"), *block.get("elements", [])]
        ]
        words = [part["text"] for part in parts if part]
        assert len(blocks) <= slack_blocks.MAX_BLOCKS
        assert all(
            1 <= len(each) <= slack_blocks.MAX_TEXT_LENGTH for each in [*words, message["text"]]
        )
        assert sum(map(len, words)) <= slack_blocks.MAX_MESSAGE_CHARACTERS
        assert {block["type"] for block in blocks} <= {"section", "divider", "context"}
        for each in words:
            bare = re.sub(r"<https://page\.example/[^<>|]*\|[^<>]*>", "", each)
            assert not re.search(r"[<>`~]", bare)
            assert not re.search(r"&(?!amp;|lt;|gt;)", bare)
            assert not re.search(r":[\w+-]+:", bare)
            assert each.count("*") % 2 == 0
        assert json.loads(json.dumps(message)) == message


@given(st.text())
@example("<!here>")
@example("a:b:c :+1: ::x:")
def test_literal_text_has_nothing_that_slack_acts_on(text):
    found = slack_blocks.escape_mrkdwn(text)

    assert not re.search(r"[<>*~`_\n]|&(?!amp;|lt;|gt;)|:[\w+-]+:", found)


def test_a_whole_digest_by_hand():
    rows = [
        line(1, readiness_date=date(2026, 6, 13), motion="seat add", buyer="admin", limit="seats",
             probability=0.68, this_week=True, ask=True, signals=["No seat is free"],
             changed=["Now tier 1", "New on the list"]),
        line(2, readiness_date=date(2026, 6, 1), motion="watch", probability=0.004, this_week=True,
             ask=True, holds_back=["Only 12 of 40 seats active"], note="A customer for 40 days"),
        line(3, probability=0.03, this_week=True, ask=True, readiness_date=date(2027, 1, 2)),
        line(4, motion="retain", ask=False, this_week=False),
        line(5, motion="consolidate", ask=False),
        line(6, motion="consolidate", ask=False),
        line(None, account_id="gone", rank=None, note="contract ended"),
    ]  # fmt: skip
    before = [{"account_id": "a5", "motion": "consolidate"}]

    (digest,) = made(rows, before, link="https://p.example/{account_id}", accounts=2)

    assert render.render_subject(digest) == "Account 1 and 1 more come first, as of 1 June"
    assert (
        render.render_text(digest)
        == """\
Ada, these accounts of yours come first this week.
Who is likely to expand within 60 days, as of 1 June.

1. Account 1
   68%, about 7 in 10 within 60 days; runs into its seats
   From 13 June: add seats with the admin
   - No seat is free
   Now tier 1. New on the list.
   https://p.example/a1

2. Account 2
   under 1%, less than 1 in 100 within 60 days
   Now: get in touch
   - Nothing stands out
   Against it: Only 12 of 40 seats active
   A customer for 40 days
   https://p.example/a2

1 more account is within this week's time.

No ask now: 1 account may leave: first keep it (new: Account 4); 2 accounts are full but flat: \
look for new use first (new: Account 6).

A chance says who is likely to expand within 60 days of 1 June, not who would because you called.
"""
    )


@pytest.mark.parametrize(
    ("chance", "words"),
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
        (None, "No chance is stated"),
    ],
)
def test_a_chance_in_words(chance, words):
    assert f"   {words}" in told(line(probability=chance))


@given(st.floats(0.005, 0.949))
def test_the_odds_are_near_the_chance(chance):
    found = re.search(r"(less than|about) (\d+) in (\d+)", told(line(probability=chance)))
    odds = int(found[2]) / int(found[3])

    assert (
        odds >= chance
        if found[1] == "less than"
        else abs(odds - chance) <= max(0.051, 0.1 * chance)
    )


@pytest.mark.parametrize(
    ("day", "today", "words"),
    [
        (date(2026, 6, 13), AS_OF, "From 13 June: "),
        (date(2026, 6, 13), date(2026, 6, 13), "Now: "),
        (date(2026, 6, 3), date(2026, 6, 4), "Now: "),
        (date(2027, 1, 2), AS_OF, "From 2 January 2027: "),
        (None, AS_OF, "No specific date: "),
    ],
)
def test_a_day_that_is_not_to_come_is_now(day, today, words):
    assert f"   {words}" in told(line(readiness_date=day), today=today)


@pytest.mark.parametrize(
    ("weeks", "words"),
    [
        ([None, None], ""),
        ([False, False], "There is no time for them this week."),
        ([True, False], "This week's time is for the first."),
        ([True, True], "This week's time is for these 2."),
        ([True] * 6, "1 more account is within this week's time."),
        ([True] * 9, "4 more accounts are within this week's time."),
    ],
)
def test_the_weeks_time_in_words(weeks, words):
    text = told(*(line(n, this_week=week) for n, week in enumerate(weeks, start=1)))

    assert words in text
    assert ("this week's time" in text or "This week's" in text or "no time" in text) == bool(words)


def test_an_old_list_says_so():
    assert "8 days ago" in told(line(), today=AS_OF + timedelta(days=8))
    assert "days ago" not in told(line(), today=AS_OF + timedelta(days=7))


def test_a_csm_with_nobody_to_ask_is_told_so():
    gone, held = line(1, rank=None, note="contract ended"), line(2, ask=False, motion="rest")

    assert told(gone).startswith("Ada, no account of yours is on the list this week.")
    assert told(gone, held).startswith("Ada, no account is to be asked this week.")
    assert "1 account was worked of late." in told(gone, held)


def test_accounts_without_a_csm_get_a_digest_of_their_own_and_last():
    found = made([line(1, csm=None), line(2, csm="Zoe"), line(3, csm="  "), line(4, csm="Ada")])

    assert [digest.csm for digest in found] == ["Ada", "Zoe", None]
    assert found[-1].asked == 2
    assert "No CSM is named for them" in render.render_text(found[-1])


def test_on_the_first_list_nothing_is_new():
    assert "(new:" not in told(line(1, ask=False, motion="retain"))


def test_the_first_in_the_book_comes_first():
    rows = [line(1, book_rank=2), line(2, book_rank=1), line(3, book_rank=None)]

    (digest,) = made(rows)

    assert [entry.name for entry in digest.entries] == ["Account 2", "Account 1", "Account 3"]


def test_no_address_of_an_account_leaves_its_place():
    (digest,) = made([line(1, account_id="a/../b?c#d \"'<>")], link=LINK)

    assert (
        digest.entries[0].link == "https://page.example/a/a%2F..%2Fb%3Fc%23d%20%22%27%3C%3E?x=1&y=2"
    )


@given(st.lists(st.none() | texts, min_size=1, max_size=8, unique=True))
@example(["index", None, "no csm", "../index", "INDEX"])
def test_a_file_for_each_csm_inside_the_folder_and_an_index(names):
    found = made([line(n, csm=name) for n, name in enumerate(names, start=1)])
    with TemporaryDirectory() as folder:
        files = export.write_files(found, Path(folder), "html")

        index = json.loads((Path(folder) / "index.json").read_text())
        assert sorted([*files, "index.json"]) == sorted(
            each.name for each in Path(folder).iterdir()
        )
        assert len({file.lower() for file in files}) == len(found)
        assert [each["csm"] for each in index["digests"]] == [digest.csm for digest in found]
        for digest, file in zip(found, files, strict=True):
            assert (Path(folder) / file).read_text(encoding="utf-8") == render.render_html(digest)


@given(st.text())
def test_one_line_is_one_line_and_stays_so(text):
    line = to_single_line(text, 40)

    assert to_single_line(line, 40) == line
    assert len(line) <= 40
    assert len(line.splitlines()) <= 1
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slugify(text))


@pytest.fixture
def company(tmp_path):
    """Settings, and a list in the database, as `expansion score` leaves them."""
    (tmp_path / "expansion.toml").write_text(
        'state = "."\n[digest]\nlink = "https://p.example/{account_id}"\n'
    )
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    older = [line(1, as_of=date(2026, 5, 25), motion="watch")]
    rows = [line(1, as_of=AS_OF, ask=False, motion="retain"), line(2, as_of=AS_OF, csm=None)]
    with store.write_transaction(engine) as connection:
        connection.execute(sa.insert(SCORES), older + rows)
        record = {"basis": "by the tier rules and utilisation, without a probability"}
        connection.execute(
            sa.insert(RUNS),
            {"as_of": AS_OF, "finished_at": datetime.now(UTC), "model": "1", "record": record},
        )
    return tmp_path


def run(folder, *arguments):
    return CliRunner().invoke(main, ["digest", "-c", str(folder / "expansion.toml"), *arguments])


def test_the_command_prints_every_digest_of_the_last_list(company):
    said = run(company)

    assert said.exit_code == 0
    assert "1 account may leave: first keep it (new: Account 1)." in said.stdout
    assert "ranked by the tier rules and utilisation" in said.stdout
    assert "https://p.example/a2" in said.stdout


def test_the_command_writes_a_folder(company):
    said = run(company, "--format", "slack", "--out", str(company / "out"), "--json")

    told = json.loads(said.stdout)
    assert [each["file"] for each in told["digests"]] == ["ada.json", "no-csm.json"]
    assert "blocks" in json.loads((company / "out" / "no-csm.json").read_text())


def test_one_csm_as_json(company):
    said = json.loads(run(company, "--csm", "Ada", "--json", "--format", "html").stdout)

    assert said["as_of"] == "2026-06-01"
    assert said["digests"][0]["content"].startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--csm", "Bo"], "names no CSM 'Bo'; it names Ada."),
        (["--format", "html"], "name a folder with --out"),
        (["--out", "/proc/none/here"], "could not be written"),
    ],
)
def test_a_mistake_is_one_sentence(company, arguments, told):
    said = run(company, *arguments)

    assert said.exit_code == 1
    assert told in said.stderr
    assert said.stderr.count("\n") == 1


def test_without_a_list_it_says_what_to_run(tmp_path):
    (tmp_path / "expansion.toml").write_text('state = "."\n')

    assert "expansion score" in run(tmp_path).stderr
