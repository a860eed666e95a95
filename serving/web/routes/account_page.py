"""Routes of the account page and its feedback form."""

from __future__ import annotations

import secrets
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query
from starlette.responses import HTMLResponse, RedirectResponse, Response

from serving.scoring.playbook import MOTIONS, SUPPRESSED_MOTIONS
from serving.store import queries
from serving.store.schema import FEEDBACK_VERDICTS
from serving.web import charts, feedback
from serving.web.auth import User
from serving.web.dependencies import (
    AppContext,
    ContextDep,
    FormDep,
    FormError,
    UserDep,
    render_page,
)
from serving.web.queries import account_list, account_view, alerts
from serving.web.queries.account_view import AccountView
from serving.web.talking_points import TALKING_POINTS

__all__ = ["router"]

router = APIRouter()
_AccountId = Annotated[str, Query(alias="id", min_length=1, max_length=500)]


@router.get("/account")
def show_account(context: ContextDep, user: UserDep, account_id: _AccountId) -> HTMLResponse:
    """Show an account."""
    return _render_account(context, user, _load_or_404(context, user, account_id))


@router.post("/account")
def submit_feedback(
    context: ContextDep, user: UserDep, account_id: _AccountId, form: FormDep
) -> Response:
    """Save the user's feedback on an account, and redirect to it."""
    if not context.authenticator.verify_csrf(user, form.get("csrf_token", "")):
        raise HTTPException(
            403, "The form has expired or its CSRF token is invalid; reload the page."
        )
    view = _load_or_404(context, user, account_id)
    now = context.clock()
    try:
        entry = feedback.parse_feedback(form, account_id, view.row["as_of"], now.date())
    except FormError as error:
        return _render_account(context, user, view, error=str(error), form=form, status=422)
    feedback.save_feedback(context.engine, entry, user, now)
    location = f"/account?id={quote(account_id, safe='')}#feedback"
    return RedirectResponse(location, 303)


def _load_or_404(context: AppContext, user: User, account_id: str) -> AccountView:
    as_of = queries.load_latest_as_of(context.engine)
    if as_of and "\0" not in account_id:
        view = account_view.load_account(context.engine, user, account_id, as_of)
        if view is not None:
            return view
    raise HTTPException(404)


def _render_account(
    context: AppContext,
    user: User,
    view: AccountView,
    *,
    error: str = "",
    form: dict[str, str] | None = None,
    status: int = 200,
) -> HTMLResponse:
    row, horizon = view.row, context.settings.outcome.horizon_days
    record = queries.load_run_record(context.engine, row["as_of"])
    band = next((entry for entry in record.get("bands", []) if entry["band"] == row["band"]), None)
    return render_page(
        "account.html.j2",
        user,
        context,
        active_page="account",
        status=status,
        account=view,
        row=row,
        band=band,
        horizon=horizon,
        outreach=MOTIONS.get(row["motion"] or "", ""),
        has_outreach=row["motion"] not in SUPPRESSED_MOTIONS,
        new_alerts=[alert for alert in view.alerts if alerts.is_new_alert(alert, row["as_of"])],
        reference_date=account_list.get_reference_date(row["as_of"], context.today),
        charts=_build_charts(view, horizon),
        waterfall=charts.build_waterfall(row["base"], row["contributions"], row["margin"])
        if row["margin"] is not None and row["contributions"]
        else [],
        has_csms=account_list.has_csms(context.engine, row["as_of"]),
        named_terms=account_view.list_named_terms,
        terms=account_view.list_changed_terms(view.details.get("contract")),
        talking_points=TALKING_POINTS,
        verdicts=FEEDBACK_VERDICTS,
        form_id=secrets.token_urlsafe(),
        error=error,
        form=form or {},
    )


def _build_charts(view: AccountView, horizon: int) -> dict[str, charts.LineChart | None]:
    details, row = view.details, view.row
    return {
        "curve": charts.build_curve_chart(
            details.get("curve"),
            row["as_of"],
            readiness_date=row["readiness_date"],
            horizon_days=horizon,
        ),
        "seats": charts.build_seats_chart(details.get("months")),
        "usage": charts.build_usage_chart(details.get("months"), details.get("contract")),
        "history": charts.build_history_chart(view.past),
    }
