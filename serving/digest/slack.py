"""A digest as a message in Slack: Block Kit, within its bounds."""

import re
from dataclasses import replace
from typing import Any, Final

from serving.digest import render
from serving.digest.entries import Digest
from serving.digest.plain import one_line

__all__ = ["MOST_BLOCKS", "MOST_CHARACTERS", "MOST_TEXT", "literal", "message"]

MOST_BLOCKS: Final = 50
MOST_TEXT: Final = 3_000
# Not documented: Slack refuses a message with about 13,000 characters in all of its blocks.
MOST_CHARACTERS: Final = 12_000
_SENTENCE: Final = 180
# Slack knows no escape for its own marks; these look alike and mean nothing to it.
_ALIKE: Final = str.maketrans({"*": "∗", "~": "∼", "`": "ˋ", "_": "＿"})
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_EMOJI: Final = re.compile(r":(?=[\w+\-']+:)")
_HALF: Final = re.compile(r"&[a-z]{0,3}$")


def message(digest: Digest) -> dict[str, Any]:
    """Write the digest as the JSON body of a message.

    Returns
    -------
    dict
        ``blocks``, and ``text`` for the notification. Of accounts that would not fit, the last are
        left out.
    """
    say: Any = render.template("slack.j2").make_module()
    for most in range(len(digest.entries), -1, -1):
        told = _literal(replace(digest, entries=digest.entries[:most]))
        blocks = _blocks(told, say)
        if _characters(blocks) <= MOST_CHARACTERS:
            break
    return {"text": _cut(say.subject(told)), "blocks": blocks}


def literal(text: str) -> str:
    r"""Write text of data so that Slack shows it as it is, and takes nothing in it for a mark.

    Examples
    --------
    >>> literal("<!here> R&D *now* :tada:")
    '&lt;!here&gt; R&amp;D ∗now∗ :\u200btada:'
    """
    alike = one_line(text, _SENTENCE).translate(_ALIKE)
    return _EMOJI.sub(":\u200b", alike).translate(_ENTITIES)


def _blocks(digest: Digest, say: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a template's macros
    blocks = [_section(say.opening(digest))]
    for number, entry in enumerate(digest.entries, start=1):
        blocks += [{"type": "divider"}, _section(say.entry(entry, number, digest))]
        blocks += _context(say.aside(entry))
    closing = say.closing(digest)
    if closing:
        blocks += [{"type": "divider"}, _section(closing)]
    return blocks + _context(say.foot(digest))


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text)}


def _context(text: str) -> list[dict[str, Any]]:
    return [{"type": "context", "elements": [_text(text)]}] if text else []


def _text(text: str) -> dict[str, Any]:
    # Verbatim: what looks like an address or a channel is not made into a link.
    return {"type": "mrkdwn", "text": _cut(text), "verbatim": True}


def _cut(text: str) -> str:
    """Bring text within the bound, and part no entity."""
    return text if len(text) <= MOST_TEXT else _HALF.sub("", text[: MOST_TEXT - 1]) + "…"


def _characters(blocks: list[dict[str, Any]]) -> int:
    texts = [block["text"] for block in blocks if "text" in block]
    texts += [each for block in blocks for each in block.get("elements", [])]
    return sum(len(each["text"]) for each in texts)


def _literal(digest: Digest) -> Digest:
    """Make every text that comes from data literal."""
    entries = tuple(
        replace(
            entry,
            name=literal(entry.name),
            link=entry.link.replace("|", "%7C").translate(_ENTITIES),
            buyer=literal(entry.buyer),
            signals=tuple(map(literal, entry.signals)),
            changed=tuple(map(literal, entry.changed)),
            holds_back=tuple(map(literal, entry.holds_back)),
            note=literal(entry.note),
        )
        for entry in digest.entries
    )
    held = tuple(replace(each, new=tuple(map(literal, each.new))) for each in digest.held)
    csm = None if digest.csm is None else literal(digest.csm)
    return replace(digest, csm=csm, basis=literal(digest.basis), entries=entries, held=held)
