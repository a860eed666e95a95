"""A digest as a message in Slack: Block Kit, within its bounds."""

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
# Not documented: Slack refuses a message with about 13,000 characters in all of its blocks.
MAX_MESSAGE_CHARACTERS: Final = 12_000
_MAX_SENTENCE_LENGTH: Final = 180
# Slack knows no escape for its own marks; these look alike and mean nothing to it.
_LOOKALIKES: Final = str.maketrans({"*": "∗", "~": "∼", "`": "ˋ", "_": "＿"})
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_EMOJI: Final = re.compile(r":(?=[\w+\-']+:)")
_PARTIAL_ENTITY: Final = re.compile(r"&[a-z]{0,3}$")


def build_message(digest: Digest) -> dict[str, Any]:
    """Write the digest as the JSON body of a message.

    Returns
    -------
    dict
        ``blocks``, and ``text`` for the notification. Of accounts that would not fit, the last are
        left out.
    """
    macros: Any = render.load_template("slack.j2").make_module()
    for entry_count in range(len(digest.entries), -1, -1):
        escaped = _escape_digest(replace(digest, entries=digest.entries[:entry_count]))
        blocks = _build_blocks(escaped, macros)
        if _count_characters(blocks) <= MAX_MESSAGE_CHARACTERS:
            break
    return {"text": _truncate(macros.subject(escaped)), "blocks": blocks}


def escape_mrkdwn(text: str) -> str:
    r"""Write text of data so that Slack shows it as it is, and takes nothing in it for a mark.

    Examples
    --------
    >>> escape_mrkdwn("<!here> R&D *now* :tada:")
    '&lt;!here&gt; R&amp;D ∗now∗ :\u200btada:'
    """
    substituted = to_single_line(text, _MAX_SENTENCE_LENGTH).translate(_LOOKALIKES)
    return _EMOJI.sub(":\u200b", substituted).translate(_ENTITIES)


def _build_blocks(digest: Digest, macros: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a template's macros
    blocks = [_build_section(macros.opening(digest))]
    for number, entry in enumerate(digest.entries, start=1):
        blocks += [{"type": "divider"}, _build_section(macros.entry(entry, number, digest))]
        blocks += _build_context(macros.aside(entry))
    closing = macros.closing(digest)
    if closing:
        blocks += [{"type": "divider"}, _build_section(closing)]
    return blocks + _build_context(macros.foot(digest))


def _build_section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _build_text(text)}


def _build_context(text: str) -> list[dict[str, Any]]:
    return [{"type": "context", "elements": [_build_text(text)]}] if text else []


def _build_text(text: str) -> dict[str, Any]:
    # Verbatim: what looks like an address or a channel is not made into a link.
    return {"type": "mrkdwn", "text": _truncate(text), "verbatim": True}


def _truncate(text: str) -> str:
    """Bring text within the bound, and part no entity."""
    return (
        text
        if len(text) <= MAX_TEXT_LENGTH
        else _PARTIAL_ENTITY.sub("", text[: MAX_TEXT_LENGTH - 1]) + "…"
    )


def _count_characters(blocks: list[dict[str, Any]]) -> int:
    texts = [block["text"] for block in blocks if "text" in block]
    texts += [each for block in blocks for each in block.get("elements", [])]
    return sum(len(each["text"]) for each in texts)


def _escape_digest(digest: Digest) -> Digest:
    """Make every text that comes from data literal."""
    entries = tuple(
        replace(
            entry,
            name=escape_mrkdwn(entry.name),
            link=entry.link.replace("|", "%7C").translate(_ENTITIES),
            buyer=escape_mrkdwn(entry.buyer),
            signals=tuple(map(escape_mrkdwn, entry.signals)),
            changed=tuple(map(escape_mrkdwn, entry.changed)),
            holds_back=tuple(map(escape_mrkdwn, entry.holds_back)),
            note=escape_mrkdwn(entry.note),
        )
        for entry in digest.entries
    )
    held = tuple(replace(each, new=tuple(map(escape_mrkdwn, each.new))) for each in digest.held)
    csm = None if digest.csm is None else escape_mrkdwn(digest.csm)
    return replace(digest, csm=csm, basis=escape_mrkdwn(digest.basis), entries=entries, held=held)
