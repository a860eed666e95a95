"""What a person sees in the terminal: tables, bars, one line per error."""

from serving.console.account import one_account
from serving.console.backtest import backtested
from serving.console.crm import (
    differences,
    findings,
    made,
    rejected,
    retried,
    sent,
    standing,
    taken_back,
)
from serving.console.delivery import unsent
from serving.console.lists import monday_list, scored, talk_from
from serving.console.models import answers, controls, evaluated, exclusion, judged
from serving.console.promotion import promoted, ruled
from serving.console.tables import checkup, suspicious
from serving.console.terminal import emit, logs, out, say, stages

__all__ = [
    "answers",
    "backtested",
    "checkup",
    "controls",
    "differences",
    "emit",
    "evaluated",
    "exclusion",
    "findings",
    "judged",
    "logs",
    "made",
    "monday_list",
    "one_account",
    "out",
    "promoted",
    "rejected",
    "retried",
    "ruled",
    "say",
    "scored",
    "sent",
    "stages",
    "standing",
    "suspicious",
    "taken_back",
    "talk_from",
    "unsent",
]
