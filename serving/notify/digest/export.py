"""Export of digests: one file per CSM, and an index of the folder."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from data.io import atomic
from serving.notify.digest import render, slack_blocks
from serving.notify.digest.content import Digest
from serving.notify.digest.text_utils import slugify

__all__ = ["FORMATS", "INDEX_FILE", "DigestFormat", "render_format", "write_files"]

INDEX_FILE: Final = "index.json"
DigestFormat = Literal["text", "html", "slack"]
FORMATS: Final[Mapping[DigestFormat, tuple[str, Callable[[Digest], str]]]] = {
    "text": (".txt", render.render_text),
    "html": (".html", render.render_html),
    "slack": (
        ".json",
        lambda digest: json.dumps(slack_blocks.build_message(digest), ensure_ascii=False) + "\n",
    ),
}


def render_format(digest: Digest, output_format: DigestFormat) -> str:
    """Render a digest in one of the formats."""
    return FORMATS[output_format][1](digest)


def write_files(digests: Sequence[Digest], folder: Path, output_format: DigestFormat) -> list[str]:
    """Write one file per digest, then the index with CSM, file and subject.

    The index names the files of this list only. Files of an earlier list remain in the folder.
    Returns the names of the files, in the order of the digests.

    Raises ``DeliveryError`` if the folder cannot be written to.
    """
    names = [f"{stem}{FORMATS[output_format][0]}" for stem in _assign_file_stems(digests)]
    for digest, name in zip(digests, names, strict=True):
        _write_text(folder / name, render_format(digest, output_format))
    entries = [
        {"csm": digest.csm, "file": name, "subject": render.render_subject(digest)}
        for digest, name in zip(digests, names, strict=True)
    ]
    as_of = str(digests[0].as_of) if digests else None
    index = {"as_of": as_of, "format": output_format, "digests": entries}
    _write_text(folder / INDEX_FILE, json.dumps(index, indent=2, ensure_ascii=False) + "\n")
    return names


def _assign_file_stems(digests: Sequence[Digest]) -> list[str]:
    """Assign a file name stem to each digest; on a collision a hash of the CSM is appended."""
    plain = [slugify(digest.csm) if digest.csm else "no-csm" for digest in digests]
    stem_counts = Counter(plain) + Counter({Path(INDEX_FILE).stem: 1})
    return [
        stem
        if stem_counts[stem] == 1
        else f"{stem}-{hashlib.sha256((digest.csm or '').encode()).hexdigest()[:8]}"
        for digest, stem in zip(digests, plain, strict=True)
    ]


def _write_text(file: Path, text: str) -> None:
    atomic.atomic_write(file, lambda draft: draft.write_bytes(text.encode()), durable=True)
