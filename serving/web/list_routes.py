"""The list of the week: as a page, and as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from starlette.responses import HTMLResponse, StreamingResponse

from data.spreadsheet import guarded
from serving.web import book, company, feedback, signals
from serving.web.site import Here, Looking, page
from serving.web.wanted import Limit, Order, Tier, Wanted, When

__all__ = ["router"]

router = APIRouter()
_Text = Annotated[str, Query(max_length=200)]


def _wanted(
    *,
    csm: _Text = "",
    tier: Tier = "",
    limit: Limit = "",
    segment: _Text = "",
    when: When = "",
    q: _Text = "",
    sort: Order = "rank",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> Wanted:
    of, part, search = (each.replace("\0", "") for each in (csm, segment, q))
    return Wanted(of, tier, limit, part, when, search.strip(), sort, page)


Choice = Annotated[Wanted, Depends(_wanted)]


@router.get("/")
def monday_list(request: Request, site: Here, viewer: Looking, wanted: Choice) -> HTMLResponse:
    """Show one page of the list; only the table where htmx asks."""
    as_of = book.newest(site.engine)
    if as_of is None:
        return page("empty.html.j2", viewer, site, at="list")
    shown = book.shown(site.engine, viewer, wanted, as_of, rows=site.settings.web.rows)
    record = company.run_of(site.engine, as_of)["record"]
    part = request.headers.get("hx-target") == "list"
    accounts = [row["account_id"] for row in shown.rows]
    return page(
        "list_part.html.j2" if part else "list.html.j2",
        viewer,
        site,
        at="list",
        as_of=as_of,
        shown=shown,
        wanted=wanted,
        pages=max(-(-shown.found // site.settings.web.rows), 1),
        capacity=record.get("capacity"),
        basis=record.get("basis", ""),
        horizon=site.settings.outcome.horizon_days,
        said=feedback.latest(site.engine, accounts),
        fresh=signals.fresh(site.engine, accounts, as_of),
    )


@router.get("/list.csv")
def list_file(site: Here, viewer: Looking, wanted: Choice) -> StreamingResponse:
    """Give every line that the filters let through."""
    as_of = _newest(site)
    rows = book.everything(site.engine, viewer, wanted, as_of)
    return _file(f"list-{as_of}.csv", ("as_of", *book.columns()), _of_day(rows, as_of))


@router.get("/feedback.csv")
def feedback_file(site: Here, viewer: Looking) -> StreamingResponse:
    """Give every answer of the viewer's books."""
    as_of = _newest(site)
    rows = feedback.everything(site.engine, viewer, as_of)
    return _file(f"feedback-{as_of}.csv", feedback.columns(), rows)


def _newest(site: Here) -> Any:  # noqa: ANN401 - a day
    as_of = book.newest(site.engine)
    if as_of is None:
        raise HTTPException(404)
    return as_of


def _of_day(rows: Iterable[Mapping[str, Any]], as_of: object) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {**row, "as_of": as_of}


def _file(
    name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_lines(columns, rows), 200, headers, "text/csv; charset=utf-8")


def _lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    part = io.StringIO()
    out = csv.writer(part, lineterminator="\r\n")
    out.writerow(columns)
    for number, row in enumerate(rows, start=1):
        out.writerow([_cell(row[name]) for name in columns])
        if number % 500 == 0:
            yield part.getvalue()
            part.seek(0)
            part.truncate()
    yield part.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = "\n".join(map(str, value))
    return guarded(value) if isinstance(value, str) else value
