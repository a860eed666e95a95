"""A folder of files as a CRM: what is written comes back, and what people wrote stays."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import SettingsError
from data.settings import Settings
from serving.crm import files
from serving.crm.files import FILES, Files, manifest
from serving.crm.target import Accepted, Change, Denied, Ref, Refused, Transient
from serving.outbox.objects import FIELDS

FORMS = ["csv", "parquet"]
HOSTILE = ["=1+1", "'=1+1", "-5", "@sum", "\tx", "two\nlines", "a\r\nb", ',;"', "true", "12", "é✓"]
names = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = {
    "text": names,
    "lines": st.lists(names, max_size=3).map("\n".join),
    "number": st.floats(),
    "whole": st.integers(-(2**53), 2**53),
    "day": st.dates().map(date.isoformat),
    "flag": st.booleans(),
}


def fields_of(kind):
    known = FIELDS[kind]
    kept = {name: st.none() | VALUES[field.type] for name, field in known.items()}
    return st.fixed_dictionaries({}, optional=kept)


def ref(kind="account", key="acme", account_id="acme", **known):
    return Ref(kind, key, account_id, **known)


def found(target, *refs):
    return target.read(list(refs))


def put(target, key="acme", kind="account", **fields):
    return target.write([Change(ref(kind, key, key.split(":")[0]), fields)])[0]


def folder_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def edit(file, change):
    """Open a CSV as a person would: change its rows, save it."""
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    names = list(rows[0])
    rows = change(rows) or rows
    with file.open("w", newline="") as opened:
        lines = csv.DictWriter(opened, [*names, *(set(rows[0]) - set(names))])
        lines.writeheader()
        lines.writerows(rows)


@pytest.fixture(params=FORMS)
def target(request, tmp_path):
    made = Files(tmp_path / "drop", request.param)
    made.setup()
    return made


@pytest.fixture
def drop(tmp_path):
    made = Files(tmp_path, "csv")
    made.setup()
    return made


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60)
@given(data=st.data(), kind=st.sampled_from(list(FILES)))
def test_what_is_written_comes_back_as_shape_says(form, data, kind):
    wanted = {key: data.draw(fields_of(kind)) for key in ["acme", "=beta", "'gamma", "00123"]}
    with TemporaryDirectory() as folder:
        target = Files(Path(folder), form)
        refs = [ref(kind, key, key) for key in wanted]
        changes = [Change(each, wanted[each.key]) for each in refs]

        answers = target.write(changes)
        standing = target.read(refs)
        before = folder_bytes(Path(folder))
        target.write(changes)

        assert answers == [Accepted(key) for key in wanted]
        for each, there in zip(refs, standing, strict=True):
            shaped = target.shape(kind, wanted[each.key])
            assert target.shape(kind, shaped) == shaped
            assert there.crm_id == each.key
            assert there.ours
            assert there.fields == {**dict.fromkeys(FIELDS[kind]), **shaped}
        assert folder_bytes(Path(folder)) == before


@pytest.mark.parametrize("form", FORMS)
@given(order=st.permutations(["acme:seats:1", "acme:usage:1", "beta:seats:1", "alpha:plan:2"]))
@settings(max_examples=10)
def test_the_bytes_do_not_depend_on_the_order_of_the_writes(form, order):
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        once, bit_by_bit = Files(Path(one), form), Files(Path(other), form)

        once.write([Change(ref("task", key, key.split(":")[0]), {"state": key}) for key in order])
        for key in sorted(order):
            put(bit_by_bit, key, "task", state=key)
        for each in (once, bit_by_bit):
            each.close()

        assert folder_bytes(Path(one)) == folder_bytes(Path(other))


def test_nothing_stands_in_an_empty_folder(target, tmp_path):
    assert found(target, ref(), ref(key="beta")) == [None, None]


def test_a_share_that_is_not_mounted_is_no_wish_to_delete_all(target, tmp_path):
    put(target, "acme:seats:1", "opportunity", state="open")
    known = ref("opportunity", "acme:seats:1", "acme", crm_id="acme:seats:1")
    next(target._folder.glob("opportunities.*")).unlink()

    with pytest.raises(Denied, match="put it back"):
        found(target, known)
    with pytest.raises(Denied, match="expansion crm setup"):
        found(Files(tmp_path / "none"), ref())
    target.setup()
    assert found(target, known) == [None]


def test_a_field_set_later_leaves_the_others(target):
    put(target, tier=1, name="Acme")

    put(target, tier=None, rank=3)

    (there,) = found(target, ref())
    assert (there.fields["tier"], there.fields["rank"], there.fields["name"]) == (None, 3, "Acme")


def test_other_columns_and_rows_of_people_stay(drop, tmp_path):
    put(drop, name="Acme", rank=1)
    edit(tmp_path / "accounts.csv", lambda rows: [{**row, "owner": "=Ada"} for row in rows])

    put(drop, rank=2)

    (row,) = pl.read_csv(tmp_path / "accounts.csv", infer_schema=False).rows(named=True)
    assert (row["owner"], row["rank"], row["name"]) == ("=Ada", "2", "Acme")


def test_a_value_somebody_wrote_is_handed_on_as_it_is(drop, tmp_path):
    put(drop, rank=1, probability=0.5, readiness_date="2026-06-13")
    edit(
        tmp_path / "accounts.csv",
        lambda rows: [
            {**row, "rank": "first", "probability": ".25 ", "readiness_date": "soon"}
            for row in rows
        ],
    )

    (there,) = found(drop, ref())

    assert there.fields["rank"] == "first"
    assert there.fields["probability"] == 0.25
    assert there.fields["readiness_date"] == "soon"


def test_a_spreadsheet_that_saves_the_file_again_changes_nothing(drop, tmp_path):
    put(drop, this_week=True, probability=0.0, rank=7, name="Acme")
    (before,) = found(drop, ref())
    edit(
        tmp_path / "accounts.csv",
        lambda rows: [
            {**row, "this_week": "TRUE", "probability": "0", "rank": "7.0"} for row in rows
        ],
    )
    content = (tmp_path / "accounts.csv").read_bytes()
    (tmp_path / "accounts.csv").write_bytes(b"\xef\xbb\xbf" + content)

    assert found(drop, ref()) == [before]


def test_the_row_of_an_account_that_somebody_took_away_is_made_anew(drop, tmp_path):
    put(drop, name="Acme")
    put(drop, "beta", name="Beta")
    edit(
        tmp_path / "accounts.csv", lambda rows: [row for row in rows if row["account_id"] != "acme"]
    )

    answer = drop.write([Change(ref(), {"rank": 1})])

    assert answer == [Accepted("acme")]
    assert found(drop, ref())[0].fields["name"] is None
    assert found(drop, ref(key="beta"))[0].fields["name"] == "Beta"


def seats(number):
    return ref("opportunity", f"acme:seats:{number}", "acme", limit="seats")


def opportunity_of_a_person(drop, **cells):
    edit(
        drop / "opportunities.csv",
        lambda rows: [*rows, {**dict.fromkeys(rows[0], ""), "account_id": "acme", **cells}],
    )


@pytest.fixture
def adopted(drop, tmp_path):
    put(drop, "beta:seats:1", "opportunity", name="Beta: seats", limit="seats")
    opportunity_of_a_person(tmp_path, name="More seats for Acme")
    return drop


def test_an_open_opportunity_of_a_person_is_found(adopted):
    (there,) = found(adopted, seats(1))

    assert (there.ours, there.crm_id) == (False, "acme:seats:1")
    assert there.fields["name"] == "More seats for Acme"


def test_what_is_to_be_made_is_made_beside_what_a_person_made(adopted, tmp_path):
    adopted.write([Change(seats(1), {"amount": 5.0})])

    assert pl.read_csv(tmp_path / "opportunities.csv")["key"].null_count() == 1
    assert found(adopted, seats(1))[0].fields["amount"] == 5.0


def test_what_the_sender_adopts_is_filled_and_not_doubled(adopted, tmp_path):
    (there,) = found(adopted, seats(1))
    change = Change(
        Ref("opportunity", "acme:seats:1", "acme", "seats", there.crm_id), {"limit": "seats"}
    )

    adopted.write([change])
    again = found(adopted, seats(1))

    rows = pl.read_csv(tmp_path / "opportunities.csv", infer_schema=False)
    assert rows["key"].to_list() == ["acme:seats:1", "beta:seats:1"]
    assert rows["name"].to_list() == ["More seats for Acme", "Beta: seats"]
    assert (again[0].ours, again[0].fields["limit"]) == (True, "seats")


def test_one_row_of_a_person_is_adopted_for_one_limit_only(adopted):
    usage = ref("opportunity", "acme:usage:1", "acme", limit="usage")

    first, second = found(adopted, seats(1), usage)

    assert not first.ours
    assert second is None


@pytest.mark.parametrize(
    "cells", [{"limit": "usage"}, {"state": "expanded"}, {"account_id": "beta"}]
)
def test_another_limit_a_closed_one_or_another_account_is_not_adopted(drop, tmp_path, cells):
    put(drop, "beta:seats:1", "opportunity", limit="seats")
    opportunity_of_a_person(tmp_path, **cells)

    assert found(drop, seats(1)) == [None]


def test_a_later_episode_is_another_row(target):
    put(target, "acme:seats:1", "opportunity", state="expanded", limit="seats")

    assert found(target, seats(2)) == [None]


def test_rows_that_somebody_copied_are_refused_and_found_by_the_check(drop, tmp_path):
    put(drop, name="Acme")
    put(drop, "beta", name="Beta")
    edit(tmp_path / "accounts.csv", lambda rows: [*rows, rows[0]])

    answers = drop.write([Change(ref(), {"rank": 1}), Change(ref(key="beta"), {"rank": 2})])

    assert isinstance(answers[0], Refused)
    assert answers[1] == Accepted("beta")
    assert [each.examples for each in drop.check([]) if not each.well] == [("acme",)]


def test_a_key_that_no_file_of_text_can_hold_is_refused(target):
    answers = target.write([Change(ref(key="\x00"), {"rank": 1}), Change(ref(), {"rank": 2})])

    assert isinstance(answers[0], Refused)
    assert answers[1] == Accepted("acme")


def test_a_task_with_a_day_in_done_on_tells_that_the_account_was_worked(drop, tmp_path):
    for key in ("acme:seats:1:talk", "beta:seats:1:talk", "gamma:usage:1:talk"):
        put(drop, key, "task", subject="Talk")
    days = ["2026-06-03", "2026-05-01", "done"]
    edit(
        tmp_path / "tasks.csv",
        lambda rows: [{**row, "done_on": day} for row, day in zip(rows, days, strict=True)],
    )

    (worked,) = drop.worked(date(2026, 6, 1))

    assert (worked.account_id, worked.on) == ("acme", date(2026, 6, 3))
    assert [each.examples for each in drop.check([]) if not each.well] == [("done",)]


def is_whole(folder):
    """What an importer looks at: the manifest, and whether its sums are those of the files."""
    if not (folder / manifest.MANIFEST).exists():
        return False
    told = json.loads((folder / manifest.MANIFEST).read_text())
    return all(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() == file["sha256"]
        for name, file in told["files"].items()
    )


def test_a_manifest_says_what_is_whole_once_all_is_written(target):
    folder = target._folder
    put(target, as_of="2026-06-01", rank=1)
    put(target, "beta", as_of="2026-05-25")
    during = is_whole(folder)
    put(target, "acme:seats:1", "opportunity", state="open")

    target.close()

    told = json.loads((folder / manifest.MANIFEST).read_text())
    rows = {name.partition(".")[0]: file["rows"] for name, file in told["files"].items()}
    assert not during
    assert is_whole(folder)
    assert told["as_of"] == "2026-06-01"
    assert rows == {"accounts": 2, "opportunities": 1, "tasks": 0}


def test_writing_what_stands_already_leaves_manifest_and_files_alone(target):
    put(target, rank=1)
    target.close()
    before = {path: path.stat().st_mtime_ns for path in target._folder.iterdir()}

    put(target, rank=1)
    target.close()

    assert {path: path.stat().st_mtime_ns for path in target._folder.iterdir()} == before


def test_a_folder_that_is_missing_is_not_made_by_a_write(tmp_path):
    target = Files(tmp_path / "share")

    with pytest.raises(Denied, match="expansion crm setup"):
        put(target, rank=1)

    assert not (tmp_path / "share").exists()
    assert [each.well for each in target.check([])] == [False]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_told_in_a_sentence(drop, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(Denied, match="Permission denied"):
            put(drop, rank=1)
        assert not drop.check([])[0].well
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_leaves_the_old_file_and_no_draft(tmp_path, form):
    """In a process of its own, which may not write files above 64 kB."""
    script = f"""
