"""The model's card, the runs, and whether the page is alive."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import APIRouter
from starlette.responses import HTMLResponse, PlainTextResponse

from serving.state.database import reading
from serving.web import book, company, events, feedback
from serving.web.site import Here, Looking, page

__all__ = ["router"]

router = APIRouter()


@router.get("/model")
def model(site: Here, viewer: Looking) -> HTMLResponse:
    """Show what the list in force was made with, and how far it can be believed."""
    as_of = book.newest(site.engine)
    if as_of is None:
        return page("empty.html.j2", viewer, site, at="model")
    run = company.run_of(site.engine, as_of)
    record = run["record"]
    return page(
        "model.html.j2",
        viewer,
        site,
        at="model",
        as_of=as_of,
        run=run,
        record=record,
        ranking=record.get("ranking"),
        figures=company.figures(record),
        bands=list(reversed(record.get("bands", []))),
        answers=feedback.by_band(site.engine) if viewer.csm is None else [],
        horizon=site.settings.outcome.horizon_days,
    )


@router.get("/runs")
def runs(site: Here, viewer: Looking) -> HTMLResponse:
    """Show every run of late, how events stand, and what was not well with either."""
    return page(
        "runs.html.j2",
        viewer,
        site,
        at="runs",
        runs=company.runs(site.engine),
        events=events.stand(site.engine, site.settings.webhooks, site.clock()),
        most=events.MOST,
    )


@router.get("/health")
def health(site: Here) -> PlainTextResponse:
    """Say that the page and its database answer; nobody signs in for it."""
    with reading(site.engine) as connection:
        connection.execute(sa.select(1))
    return PlainTextResponse("well")
