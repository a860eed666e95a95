"""Routes of the weekly list and the CSV exports."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from starlette.responses import HTMLResponse, StreamingResponse

from data.errors import DeliveryError
from data.io.csv_injection import escape_formula
from serving.store import as_utc, queries
from serving.web import feedback
from serving.web.dependencies import ContextDep, UserDep, render_page
from serving.web.queries import account_list, alerts
from serving.web.queries.account_list import ListFilters

__all__ = ["router"]

router = APIRouter()
_PAGE_SIZE: Final = 50  # accounts
_IN_MEMORY_BYTES: Final = 2_000_000
_CHUNK_CHARS: Final = 64 * 1024
FiltersDep = Annotated[ListFilters, Query()]


@router.get("/")
def show_list(
    request: Request, context: ContextDep, user: UserDep, filters: FiltersDep
) -> HTMLResponse:
    """Show one page of the list; for htmx requests, the table only."""
    as_of = queries.load_latest_as_of(context.engine)
    if as_of is None:
        return render_page("empty.html.j2", user, context, active_page="list")
    is_htmx = request.headers.get("hx-target") == "list"
    list_page = account_list.load_page(
        context.engine, user, filters, as_of, page_size=_PAGE_SIZE, table_only=is_htmx
    )
    record = queries.load_run_record(context.engine, as_of)
    accounts = [row["account_id"] for row in list_page.rows]
    return render_page(
        "list_part.html.j2" if is_htmx else "list.html.j2",
        user,
        context,
        active_page="list",
        as_of=as_of,
        list_page=list_page,
        filters=filters,
        page_count=max(-(-list_page.total // _PAGE_SIZE), 1),
        row_offset=(filters.page - 1) * _PAGE_SIZE,
        capacity=record.get("capacity"),
        basis=record.get("basis", ""),
        horizon=context.settings.outcome.horizon_days,
        has_probabilities=any(row["probability"] is not None for row in list_page.rows),
        feedback=feedback.load_latest_feedback(context.engine, accounts),
        alerts=alerts.load_new_alerts(context.engine, accounts, as_of),
        has_csms=account_list.has_csms(context.engine, as_of),
        week=account_list.WEEK,
        reference_date=account_list.get_reference_date(as_of, context.today),
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
def download_list(
    context: ContextDep, user: UserDep, filters: FiltersDep, file: TemporaryFile
) -> StreamingResponse:
    """Return every row that matches the filters, as CSV."""
    as_of = _latest_or_404(context)
    rows = account_list.iter_list_rows(context.engine, user, filters, as_of)
    dated_rows = ({**row, "as_of": as_of} for row in rows)
    _write_csv(file, ("as_of", *account_list.EXPORT_COLUMNS), dated_rows)
    return _respond_with(file, f"list-{as_of}.csv")


@router.get("/feedback.csv")
def download_feedback(context: ContextDep, user: UserDep, file: TemporaryFile) -> StreamingResponse:
    """Return all feedback on the user's portfolios, as CSV."""
    as_of = _latest_or_404(context)
    rows = feedback.load_feedback_rows(context.engine, user, as_of)
    _write_csv(file, feedback.EXPORT_COLUMNS, rows)
    return _respond_with(file, f"feedback-{as_of}.csv")


def _latest_or_404(context: ContextDep) -> date:
    as_of = queries.load_latest_as_of(context.engine)
    if as_of is None:
        raise HTTPException(404)
    return as_of


def _write_csv(file: IO[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write all rows before the response starts, so that a slow client holds no connection."""
    try:
        out = csv.writer(file, lineterminator="\r\n")
        out.writerow(columns)
        out.writerows([_format_cell(row[name]) for name in columns] for row in rows)
        file.seek(0)
    except OSError as error:
        raise DeliveryError(
            f"cannot buffer the file ({error.strerror}); free disk space."
        ) from error


def _respond_with(file: IO[str], name: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    parts = iter(partial(file.read, _CHUNK_CHARS), "")
    return StreamingResponse(parts, 200, headers, "text/csv; charset=utf-8")


def _format_cell(value: object) -> object:
    if isinstance(value, list):
        value = "\n".join(map(str, value))
    if isinstance(value, datetime):
        return as_utc(value).isoformat()
    return escape_formula(value) if isinstance(value, str) else value
