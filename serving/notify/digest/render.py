"""A digest in words: its subject, as plain text, and as the HTML body of an e-mail.

The phrases stand in ``templates/phrases.j2``. The HTML asks for nothing from anywhere, and keeps to
what mail programs show alike: tables, and styles on the tags themselves.
"""

from functools import cache

import jinja2

from serving.notify.digest.content import Digest

__all__ = ["load_template", "render_html", "render_subject", "render_text"]


def render_subject(digest: Digest) -> str:
    """Say in one line what the digest is about."""
    return str(load_template("phrases.j2").make_module().subject(digest))  # type: ignore[attr-defined]


def render_text(digest: Digest) -> str:
    """Write the digest as plain text, for an e-mail or a terminal."""
    return load_template("digest.txt.j2").render(digest=digest).lstrip("\n")


def render_html(digest: Digest) -> str:
    """Write the digest as one HTML page; what comes from data is escaped."""
    return load_template("digest.html.j2", autoescape=True).render(digest=digest).lstrip("\n")


@cache
def load_template(name: str, *, autoescape: bool = False) -> jinja2.Template:
    """Open a template; a name in it that nothing fills is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("serving.notify.digest"),
        autoescape=autoescape,  # noqa: S701 - plain text is no place for entities
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
