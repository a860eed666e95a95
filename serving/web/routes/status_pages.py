"""Routes of the model page, the runs page and the health check."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import APIRouter
from starlette.responses import HTMLResponse, PlainTextResponse

from serving.store import queries, read_transaction
from serving.web import feedback
from serving.web.dependencies import ContextDep, UserDep, render_page
from serving.web.queries import event_status, run_status

__all__ = ["router"]

router = APIRouter()


@router.get("/model")
def show_model(context: ContextDep, user: UserDep) -> HTMLResponse:
    """Show the model behind the active list, and its evaluation."""
    as_of = queries.load_latest_as_of(context.engine)
    run = queries.load_last_run(context.engine, as_of) if as_of else None
    if run is None:
        return render_page("empty.html.j2", user, context, active_page="model")
    record = run["record"]
    return render_page(
        "model.html.j2",
        user,
        context,
        active_page="model",
        as_of=as_of,
        run=run,
        record=record,
        ranking=record.get("ranking"),
        metrics=run_status.get_ranking_metrics(record),
        bands=list(reversed(record.get("bands", []))),
        feedback=feedback.count_by_band(context.engine) if user.csm is None else [],
        horizon=context.settings.outcome.horizon_days,
    )


@router.get("/runs")
def show_runs(context: ContextDep, user: UserDep) -> HTMLResponse:
    """Show recent runs, the status of events, and their problems."""
    return render_page(
        "runs.html.j2",
        user,
        context,
        active_page="runs",
        runs=run_status.load_runs(context.engine),
        events=event_status.load_event_status(
            context.engine, context.settings.webhooks, context.clock()
        ),
        max_waiting=event_status.MAX_WAITING,
    )


@router.get("/health")
def check_health(context: ContextDep) -> PlainTextResponse:
    """Return "ok" if the server and its database respond; no sign-in required."""
    with read_transaction(context.engine) as connection:
        connection.execute(sa.select(1))
    return PlainTextResponse("ok")
