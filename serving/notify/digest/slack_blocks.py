"""Slack Block Kit message of a digest, within Slack's size limits."""

import re
from dataclasses import replace
from typing import Any, Final

from serving.notify.digest import render
from serving.notify.digest.content import Digest
from serving.notify.digest.text_utils import to_single_line

__all__ = [
    "MAX_BLOCKS",
    "MAX_MESSAGE_CHARACTERS",
    "MAX_TEXT_LENGTH",
    "build_message",
    "escape_mrkdwn",
]

MAX_BLOCKS: Final = 50
MAX_TEXT_LENGTH: Final = 3_000
# Undocumented: Slack rejects messages with more than about 13,000 characters in all blocks.
MAX_MESSAGE_CHARACTERS: Final = 12_000
_MAX_SENTENCE_LENGTH: Final = 180
# Slack has no escape for its markup characters; these lookalikes have no meaning in mrkdwn.
_LOOKALIKES: Final = str.maketrans({"*": "∗", "~": "∼", "`": "ˋ", "_": "＿"})
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_EMOJI: Final = re.compile(r":(?=[\w+\-']+:)")
_PARTIAL_ENTITY: Final = re.compile(r"&[a-z]{0,3}$")


def build_message(digest: Digest) -> dict[str, Any]:
    """Build the JSON body of a Slack message: ``blocks``, and ``text`` for the notification.

    Accounts beyond the size limit are dropped from the end.
    """
    macros: Any = render.load_template("slack.j2").make_module()
    for entry_count in range(len(digest.entries), -1, -1):
        escaped = _escape_digest(replace(digest, entries=digest.entries[:entry_count]))
        blocks = _build_blocks(escaped, macros)
        if _count_characters(blocks) <= MAX_MESSAGE_CHARACTERS:
            break
    return {"text": _truncate(macros.subject(escaped)), "blocks": blocks}


def escape_mrkdwn(text: str) -> str:
    r"""Escape text so that Slack interprets no character of it as markup.

    Examples
    --------
    >>> escape_mrkdwn("<!here> R&D *now* :tada:")
    '&lt;!here&gt; R&amp;D ∗now∗ :\u200btada:'
    """
    substituted = to_single_line(text, _MAX_SENTENCE_LENGTH).translate(_LOOKALIKES)
    return _EMOJI.sub(":\u200b", substituted).translate(_ENTITIES)


def _build_blocks(digest: Digest, macros: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - template macros
    blocks = [_build_section(macros.opening(digest))]
    for number, entry in enumerate(digest.entries, start=1):
        blocks += [{"type": "divider"}, _build_section(macros.entry(entry, number, digest))]
        blocks += _build_context(macros.details(entry))
    closing = macros.closing(digest)
    if closing:
        blocks += [{"type": "divider"}, _build_section(closing)]
    return blocks + _build_context(macros.footnote(digest))


def _build_section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _build_text(text)}


def _build_context(text: str) -> list[dict[str, Any]]:
    return [{"type": "context", "elements": [_build_text(text)]}] if text else []


def _build_text(text: str) -> dict[str, Any]:
    # Verbatim: Slack does not turn addresses and channel names into links.
    return {"type": "mrkdwn", "text": _truncate(text), "verbatim": True}


def _truncate(text: str) -> str:
    """Truncate text to the limit without cutting through an entity."""
    if len(text) <= MAX_TEXT_LENGTH:
        return text
    return _PARTIAL_ENTITY.sub("", text[: MAX_TEXT_LENGTH - 1]) + "…"


def _count_characters(blocks: list[dict[str, Any]]) -> int:
    texts = [block["text"] for block in blocks if "text" in block]
    texts += [element for block in blocks for element in block.get("elements", [])]
    return sum(len(text["text"]) for text in texts)


def _escape_digest(digest: Digest) -> Digest:
    """Escape every text that comes from data."""
    entries = tuple(
        replace(
            entry,
            name=escape_mrkdwn(entry.name),
            link=entry.link.replace("|", "%7C").translate(_ENTITIES),
            contact_role=escape_mrkdwn(entry.contact_role),
            signals=tuple(map(escape_mrkdwn, entry.signals)),
            changes=tuple(map(escape_mrkdwn, entry.changes)),
            counter_reasons=tuple(map(escape_mrkdwn, entry.counter_reasons)),
            note=escape_mrkdwn(entry.note),
        )
        for entry in digest.entries
    )
    suppressed = tuple(
        replace(group, new=tuple(map(escape_mrkdwn, group.new))) for group in digest.suppressed
    )
    csm = None if digest.csm is None else escape_mrkdwn(digest.csm)
    basis = escape_mrkdwn(digest.basis)
    return replace(digest, csm=csm, basis=basis, entries=entries, suppressed=suppressed)
