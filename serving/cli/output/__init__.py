"""Terminal output of the commands: tables, progress bars, JSON."""

from serving.cli.output.account_view import print_account
from serving.cli.output.backtest_tables import print_backtest
from serving.cli.output.crm_sync import (
    print_delivery_status,
    print_diff,
    print_preflight,
    print_provisioning,
    print_rejections,
    print_requeued,
    print_rollback,
    print_sync_summary,
)
from serving.cli.output.data_report import print_data_report, print_leakage_warning
from serving.cli.output.evaluation_tables import (
    print_control_features,
    print_evaluation,
    print_evaluation_details,
    print_exclusions,
    print_feedback_outcomes,
)
from serving.cli.output.object_counts import print_send_hint
from serving.cli.output.promotion_text import print_gate_decision, print_promotion
from serving.cli.output.ranked_list import (
    format_readiness_date,
    print_ranked_list,
    print_run_summary,
)
from serving.cli.output.terminal import print_json, print_status, show_progress, stderr, stdout

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
