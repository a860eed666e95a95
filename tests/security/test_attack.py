"""A small attack passes, and its ledger detects violations."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.security.counters import AttackCategory, Ledger
from tests.security.raw_http import RawResponse
from tests.security.target import Target


def test_the_ledger_reports_violations(tmp_path: Path) -> None:

    rows = [{"account_id": "acc_00001", "csm": "Ada"}, {"account_id": "acc_00002", "csm": "Ben"}]
    ledger = Ledger(Target(tmp_path, rows, {}, {}))
    tried = [
        (RawResponse(500), "", "", False),
        (RawResponse(503), "", "", False),
        (RawResponse(200, {}, b"acc_00001 of-book-Ada"), "Ada", "", True),
        (RawResponse(200, {}, b"acc_00002"), "Ada", "", False),
        (
            RawResponse(200, {}, b"acc_00002"),
            "Ada",
            "GET /?q=acc_00002",
            True,
        ),  # contains what was requested
        (RawResponse(200, {}, b"of-book-Ben"), "", "", False),
        (RawResponse(200, {}, b"acc_00002 of-book-Ben"), "lead", "", True),
    ]
    for response, user, request, is_well in tried:
        category = AttackCategory("tried")
        ledger.record(category, response, user=user, request=request)

        assert (not category.violations) is is_well, (response, category.violations)
    honest = AttackCategory("full", may_return_503=True)
    ledger.record(honest, RawResponse(503))
    assert honest.violations == []


@pytest.mark.slow
def test_a_small_attack_passes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.run_attacks", "--small", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )

    result = json.loads(done.stdout)
    assert result["holds"], (result, done.stderr)
    assert result["sqlite"]["requests"] > 1_000
    assert all(category["requests"] for category in result["sqlite"]["categories"])