import resource, signal
from pathlib import Path
from serving.crm.files import Files
from serving.crm.target import Change, Denied, Ref
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
target = Files(Path({str(tmp_path)!r}), {form!r})
target.write([Change(Ref("account", "acme", "acme"), {{"rank": 1}})])
target.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
import random
many = [
    Change(Ref("account", f"a{{i}}", f"a{{i}}"), {{"rank": i, "name": random.randbytes(30).hex()}})
    for i in range(5000)
]
try:
    target.write(many)
except Denied as error:
    print(error)
target.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    target = Files(tmp_path, form)
    assert "File too large" in done.stdout
    assert done.stdout.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir() if "draft" in path.name] == []
    assert found(target, ref(), ref(key="a1"))[1] is None
    assert not is_whole(tmp_path)  # the next run says so, once it has written all


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"account_id,rank\nacme,1,2\n", "expected 2 cells in line 2, found 3"),
        (b"account_id,rank\nacm\xe9,1\n", "utf-8"),
        (b"Account;rank\nacme;1\n", "no column 'account_id'"),
        (b"account_id,rank,rank\n", "two of its columns have the same name"),
        (b"", "no column 'account_id'"),
    ],
)
def test_a_file_that_is_no_longer_such_a_table_is_left_alone(drop, tmp_path, content, told):
    (tmp_path / "accounts.csv").write_bytes(content)

    for use in (lambda: put(drop, rank=1), lambda: found(drop, ref())):
        with pytest.raises(Denied, match=told):
            use()

    assert (tmp_path / "accounts.csv").read_bytes() == content
    assert "accounts.csv" in [each.about for each in drop.check([]) if not each.well]


