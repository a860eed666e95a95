"""Files of a table: local paths, globs, folders, lists of them, and object-store URLs."""

import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import polars as pl

from data.arrival import Raw
from data.errors import SourceError

__all__ = ["find", "reading"]

_PARQUET: Final = (".parquet", ".pq")
_CSV: Final = (".csv", ".csv.gz")
_MAGIC: Final = re.compile(r"[*?\[]")
# Hadoop's name for the same store.
_SCHEMES: Final = {"s3a": "s3"}


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what goes wrong inside a file into one sentence that names it.

    Parameters
    ----------
    name : str
        The table or file being read, for the message.

    Raises
    ------
    SourceError
        In place of the operating system's and Polars' own errors about content. Errors that
        would be our own mistake pass unchanged, and so does a full disk.
    """
    try:
        yield
    except pl.exceptions.NoDataError:
        raise SourceError(f"{name} is empty, expected a header and rows. Write it again.") from None
    except (pl.exceptions.ComputeError, pl.exceptions.PanicException) as error:
        raise SourceError(
            f"{name} cannot be read as what its name says: {_plain(error)}. It may be half-written"
            " or damaged: write it again, or take it away."
        ) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise SourceError(
            f"{name} cannot be read: {_plain(error)}. Check that it exists and may be read."
        ) from None


def find(table: str, source: str | Iterable[str], folder: Path) -> list[Raw]:
    """Find a table's files.

    Parameters
    ----------
    table : str
        The table's name, for messages.
    source : str or iterable of str
        Paths, globs, folders or URLs.
    folder : pathlib.Path
        Where relative paths start. A URL's store is opened with what the environment says of it.

    Returns
    -------
    list of Raw
        One per file, sorted by name, each once.

    Raises
    ------
    SourceError
        If a file is missing, a pattern matches nothing, or a name ends in a way we do not know.
    """
    parts = [source] if isinstance(source, str) else list(source)
    files: dict[str, Raw] = {}
    for part in parts:
        found = _remote(table, part) if "://" in part else _local(table, part, folder)
        files.update({raw.name: raw for raw in found})
    return [files[name] for name in sorted(files)]


def _local(table: str, part: str, folder: Path) -> list[Raw]:
    path = folder / Path(part).expanduser()
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = [file for file in path.rglob("*") if file.name.endswith((*_PARQUET, *_CSV))]
    elif _MAGIC.search(part):
        root = Path(path.anchor)
        found = [file for file in root.glob(str(path.relative_to(root))) if file.is_file()]
    else:
        raise SourceError(
            f"{table}: no file at {path}. Put it there, or correct [tables] {table} in"
            " expansion.toml."
        )
    if not found:
        raise SourceError(
            f"{table}: no file matches {path}. Put one there, or correct [tables] {table} in"
            " expansion.toml."
        )
    return [_local_file(table, file, folder) for file in found]


def _local_file(table: str, file: Path, folder: Path) -> Raw:
    file, folder = file.absolute(), folder.absolute()
    name = file.relative_to(folder) if file.is_relative_to(folder) else file
    with reading(f"{table}: {name}"):
        state = file.stat()
    content = f"{file}:{state.st_size}:{state.st_mtime_ns}"
    return Raw(name.as_posix(), content, _scan(table, str(file)))


def _remote(table: str, url: str) -> list[Raw]:
    """Objects in a store, with the store's own word for when each was last written."""
    scheme, _, pattern = url.partition("://")
    scheme = _SCHEMES.get(scheme, scheme)
    magic = _MAGIC.search(pattern)
    fixed = pattern[: magic.start()].rpartition("/")[0] if magic else pattern.rstrip("/")
    try:
        store, path = _connect(f"{scheme}://{fixed}")
        found = _objects(store, path, _like(pattern) if magic else None)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{table}: {url} cannot be reached: {_plain(error)}. Check the address and the"
            " credentials in the environment."
        ) from None
    if not found:
        raise SourceError(
            f"{table}: no object matches {url}. Put one there, or correct [tables] {table} in"
            " expansion.toml."
        )
    return [_remote_file(table, f"{scheme}://{info.path}", info) for info in found]


def _connect(url: str) -> tuple[Any, str]:
    """Open the store of a URL; its keys may hold signs that a URL may not."""
    from pyarrow import fs  # noqa: PLC0415 - opens a network library

    store, path = fs.FileSystem.from_uri(quote(url, safe=":/"))
    return store, path


def _objects(store: Any, path: str, like: re.Pattern[str] | None) -> list[Any]:  # noqa: ANN401
    """One object, those under a folder, or those under it that are like a pattern."""
    from pyarrow import fs  # noqa: PLC0415

    if like is None:
        (place,) = store.get_file_info([path])
        if place.type != fs.FileType.Directory:
            return [place] if place.type == fs.FileType.File else []
    try:
        below = store.get_file_info(fs.FileSelector(path, recursive=True))
    except FileNotFoundError:  # the store is there, and has nothing of that name
        return []
    found = [info for info in below if info.type == fs.FileType.File]
    if like is None:
        return [info for info in found if info.path.endswith((*_PARQUET, *_CSV))]
    return [info for info in found if like.fullmatch(info.path)]


def _remote_file(table: str, url: str, info: Any) -> Raw:  # noqa: ANN401 - pyarrow is untyped
    return Raw(url, f"{url}:{info.size}:{info.mtime_ns}", _scan(table, url))


def _like(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: ``*`` stays inside a folder, ``**`` does not."""
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(
            words.get(part) or (part if part.startswith("[") else re.escape(part))
            for part in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
        )
    )


def _scan(table: str, where: str) -> pl.LazyFrame:
    """Text stays text here: what a CSV's column means is the contract's to say."""
    if where.endswith(_PARQUET):
        return pl.scan_parquet(where, glob=False)
    if where.endswith(_CSV):
        return pl.scan_csv(where, infer_schema=False, glob=False)
    raise SourceError(
        f"{table}: {where} is of a kind we cannot read, expected .parquet, .csv or .csv.gz. Convert"
        f" it, or correct [tables] {table} in expansion.toml."
    )


def _plain(error: BaseException) -> str:
    """The first line of a library's message, without the cells it may quote."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    told = re.sub(r"`[^`]*`?| ?\(Request ID: \w+\)", _unquoted, first)
    return told.rstrip(".")[:200]


def _unquoted(found: re.Match[str]) -> str:
    return "…" if found[0].startswith("`") else ""
