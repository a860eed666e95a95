"""Rendering of a digest: subject, plain text, and HTML e-mail body.

The texts are in ``templates/macros.j2``. The HTML loads no external resource and uses only what
e-mail clients support alike: tables and inline styles.
"""

from functools import cache

import jinja2

from serving.notify.digest.content import Digest

__all__ = ["load_template", "render_html", "render_subject", "render_text"]


def render_subject(digest: Digest) -> str:
    """Render the subject line."""
    return str(load_template("macros.j2").make_module().subject(digest))  # type: ignore[attr-defined]


def render_text(digest: Digest) -> str:
    """Render the digest as plain text, for an e-mail or a terminal."""
    return load_template("digest.txt.j2").render(digest=digest).lstrip("\n")


def render_html(digest: Digest) -> str:
    """Render the digest as one HTML page; data is escaped."""
    return load_template("digest.html.j2", autoescape=True).render(digest=digest).lstrip("\n")


@cache
def load_template(name: str, *, autoescape: bool = False) -> jinja2.Template:
    """Load a template; an undefined name in it is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("serving.notify.digest"),
        autoescape=autoescape,  # noqa: S701 - plain text needs no HTML escaping
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
