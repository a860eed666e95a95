"""Sign in with a token, and out again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from serving.web import forms
from serving.web.auth import SESSION_COOKIE, SESSION_SECONDS
from serving.web.dependencies import ContextDep
from serving.web.templating import render_template

__all__ = ["router"]

router = APIRouter()
_Form = Annotated[dict[str, str], Depends(forms.read_fields)]


@router.get("/sign-in")
def show_sign_in(context: ContextDep, to: str = "/") -> HTMLResponse:
    """Ask for the token."""
    if not context.authenticator.accepts_tokens:
        raise HTTPException(404)
    return _render_sign_in(to)


@router.post("/sign-in")
def sign_in(request: Request, context: ContextDep, form: _Form) -> Response:
    """Let in who has a token."""
    session = context.authenticator.create_session(form.get("token", ""))
    if session is None:
        return _render_sign_in(form.get("to", "/"), "This token is not known.", 401)
    response = RedirectResponse(_safe_redirect(form.get("to", "/")), 303)
    response.set_cookie(
        SESSION_COOKIE,
        session,
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/sign-out")
def sign_out(context: ContextDep) -> Response:
    """Forget who is looking."""
    response = RedirectResponse("/sign-in" if context.authenticator.accepts_tokens else "/", 303)
    response.delete_cookie(SESSION_COOKIE)
    return response


def _render_sign_in(to: str, error: str = "", status: int = 200) -> HTMLResponse:
    variables = {"viewer": None, "at": "", "to": _safe_redirect(to), "mistake": error}
    return HTMLResponse(render_template("sign_in.html.j2", **variables), status)


def _safe_redirect(to: str) -> str:
    r"""Keep an address on this page: no other host, by whatever slashes.

    Examples
    --------
    >>> [_safe_redirect(to) for to in ("/model?x=1", "//evil", "/\\evil", "https://evil", "/a\r\nb")]
    ['/model?x=1', '/', '/', '/', '/']
    """
    is_local = to.startswith("/") and not to.startswith(("//", "/\\"))
    return to if is_local and to.isascii() and to.isprintable() else "/"
