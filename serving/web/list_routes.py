"""The list of the week: as a page, and as a file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from starlette.responses import HTMLResponse, StreamingResponse

from data.errors import DeliveryError
from data.spreadsheet import guarded
from serving.web import book, company, feedback, signals
from serving.web.pages import utc
from serving.web.site import Here, Looking, page
from serving.web.wanted import Limit, Order, Tier, Wanted, When

__all__ = ["router"]

router = APIRouter()
_IN_MEMORY_BYTES: Final = 2_000_000
_PART: Final = 64 * 1024
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
    part = request.headers.get("hx-target") == "list"
    rows = site.settings.web.rows
    shown = book.shown(site.engine, viewer, wanted, as_of, rows=rows, table_alone=part)
    record = company.run_of(site.engine, as_of)["record"]
    accounts = [row["account_id"] for row in shown.rows]
    return page(
        "list_part.html.j2" if part else "list.html.j2",
        viewer,
        site,
        at="list",
        as_of=as_of,
        shown=shown,
        wanted=wanted,
        pages=max(-(-shown.found // rows), 1),
        before=(wanted.page - 1) * rows,
        capacity=record.get("capacity"),
        basis=record.get("basis", ""),
        horizon=site.settings.outcome.horizon_days,
        chances=any(row["probability"] is not None for row in shown.rows),
        said=feedback.latest(site.engine, accounts),
        fresh=signals.fresh(site.engine, accounts, as_of),
        named=book.names_csms(site.engine, as_of),
        week=book.WEEK,
        told_on=book.told_on(as_of, site.today),
    )


def open_temporary_file() -> Iterator[IO[str]]:
    """Yield a temporary file; FastAPI closes it after the response, also if the client leaves."""
    file = SpooledTemporaryFile(_IN_MEMORY_BYTES, "w+", encoding="utf-8", newline="")  # noqa: SIM115
    try:
        yield file
    finally:
        with suppress(OSError):  # a full disk, which the handler has reported
            file.close()


TemporaryFile = Annotated[IO[str], Depends(open_temporary_file)]


@router.get("/list.csv")
def list_file(
    site: Here, viewer: Looking, wanted: Choice, file: TemporaryFile
) -> StreamingResponse:
    """Return every row that passes the filters."""
    as_of = _newest(site)
    rows = book.everything(site.engine, viewer, wanted, as_of)
    _write_csv(file, ("as_of", *book.columns()), _of_day(rows, as_of))
    return _respond_with(file, f"list-{as_of}.csv")


@router.get("/feedback.csv")
def feedback_file(site: Here, viewer: Looking, file: TemporaryFile) -> StreamingResponse:
    """Return all feedback on the viewer's accounts."""
    as_of = _newest(site)
    rows = feedback.everything(site.engine, viewer, as_of)
    _write_csv(file, feedback.columns(), rows)
    return _respond_with(file, f"feedback-{as_of}.csv")


def _newest(site: Here) -> Any:  # noqa: ANN401 - a day
    as_of = book.newest(site.engine)
    if as_of is None:
        raise HTTPException(404)
    return as_of


def _of_day(rows: Iterable[Mapping[str, Any]], as_of: object) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {**row, "as_of": as_of}


def _write_csv(file: IO[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write all rows before the response starts, so that a slow client holds no connection."""
    try:
        out = csv.writer(file, lineterminator="\r\n")
        out.writerow(columns)
        out.writerows([_cell(row[name]) for name in columns] for row in rows)
        file.seek(0)
    except OSError as error:
        raise DeliveryError(f"the file has no room ({error.strerror}); free some.") from error


def _respond_with(file: IO[str], name: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    parts = iter(partial(file.read, _PART), "")
    return StreamingResponse(parts, 200, headers, "text/csv; charset=utf-8")


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = "\n".join(map(str, value))
    if isinstance(value, datetime):
        return utc(value).isoformat()
    return guarded(value) if isinstance(value, str) else value
