"""What a person sees in the terminal: tables, bars, one line per error."""

from serving.console.account import print_account
from serving.console.backtest import print_backtest
from serving.console.crm import (
    print_delivery_status,
    print_diff,
    print_preflight,
    print_provisioning,
    print_rejections,
    print_requeued,
    print_rollback,
    print_sync_summary,
)
from serving.console.delivery import print_send_hint
from serving.console.lists import format_readiness_date, print_ranked_list, print_run_summary
from serving.console.models import (
    print_control_features,
    print_evaluation,
    print_evaluation_details,
    print_exclusions,
    print_feedback_outcomes,
)
from serving.console.promotion import print_gate_decision, print_promotion
from serving.console.tables import print_data_report, print_leakage_warning
from serving.console.terminal import print_json, print_status, show_progress, stderr, stdout

__all__ = [
    "format_readiness_date",
    "print_account",
    "print_backtest",
    "print_control_features",
    "print_data_report",
    "print_delivery_status",
    "print_diff",
    "print_evaluation",
    "print_evaluation_details",
    "print_exclusions",
    "print_feedback_outcomes",
    "print_gate_decision",
    "print_json",
    "print_leakage_warning",
    "print_preflight",
    "print_promotion",
    "print_provisioning",
    "print_ranked_list",
    "print_rejections",
    "print_requeued",
    "print_rollback",
    "print_run_summary",
    "print_send_hint",
    "print_status",
    "print_sync_summary",
    "show_progress",
    "stderr",
    "stdout",
]
