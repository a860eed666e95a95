"""The model's card, the runs, and whether the page is alive."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import APIRouter
from starlette.responses import HTMLResponse, PlainTextResponse

from serving.state.database import read_transaction
from serving.web import book, company, events, feedback
from serving.web.site import ContextDep, UserDep, render_page

__all__ = ["router"]

router = APIRouter()


@router.get("/model")
def show_model(context: ContextDep, user: UserDep) -> HTMLResponse:
    """Show what the list in force was made with, and how far it can be believed."""
    as_of = book.load_latest_as_of(context.engine)
    if as_of is None:
        return render_page("empty.html.j2", user, context, active_page="model")
    run = company.load_run(context.engine, as_of)
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
        figures=company.get_ranking_metrics(record),
        bands=list(reversed(record.get("bands", []))),
        answers=feedback.count_by_band(context.engine) if user.csm is None else [],
        horizon=context.settings.outcome.horizon_days,
    )


@router.get("/runs")
def show_runs(context: ContextDep, user: UserDep) -> HTMLResponse:
    """Show every run of late, how events stand, and what was not well with either."""
    return render_page(
        "runs.html.j2",
        user,
        context,
        active_page="runs",
        runs=company.load_runs(context.engine),
        events=events.load_event_status(context.engine, context.settings.webhooks, context.clock()),
        most=events.MAX_WAITING,
    )


@router.get("/health")
def check_health(context: ContextDep) -> PlainTextResponse:
    """Say that the page and its database answer; nobody signs in for it."""
    with read_transaction(context.engine) as connection:
        connection.execute(sa.select(1))
    return PlainTextResponse("well")
