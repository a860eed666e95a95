"""Sign in with a token, and out again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from serving.web import forms
from serving.web.pages import render
from serving.web.sign_in import COOKIE, SESSION_SECONDS
from serving.web.site import Here

__all__ = ["router"]

router = APIRouter()
_Form = Annotated[dict[str, str], Depends(forms.fields)]


@router.get("/sign-in")
def ask(site: Here, to: str = "/") -> HTMLResponse:
    """Ask for the token."""
    if not site.door.takes_tokens:
        raise HTTPException(404)
    return _asked(to)


@router.post("/sign-in")
def sign_in(request: Request, site: Here, form: _Form) -> Response:
    """Let in who has a token."""
    session = site.door.session(form.get("token", ""))
    if session is None:
        return _asked(form.get("to", "/"), "This token is not known.", 401)
    answer = RedirectResponse(_inside(form.get("to", "/")), 303)
    answer.set_cookie(
        COOKIE,
        session,
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/sign-out")
def sign_out(site: Here) -> Response:
    """Forget who is looking."""
    answer = RedirectResponse("/sign-in" if site.door.takes_tokens else "/", 303)
    answer.delete_cookie(COOKIE)
    return answer


def _asked(to: str, mistake: str = "", status: int = 200) -> HTMLResponse:
    told = {"viewer": None, "at": "", "to": _inside(to), "mistake": mistake}
    return HTMLResponse(render("sign_in.html.j2", **told), status)


def _inside(to: str) -> str:
    r"""Keep an address on this page: no other host, by whatever slashes.

    Examples
    --------
    >>> [_inside(to) for to in ("/model?x=1", "//evil", "/\\evil", "https://evil", "/a\r\nb")]
    ['/model?x=1', '/', '/', '/', '/']
    """
    own = to.startswith("/") and not to.startswith(("//", "/\\"))
    return to if own and to.isascii() and to.isprintable() else "/"
