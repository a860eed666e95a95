"""What a person sees in the terminal: tables, bars, one line per error."""

from serving.console.account import one_account
from serving.console.backtest import backtested
from serving.console.delivery import delivered
from serving.console.lists import monday_list, scored, talk_from
from serving.console.models import controls, evaluated, exclusion, judged
from serving.console.promotion import promoted, ruled
from serving.console.tables import checkup, suspicious
from serving.console.terminal import emit, logs, out, say, stages

__all__ = [
    "backtested",
    "checkup",
    "controls",
    "delivered",
    "emit",
    "evaluated",
    "exclusion",
    "judged",
    "logs",
    "monday_list",
    "one_account",
    "out",
    "promoted",
    "ruled",
    "say",
    "scored",
    "stages",
    "suspicious",
    "talk_from",
]
