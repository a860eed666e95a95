"""Files of a table: local paths, globs, folders, lists of them, and object-store URLs."""

import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import polars as pl

from data.errors import SourceError
from data.ingest.mapping import RawTable

__all__ = ["resolve_files", "source_errors"]

_PARQUET: Final = (".parquet", ".pq")
_CSV: Final = (".csv", ".csv.gz")
_GLOB_CHARACTERS: Final = re.compile(r"[*?\[]")
# Hadoop's name for the same store.
_SCHEME_ALIASES: Final = {"s3a": "s3"}


@contextmanager
def source_errors(name: str) -> Iterator[None]:
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
            f"{name} cannot be read as what its name says: {_first_error_line(error)}. It may be half-written"
            " or damaged: write it again, or take it away."
        ) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise SourceError(
            f"{name} cannot be read: {_first_error_line(error)}. Check that it exists and may be read."
        ) from None


def resolve_files(table: str, source: str | Iterable[str], folder: Path) -> list[RawTable]:
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
    list of RawTable
        One per file, sorted by name, each once.

    Raises
    ------
    SourceError
        If a file is missing, a pattern matches nothing, or a name ends in a way we do not know.
    """
    parts = [source] if isinstance(source, str) else list(source)
    files: dict[str, RawTable] = {}
    for part in parts:
        found = (
            _resolve_remote(table, part) if "://" in part else _resolve_local(table, part, folder)
        )
        files.update({raw.name: raw for raw in found})
    return [files[name] for name in sorted(files)]


def _resolve_local(table: str, part: str, folder: Path) -> list[RawTable]:
    path = folder / Path(part).expanduser()
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = [file for file in path.rglob("*") if file.name.endswith((*_PARQUET, *_CSV))]
    elif _GLOB_CHARACTERS.search(part):
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
    return [_describe_local_file(table, file, folder) for file in found]


def _describe_local_file(table: str, file: Path, folder: Path) -> RawTable:
    file, folder = file.absolute(), folder.absolute()
    name = file.relative_to(folder) if file.is_relative_to(folder) else file
    with source_errors(f"{table}: {name}"):
        state = file.stat()
    content = f"{file}:{state.st_size}:{state.st_mtime_ns}"
    return RawTable(name.as_posix(), content, _scan_file(table, str(file)))


def _resolve_remote(table: str, url: str) -> list[RawTable]:
    """Objects in a store, with the store's own word for when each was last written."""
    scheme, _, pattern = url.partition("://")
    scheme = _SCHEME_ALIASES.get(scheme, scheme)
    magic = _GLOB_CHARACTERS.search(pattern)
    fixed = pattern[: magic.start()].rpartition("/")[0] if magic else pattern.rstrip("/")
    try:
        store, path = _open_store(f"{scheme}://{fixed}")
        found = _list_objects(store, path, _glob_to_regex(pattern) if magic else None)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{table}: {url} cannot be reached: {_first_error_line(error)}. Check the address and the"
            " credentials in the environment."
        ) from None
    if not found:
        raise SourceError(
            f"{table}: no object matches {url}. Put one there, or correct [tables] {table} in"
            " expansion.toml."
        )
    return [_describe_remote_file(table, f"{scheme}://{info.path}", info) for info in found]


def _open_store(url: str) -> tuple[Any, str]:
    """Open the store of a URL; its keys may hold signs that a URL may not."""
    from pyarrow import fs  # noqa: PLC0415 - opens a network library

    store, path = fs.FileSystem.from_uri(quote(url, safe=":/"))
    return store, path


def _list_objects(store: Any, path: str, pattern: re.Pattern[str] | None) -> list[Any]:  # noqa: ANN401
    """One object, those under a folder, or those under it that are like a pattern."""
    from pyarrow import fs  # noqa: PLC0415

    if pattern is None:
        (place,) = store.get_file_info([path])
        if place.type != fs.FileType.Directory:
            return [place] if place.type == fs.FileType.File else []
    try:
        below = store.get_file_info(fs.FileSelector(path, recursive=True))
    except FileNotFoundError:  # the store is there, and has nothing of that name
        return []
    found = [info for info in below if info.type == fs.FileType.File]
    if pattern is None:
        return [info for info in found if info.path.endswith((*_PARQUET, *_CSV))]
    return [info for info in found if pattern.fullmatch(info.path)]


def _describe_remote_file(table: str, url: str, info: Any) -> RawTable:  # noqa: ANN401 - pyarrow is untyped
    return RawTable(url, f"{url}:{info.size}:{info.mtime_ns}", _scan_file(table, url))


def _glob_to_regex(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: ``*`` stays inside a folder, ``**`` does not."""
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(
            words.get(part) or (part if part.startswith("[") else re.escape(part))
            for part in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
        )
    )


def _scan_file(table: str, location: str) -> pl.LazyFrame:
    """Text stays text here: what a CSV's column means is the contract's to say."""
    if location.endswith(_PARQUET):
        return pl.scan_parquet(location, glob=False)
    if location.endswith(_CSV):
        return pl.scan_csv(location, infer_schema=False, glob=False)
    raise SourceError(
        f"{table}: {location} is of a kind we cannot read, expected .parquet, .csv or .csv.gz. Convert"
        f" it, or correct [tables] {table} in expansion.toml."
    )


def _first_error_line(error: BaseException) -> str:
    """The first line of a library's message, without the cells it may quote."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    told = re.sub(r"`[^`]*`?| ?\(Request ID: \w+\)", _strip_quoted_cell, first)
    return told.rstrip(".")[:200]


def _strip_quoted_cell(match: re.Match[str]) -> str:
    return "…" if match[0].startswith("`") else ""