def test_a_parquet_file_of_other_types_is_taken_where_nothing_is_lost(tmp_path):
    target = Files(tmp_path, "parquet")
    put(target, rank=1, name="Acme")
    file = tmp_path / "accounts.parquet"
    frame = pl.read_parquet(file)
    frame.with_columns(pl.col("rank").cast(pl.Float64), owner=pl.lit("Ada")).write_parquet(file)

    put(target, tier=2)
    frame = pl.read_parquet(file)
    frame.with_columns(rank=pl.lit("first")).write_parquet(file)

    assert frame.select("rank", "tier", "owner").rows() == [(1, 2, "Ada")]
    assert frame.schema["rank"] == pl.Int64
    with pytest.raises(Denied, match="cannot be read"):
        found(target, ref())


def test_two_writers_at_once_lose_nothing(target):
    def write(number):
        for each in range(12):
            while True:
                try:
                    put(Files(target._folder, target._form), f"w{number}-{each}", rank=each)
                    break
                except Transient:
                    time.sleep(0.001)

    threads = [threading.Thread(target=write, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    refs = [ref(key=f"w{number}-{each}") for number in range(3) for each in range(12)]
    assert [there.fields["rank"] for there in found(target, *refs)] == [*range(12)] * 3


def test_the_lock_of_another_writer_is_waited_for_by_the_sender(drop, tmp_path):
    with manifest.locked(tmp_path), pytest.raises(Transient, match="another writer"):
        put(drop, rank=1)


WRITER = """
import sys
from pathlib import Path
from serving.crm.files import Files
from serving.crm.target import Change, Ref
folder, form, turns = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
target = Files(folder, form)
print("ready", flush=True)
for turn in range(turns, turns + 10_000):
    for kind in ("account", "opportunity", "task"):
        field = {"account": "name", "opportunity": "name", "task": "subject"}[kind]
        target.write([
            Change(Ref(kind, f"k{i}", f"k{i}"), {field: f"turn {turn}"}) for i in range(300)
        ])
    target.close()
"""


def turns_of(folder, form):
    """The turn each file was written in; fails where a file holds rows of two turns."""
    target, said = Files(folder, form), {}
    for kind, field in (("account", "name"), ("opportunity", "name"), ("task", "subject")):
        there = target.read([ref(kind, f"k{i}", f"k{i}") for i in range(300)])
        texts = {each.fields[field] if each else None for each in there}
        assert len(texts) == 1, f"{kind}: half of a turn"
        said[kind] = texts.pop()
    return said


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_writer_killed_at_any_moment_leaves_whole_files_and_no_false_manifest(tmp_path, form):
    draw, struck = np.random.default_rng(7), 0
    for number in range(25):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path, form, str(number * 10_000)],
            stdout=subprocess.PIPE,
        ) as process:
            process.stdout.readline()
            time.sleep(draw.uniform(0, 0.25))
            process.send_signal(signal.SIGKILL)

        said = turns_of(tmp_path, form)
        if is_whole(tmp_path):
            assert len(set(said.values())) == 1  # all three of one turn
        else:
            struck += 1
    assert struck > 5  # else this test kills between the turns only
    target = Files(tmp_path, form)
    put(target, "k0", rank=1)
    target.close()

    assert is_whole(tmp_path)
    assert not list(tmp_path.glob(".*.draft"))


