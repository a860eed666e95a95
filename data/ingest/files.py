"""Resolve a table's files: local paths, globs, folders, lists of them, and object-store URLs."""

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

__all__ = ["resolve_files", "translate_source_errors"]

_PARQUET: Final = (".parquet", ".pq")
_CSV: Final = (".csv", ".csv.gz")
_GLOB_CHARACTERS: Final = re.compile(r"[*?\[]")
# Hadoop's name for S3.
_SCHEME_ALIASES: Final = {"s3a": "s3"}


@contextmanager
def translate_source_errors(name: str) -> Iterator[None]:
    """Convert read errors into a SourceError that names the table or file.

    These are operating-system errors and Polars' errors about content. Programming errors pass
    unchanged, and so does a full disk.
    """
    try:
        yield
    except pl.exceptions.NoDataError:
        raise SourceError(
            f"{name} is empty, expected a header and rows. Export it again."
        ) from None
    except (pl.exceptions.ComputeError, pl.exceptions.PanicException) as error:
        raise SourceError(
            f"{name} cannot be read: {_first_error_line(error)}. It"
            " may be incomplete or damaged: export it again, or remove it."
        ) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise SourceError(
            f"{name} cannot be read: {_first_error_line(error)}. Check that it exists and is"
            " readable."
        ) from None


def resolve_files(table: str, source: str | Iterable[str], folder: Path) -> list[RawTable]:
    """Return the files of a table, sorted by name, without duplicates.

    The source is one or several paths, globs, folders or URLs; paths are relative to ``folder``.
    Object stores take credentials from the environment.

    Raises ``SourceError`` if a file is missing, a pattern matches nothing, or a file extension is
    unknown.
    """
    parts = [source] if isinstance(source, str) else list(source)
    files: dict[str, RawTable] = {}
    for part in parts:
        matches = (
            _resolve_remote(table, part) if "://" in part else _resolve_local(table, part, folder)
        )
        files.update({raw.name: raw for raw in matches})
    return [files[name] for name in sorted(files)]


def _resolve_local(table: str, part: str, folder: Path) -> list[RawTable]:
    path = folder / Path(part).expanduser()
    if path.is_file():
        matches = [path]
    elif path.is_dir():
        matches = [file for file in path.rglob("*") if file.name.endswith((*_PARQUET, *_CSV))]
    elif _GLOB_CHARACTERS.search(part):
        root = Path(path.anchor)
        matches = [file for file in root.glob(str(path.relative_to(root))) if file.is_file()]
    else:
        raise SourceError(
            f"{table}: no file at {path}. Create it, or correct [tables] {table} in expansion.toml."
        )
    if not matches:
        raise SourceError(
            f"{table}: no file matches {path}. Add one, or correct [tables] {table} in"
            " expansion.toml."
        )
    return [_scan_local_file(table, file, folder) for file in matches]


def _scan_local_file(table: str, file: Path, folder: Path) -> RawTable:
    file, folder = file.absolute(), folder.absolute()
    name = file.relative_to(folder) if file.is_relative_to(folder) else file
    with translate_source_errors(f"{table}: {name}"):
        stat = file.stat()
    fingerprint = f"{file}:{stat.st_size}:{stat.st_mtime_ns}"
    return RawTable(name.as_posix(), fingerprint, _scan_file(table, str(file)))


def _resolve_remote(table: str, url: str) -> list[RawTable]:
    """Return the objects in a store, with their modification times."""
    scheme, _, pattern = url.partition("://")
    scheme = _SCHEME_ALIASES.get(scheme, scheme)
    wildcard = _GLOB_CHARACTERS.search(pattern)
    prefix = pattern[: wildcard.start()].rpartition("/")[0] if wildcard else pattern.rstrip("/")
    from pyarrow import fs  # noqa: PLC0415 - opens a network library

    try:
        # Keys may hold characters that a URL may not.
        store, path = fs.FileSystem.from_uri(quote(f"{scheme}://{prefix}", safe=":/"))
        objects = _list_objects(store, path, _glob_to_regex(pattern) if wildcard else None)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{table}: {url} cannot be reached: {_first_error_line(error)}. Check the URL and the"
            " credentials in the environment."
        ) from None
    if not objects:
        raise SourceError(
            f"{table}: no object matches {url}. Add one, or correct [tables] {table} in"
            " expansion.toml."
        )
    urls = {f"{scheme}://{info.path}": info for info in objects}
    return [
        RawTable(url, f"{url}:{info.size}:{info.mtime_ns}", _scan_file(table, url))
        for url, info in urls.items()
    ]


def _list_objects(store: Any, path: str, pattern: re.Pattern[str] | None) -> list[Any]:  # noqa: ANN401
    """List one object, the objects under a folder, or those that match a pattern."""
    from pyarrow import fs  # noqa: PLC0415

    if pattern is None:
        (info,) = store.get_file_info([path])
        if info.type != fs.FileType.Directory:
            return [info] if info.type == fs.FileType.File else []
    try:
        entries = store.get_file_info(fs.FileSelector(path, recursive=True))
    except FileNotFoundError:  # the store exists, but has no such prefix
        return []
    files = [info for info in entries if info.type == fs.FileType.File]
    if pattern is None:
        return [info for info in files if info.path.endswith((*_PARQUET, *_CSV))]
    return [info for info in files if pattern.fullmatch(info.path)]


def _glob_to_regex(pattern: str) -> re.Pattern[str]:
    """Convert a glob to a regular expression: ``*`` stays inside a folder, ``**`` does not."""
    regex_by_token = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(
            regex_by_token.get(token) or (token if token.startswith("[") else re.escape(token))
            for token in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
        )
    )


def _scan_file(table: str, location: str) -> pl.LazyFrame:
    """Scan a file; CSV columns stay text, and the schema decides their types."""
    if location.endswith(_PARQUET):
        return pl.scan_parquet(location, glob=False)
    if location.endswith(_CSV):
        return pl.scan_csv(location, infer_schema=False, glob=False)
    raise SourceError(
        f"{table}: {location} has an unsupported extension, expected .parquet, .csv or .csv.gz."
        f" Convert it, or correct [tables] {table} in expansion.toml."
    )


def _first_error_line(error: BaseException) -> str:
    """Return the first line of a library's message, without the cells it may quote."""
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    cleaned = re.sub(r"`[^`]*`?| ?\(Request ID: \w+\)", _strip_quoted_cell, line)
    return cleaned.rstrip(".")[:200]


def _strip_quoted_cell(match: re.Match[str]) -> str:
    return "…" if match[0].startswith("`") else ""
