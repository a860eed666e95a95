"""A folder with a file per CSM, for whatever sends them, and an index of what is in it."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from data import writing
from serving.digest import render, slack
from serving.digest.entries import Digest
from serving.digest.plain import slug

__all__ = ["FORMATS", "INDEX", "Format", "content", "put"]

INDEX: Final = "index.json"
Format = Literal["text", "html", "slack"]
FORMATS: Final[Mapping[Format, tuple[str, Callable[[Digest], str]]]] = {
    "text": (".txt", render.text),
    "html": (".html", render.html),
    "slack": (".json", lambda digest: json.dumps(slack.message(digest), ensure_ascii=False) + "\n"),
}


def content(digest: Digest, form: Format) -> str:
    """Write a digest in one of the formats."""
    return FORMATS[form][1](digest)


def put(digests: Sequence[Digest], folder: Path, form: Format) -> list[str]:
    """Write a file per digest, and last the index: whose it is, and its subject.

    The index names what is of this list. Files that an earlier list left stay, but are not in it.

    Returns
    -------
    list of str
        Names of the files, in the order of the digests.

    Raises
    ------
    data.errors.DeliveryError
        If the folder cannot be written to.
    """
    names = [f"{stem}{FORMATS[form][0]}" for stem in _stems(digests)]
    for digest, name in zip(digests, names, strict=True):
        _write(folder / name, content(digest, form))
    told = [
        {"csm": digest.csm, "file": name, "subject": render.subject(digest)}
        for digest, name in zip(digests, names, strict=True)
    ]
    as_of = str(digests[0].as_of) if digests else None
    index = {"as_of": as_of, "format": form, "digests": told}
    _write(folder / INDEX, json.dumps(index, indent=2, ensure_ascii=False) + "\n")
    return names


def _stems(digests: Sequence[Digest]) -> list[str]:
    """A name for each; those that would be the same, or the index's, get a sum of the CSM's."""
    plain = [slug(digest.csm) if digest.csm else "no-csm" for digest in digests]
    taken = Counter(plain) + Counter({Path(INDEX).stem: 1})
    return [
        stem if taken[stem] == 1 else f"{stem}-{_sum(digest.csm)}"
        for digest, stem in zip(digests, plain, strict=True)
    ]


def _sum(csm: str | None) -> str:
    return hashlib.sha256((csm or "").encode()).hexdigest()[:8]


def _write(file: Path, text: str) -> None:
    writing.atomically(file, lambda draft: draft.write_bytes(text.encode()), durable=True)