def test_the_settings_name_folder_format_and_columns(tmp_path):
    called = {"probability": "Chance", "band": ""}
    crm = {"name": "files", "files": {"folder": "drop", "format": "csv", "accounts": called}}
    target = files.target(Settings(crm=crm, base=tmp_path))
    target.setup()

    put(target, probability=0.5, band="40 % and more")

    assert repr(target) == f"Files('{tmp_path / 'drop'}', csv)"
    (row,) = pl.read_csv(tmp_path / "drop" / "accounts.csv").rows(named=True)
    assert row["Chance"] == 0.5
    assert "band" not in row
    assert target.shape("account", {"band": "low", "rank": 1}) == {"rank": 1}


@pytest.mark.parametrize(
    ("accounts", "told"),
    [
        ({"chance": "Chance"}, "unknown field 'chance'"),
        ({"probability": "rank"}, "one name"),
        ({"probability": "account_id"}, "one name"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(accounts, told):
    with pytest.raises(SettingsError, match=told):
        files.target(Settings(crm={"files": {"accounts": accounts}}))


def test_setup_makes_empty_files_once(tmp_path):
    target = Files(tmp_path / "a" / "b", "csv")

    made, again = target.setup(), target.setup()

    assert len(made) == 4
    assert again == []
    assert (tmp_path / "a/b/tasks.csv").read_text().startswith("key,opportunity,account_id,subject")
    assert all(each.well for each in target.check([]))


def test_the_settings_of_the_page_are_valid():
    page = (Path(files.__file__).parents[1] / "FILES.md").read_text(encoding="utf-8")
    written = page.split("```toml\n")[1].split("```")[0]

    target = files.target(Settings(**tomllib.loads(written)))

    assert "Expansion_Chance" in target._columns["account"].typed()
