"""The command that tells each CSM of the week's list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.errors import DeliveryError
from serving.commands import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.digest.entries import Digest
    from serving.digest.post import Format
    from serving.slack.posting import Posted

__all__ = ["digest"]


@click.command()
@options.config
@click.option("--csm", help="Only for this one; by default for every CSM that the list names.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html", "slack"]),
    default="text",
    show_default=True,
    help="Plain text, the HTML body of an e-mail, or the JSON of a Slack message.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a file per CSM into this folder, and an index.json.",
)
@click.option("--slack", is_flag=True, help="Post each in Slack, once for a CSM and list.")
@click.option("--again", is_flag=True, help="With --slack: also what may have been posted before.")
@options.as_json
def digest(
    config: Path,
    csm: str | None,
    form: Format,
    out: Path | None,
    slack: bool,
    again: bool,
    as_json: bool,
) -> None:
    """Tell each CSM whom to talk to first, from the last list that was written.

    Without --slack it sends nothing: the files, or what is printed, are for whatever sends your
    mail or messages.

    Example: expansion digest --format html --out digests
    """
    from serving import console
    from serving.digest import post, reading, render

    settings, now = options.opened(config)
    engine = options.database(settings)
    as_of = reading.newest(engine)
    if as_of is None:
        raise DeliveryError("there is no list yet to tell of; run `expansion score` first.")
    told = reading.digests(engine, settings, as_of, now.date())
    if csm is not None:
        told = _only(told, csm)
    if slack:
        from serving import slack as slack_
        from serving.slack import posting

        messages, wire = slack_.of_digests(told), slack_.open_wire(settings)
        _say(posting.deliver(engine, wire, messages, now=now, again=again), as_json=as_json)
        return
    if out is None and not as_json and form != "text" and len(told) > 1:
        raise DeliveryError(
            f"{len(told)} digests cannot be printed as one {form} document; name a folder with"
            " --out, or one CSM with --csm."
        )
    files: Sequence[str | None] = post.put(told, out, form) if out else [None] * len(told)
    if as_json:
        rows: list[dict[str, Any]] = [
            {"csm": each.csm, "subject": render.subject(each), "accounts": len(each.entries)}
            | ({"content": _value(each, form)} if file is None else {"file": file})
            for each, file in zip(told, files, strict=True)
        ]
        console.emit({"as_of": as_of, "format": form, "digests": rows})
    elif out is not None:
        console.out.print(
            f"{len(told)} {'digest' if len(told) == 1 else 'digests'} of {as_of} written to {out};"
            f" {post.INDEX} names them.",
            highlight=False,
            markup=False,
        )
    else:
        click.echo("\n\n".join(_printed(each, form) for each in told), nl=False)


def _say(said: Posted, *, as_json: bool) -> None:
    from serving import console
    from serving.console import slack

    if as_json:
        console.emit(said.told())
    else:
        slack.posted(said)


def _only(digests: Sequence[Digest], csm: str) -> list[Digest]:
    known = [each.csm for each in digests if each.csm]
    if csm not in known:
        names = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
        raise DeliveryError(f"the list names no CSM {csm!r}; it names {names or 'none'}.")
    return [each for each in digests if each.csm == csm]


def _value(digest: Digest, form: Format) -> Any:  # noqa: ANN401 - a text, or a message of Slack's
    from serving.digest import post, slack

    return slack.message(digest) if form == "slack" else post.content(digest, form)


def _printed(digest: Digest, form: Format) -> str:
    from serving.digest import post, render

    head = f"{render.subject(digest)}\n\n" if form == "text" else ""
    return head + post.content(digest, form)
