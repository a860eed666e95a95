"""The command that tells each CSM of the week's list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.errors import DeliveryError
from serving.cli.commands import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.notify.digest.content import Digest
    from serving.notify.digest.export import DigestFormat
    from serving.notify.slack.delivery import PostSummary

__all__ = ["digest"]


@click.command()
@options.config_option
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
@options.json_option
def digest(
    config: Path,
    csm: str | None,
    form: DigestFormat,
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
    from serving.cli import output
    from serving.notify.digest import export, load, render

    settings, now = options.load_settings_and_time(config)
    engine = options.open_database(settings)
    as_of = load.load_latest_list_date(engine)
    if as_of is None:
        raise DeliveryError("there is no list yet to tell of; run `expansion score` first.")
    digests = load.load_digests(engine, settings, as_of, now.date())
    if csm is not None:
        digests = _select_csm(digests, csm)
    if slack:
        from serving.notify import slack as slack_
        from serving.notify.slack import delivery

        messages, wire = slack_.build_digest_messages(digests), slack_.open_transport(settings)
        _print_post_summary(
            delivery.deliver_messages(engine, wire, messages, now=now, repost_unknown=again),
            as_json=as_json,
        )
        return
    if out is None and not as_json and form != "text" and len(digests) > 1:
        raise DeliveryError(
            f"{len(digests)} digests cannot be printed as one {form} document; name a folder with"
            " --out, or one CSM with --csm."
        )
    files: Sequence[str | None] = (
        export.write_files(digests, out, form) if out else [None] * len(digests)
    )
    if as_json:
        rows: list[dict[str, Any]] = [
            {"csm": each.csm, "subject": render.render_subject(each), "accounts": len(each.entries)}
            | ({"content": _build_json_content(each, form)} if file is None else {"file": file})
            for each, file in zip(digests, files, strict=True)
        ]
        output.print_json({"as_of": as_of, "format": form, "digests": rows})
    elif out is not None:
        output.stdout.print(
            f"{len(digests)} {'digest' if len(digests) == 1 else 'digests'} of {as_of} written to {out};"
            f" {export.INDEX_FILE} names them.",
            highlight=False,
            markup=False,
        )
    else:
        click.echo("\n\n".join(_format_for_print(each, form) for each in digests), nl=False)


def _print_post_summary(summary: PostSummary, *, as_json: bool) -> None:
    from serving.cli import output
    from serving.cli.output import slack_summary

    if as_json:
        output.print_json(summary.to_dict())
    else:
        slack_summary.print_posts(summary)


def _select_csm(digests: Sequence[Digest], csm: str) -> list[Digest]:
    csms = [each.csm for each in digests if each.csm]
    if csm not in csms:
        names = ", ".join(csms[:10]) + (", …" if len(csms) > 10 else "")
        raise DeliveryError(f"the list names no CSM {csm!r}; it names {names or 'none'}.")
    return [each for each in digests if each.csm == csm]


def _build_json_content(digest: Digest, form: DigestFormat) -> Any:  # noqa: ANN401 - a text, or a message of Slack's
    from serving.notify.digest import export, slack_blocks

    return (
        slack_blocks.build_message(digest)
        if form == "slack"
        else export.render_format(digest, form)
    )


def _format_for_print(digest: Digest, form: DigestFormat) -> str:
    from serving.notify.digest import export, render

    head = f"{render.render_subject(digest)}\n\n" if form == "text" else ""
    return head + export.render_format(digest, form)
