"""The attack can be tried, and its judge sees what must not be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ATTACK = Path(__file__).parent


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("attack", "web", "bench/events"):
        monkeypatch.syspath_prepend(str(ATTACK.parent / each))


def test_the_judge_sees_what_must_not_be(tmp_path: Path) -> None:
    from ledger import Kind, Ledger  # noqa: PLC0415 - beside the attack
    from target import Target  # noqa: PLC0415
    from wire import Answer  # noqa: PLC0415

    rows = [{"account_id": "acc_00001", "csm": "Ada"}, {"account_id": "acc_00002", "csm": "Ben"}]
    judge = Ledger(Target(tmp_path, rows, {}, {}))
    tried = [
        (Answer(500), "", "", False),
        (Answer(503), "", "", False),
        (Answer(200, {}, b"acc_00001 of-book-Ada"), "Ada", "", True),
        (Answer(200, {}, b"acc_00002"), "Ada", "", False),
        (Answer(200, {}, b"acc_00002"), "Ada", "GET /?q=acc_00002", True),  # told what it asked
        (Answer(200, {}, b"of-book-Ben"), "", "", False),
        (Answer(200, {}, b"acc_00002 of-book-Ben"), "lead", "", True),
    ]
    for answer, viewer, asked, is_well in tried:
        kind = Kind("tried")
        judge.note(kind, answer, viewer=viewer, asked=asked)

        assert (not kind.broken) is is_well, (answer, kind.broken)
    honest = Kind("full", refuses=True)
    judge.note(honest, Answer(503))
    assert honest.broken == []


@pytest.mark.slow
def test_the_attack_can_be_tried() -> None:
    done = subprocess.run(
        [sys.executable, ATTACK / "run.py", "--small", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )

    told = json.loads(done.stdout)
    assert told["holds"], (told, done.stderr)
    assert told["sqlite"]["requests"] > 1_000
    assert all(kind["requests"] for kind in told["sqlite"]["kinds"])
