"""One account: its page, and what a human says of it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Query
from starlette.responses import HTMLResponse, RedirectResponse, Response

from serving.playbook import MOTIONS, NO_ASK
from serving.state.schema import VERDICTS
from serving.web import account, book, charts, company, feedback, forms, signals
from serving.web.account import Account
from serving.web.points import POINTS
from serving.web.sign_in import Viewer
from serving.web.site import Here, Looking, Site, page

__all__ = ["router"]

router = APIRouter()
_Id = Annotated[str, Query(alias="id", min_length=1, max_length=500)]
_Form = Annotated[dict[str, str], Depends(forms.fields)]


@router.get("/account")
def one(site: Here, viewer: Looking, account_id: _Id) -> HTMLResponse:
    """Show an account."""
    return _page(site, viewer, _found(site, viewer, account_id))


@router.post("/account")
def answer(site: Here, viewer: Looking, account_id: _Id, form: _Form) -> Response:
    """Keep what a human says of an account, and show it."""
    if not site.door.sealed(viewer, form.get("seal", "")):
        raise HTTPException(403, "This form is too old, or not of ours; load the page again.")
    found = _found(site, viewer, account_id)
    now = site.clock()
    try:
        said = forms.said(form, account_id, found.line["as_of"], now.date())
    except forms.Mistake as error:
        return _page(site, viewer, found, mistake=str(error), form=form, status=422)
    feedback.give(site.engine, said, viewer, now)
    there = f"/account?id={quote(account_id, safe='')}#said"
    return RedirectResponse(there, 303)


def _found(site: Site, viewer: Viewer, account_id: str) -> Account:
    as_of = book.newest(site.engine)
    plain = "\0" not in account_id
    found = account.find(site.engine, viewer, account_id, as_of) if as_of and plain else None
    if found is None:
        raise HTTPException(404)
    return found


def _page(
    site: Site,
    viewer: Viewer,
    found: Account,
    *,
    mistake: str = "",
    form: dict[str, str] | None = None,
    status: int = 200,
) -> HTMLResponse:
    line, horizon = found.line, site.settings.outcome.horizon_days
    record = company.run_of(site.engine, line["as_of"])["record"]
    band = next((each for each in record.get("bands", []) if each["band"] == line["band"]), None)
    return page(
        "account.html.j2",
        viewer,
        site,
        at="account",
        status=status,
        account=found,
        line=line,
        band=band,
        horizon=horizon,
        outreach=MOTIONS.get(line["motion"] or "", ""),
        asks=line["motion"] not in NO_ASK,
        fresh=[each for each in found.signals if signals.is_fresh(each, line["as_of"])],
        told_on=book.told_on(line["as_of"], site.today),
        charts=_drawn(found, horizon),
        steps=_steps(line),
        named=book.names_csms(site.engine, line["as_of"]),
        agreed=account.agreed,
        terms=account.terms(found.drawn.get("contract")),
        points=POINTS,
        verdicts=VERDICTS,
        once=site.unique(),
        mistake=mistake,
        form=form or {},
    )


def _drawn(found: Account, horizon: int) -> dict[str, charts.Chart | None]:
    drawn, line = found.drawn, found.line
    return {
        "curve": charts.curve(
            drawn.get("curve"), line["as_of"], ready=line["readiness_date"], horizon_days=horizon
        ),
        "seats": charts.seats(drawn.get("months")),
        "usage": charts.usage(drawn.get("months"), drawn.get("contract")),
        "chances": charts.chances(found.past),
    }


def _steps(line: Any) -> list[charts.Step]:  # noqa: ANN401 - a line
    if line["margin"] is None or not line["contributions"]:
        return []
    return charts.waterfall(line["base"], line["contributions"], line["margin"])
