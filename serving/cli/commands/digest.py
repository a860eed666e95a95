"""The `digest` command: weekly digest per CSM as text, files or Slack messages."""

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
    from serving.cli import output
    from serving.notify.digest import content, export, render
    from serving.store import queries

    settings, now = options.load_settings_and_time(config)
    engine = options.open_database(settings)
    as_of = queries.load_latest_as_of(engine)
    if as_of is None:
        raise DeliveryError("there is no list yet; run `expansion score` first.")
    digests = content.load_digests(
        engine, settings.digest, as_of, now.date(), horizon_days=settings.outcome.horizon_days
    )
    if csm is not None:
        digests = _select_csm(digests, csm)
    if slack:
        from serving.notify.slack import delivery, messages, open_transport

        posts = messages.build_digest_messages(digests)
        transport = open_transport(settings.slack)
        _print_post_summary(
            delivery.deliver_messages(
                engine, transport, posts, now=now, repost_unknown=repost_unknown
            ),
            as_json=as_json,
        )
        return
    if out is None and not as_json and form != "text" and len(digests) > 1:
        raise DeliveryError(
            f"{len(digests)} digests cannot be printed as one {form} document; pass a folder with"
            " --out, or one CSM with --csm."
        )
    files: Sequence[str | None] = (
        export.write_files(digests, out, form) if out else [None] * len(digests)
    )
    if as_json:
        rows: list[dict[str, Any]] = [
            {
                "csm": csm_digest.csm,
                "subject": render.render_subject(csm_digest),
                "accounts": len(csm_digest.entries),
            }
            | (
                {"content": _build_json_content(csm_digest, form)}
                if file is None
                else {"file": file}
            )
            for csm_digest, file in zip(digests, files, strict=True)
        ]
        output.print_json({"as_of": as_of, "format": form, "digests": rows})
    elif out is not None:
        output.stdout.print(
            f"{len(digests)} {'digest' if len(digests) == 1 else 'digests'} of {as_of} written to"
            f" {out}; see {export.INDEX_FILE}.",
            highlight=False,
            markup=False,
        )
    else:
        click.echo(
            "\n\n".join(_format_for_print(csm_digest, form) for csm_digest in digests), nl=False
        )


def _print_post_summary(summary: PostSummary, *, as_json: bool) -> None:
    from dataclasses import asdict

    from serving.cli import output
    from serving.cli.output import slack_summary

    if as_json:
        output.print_json(asdict(summary))
    else:
        slack_summary.print_posts(summary)


def _select_csm(digests: Sequence[Digest], csm: str) -> list[Digest]:
    csms = [csm_digest.csm for csm_digest in digests if csm_digest.csm]
    if csm not in csms:
        names = ", ".join(csms[:10]) + (", …" if len(csms) > 10 else "")
        raise DeliveryError(f"no CSM {csm!r} on the list; found {names or 'none'}.")
    return [csm_digest for csm_digest in digests if csm_digest.csm == csm]


def _build_json_content(digest: Digest, form: DigestFormat) -> Any:  # noqa: ANN401 - a text, or a message of Slack's
    from serving.notify.digest import export, slack_blocks

    if form == "slack":
        return slack_blocks.build_message(digest)
    return export.render_format(digest, form)


def _format_for_print(digest: Digest, form: DigestFormat) -> str:
    from serving.notify.digest import export, render

    heading = f"{render.render_subject(digest)}\n\n" if form == "text" else ""
    return heading + export.render_format(digest, form)
