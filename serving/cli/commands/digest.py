"""The `digest` command: weekly digest per CSM as text, files or Slack messages."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data.errors import DeliveryError
from serving.cli.commands import options
from serving.cli.output import delivery_summary, terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.notify.digest.content import Digest
    from serving.notify.digest.export import DigestFormat

__all__ = ["digest"]


@click.command()
@options.config_option
@click.option("--csm", help="Only this CSM; by default every CSM on the list.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html", "slack"]),
    default="text",
    show_default=True,
    help="Plain text, HTML e-mail body, or Slack message as JSON.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write one file per CSM and an index.json to this folder.",
)
@click.option("--slack", is_flag=True, help="Post to Slack, once per CSM and list.")
@click.option(
    "--repost-unknown",
    is_flag=True,
    help="With --slack: repost messages whose delivery is unknown.",
)
@options.json_option
def digest(
    config: Path,
    csm: str | None,
    form: DigestFormat,
    out: Path | None,
    slack: bool,
    repost_unknown: bool,
    as_json: bool,
) -> None:
    """Print, export or post each CSM's accounts to contact first, from the active list.

    Without --slack nothing is sent: the files, or the output, are for your own mail or messaging
    system.

    Example: expansion digest --format html --out digests
    """
    from serving.notify.digest import content, export, render

    settings, now = options.load_settings_and_time(config)
    engine = options.open_database(settings)
    as_of = options.load_latest_as_of(engine)
    digests = content.load_digests(
        engine, settings.digest, as_of, now.date(), horizon_days=settings.outcome.horizon_days
    )
    if csm is not None:
        digests = _select_csm(digests, csm)
    if slack:
        from serving.notify.slack import delivery, messages, open_transport

        summary = delivery.deliver_messages(
            engine,
            open_transport(settings.slack),
            messages.build_digest_messages(digests),
            now=now,
            repost_unknown=repost_unknown,
        )
        if as_json:
            terminal.print_json(asdict(summary))
        else:
            delivery_summary.print_posts(summary)
        return
    if out is None and not as_json and form != "text" and len(digests) > 1:
        raise DeliveryError(
            f"{len(digests)} digests cannot be printed as one {form} document; pass a folder with"
            " --out, or one CSM with --csm."
        )
    files = export.write_files(digests, out, form) if out else []
    if as_json:
        rows = _build_json_rows(digests, form, files)
        terminal.print_json({"as_of": as_of, "format": form, "digests": rows})
    elif out is not None:
        terminal.print_line(
            f"{len(digests)} {'digest' if len(digests) == 1 else 'digests'} of {as_of} written to"
            f" {out}; see {export.INDEX_FILE}."
        )
    else:
        texts = [export.render_format(each, form) for each in digests]
        if form == "text":
            subjects = map(render.render_subject, digests)
            texts = [f"{subject}\n\n{text}" for subject, text in zip(subjects, texts, strict=True)]
        click.echo("\n\n".join(texts), nl=False)


def _build_json_rows(
    digests: Sequence[Digest], form: DigestFormat, files: Sequence[str]
) -> list[dict[str, object]]:
    """Return each digest with its file, or with its content if no file was written."""
    from serving.notify.digest import export, render, slack_blocks

    bodies: list[dict[str, object]]
    if files:
        bodies = [{"file": file} for file in files]
    elif form == "slack":
        bodies = [{"content": slack_blocks.build_message(each)} for each in digests]
    else:
        bodies = [{"content": export.render_format(each, form)} for each in digests]
    return [
        {"csm": each.csm, "subject": render.render_subject(each), "accounts": len(each.entries)}
        | body
        for each, body in zip(digests, bodies, strict=True)
    ]


def _select_csm(digests: Sequence[Digest], csm: str) -> list[Digest]:
    csms = [csm_digest.csm for csm_digest in digests if csm_digest.csm]
    if csm not in csms:
        names = ", ".join(csms[:10]) + (", …" if len(csms) > 10 else "")
        raise DeliveryError(f"no CSM {csm!r} on the list; found {names or 'none'}.")
    return [csm_digest for csm_digest in digests if csm_digest.csm == csm]
