"""Convert tracking-server and storage exceptions into short user messages."""

import re
from urllib.parse import urlsplit

from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import RetryError, Timeout

__all__ = ["describe_error"]


def describe_error(error: BaseException) -> str:
    """Return the first line of an error message with the password of any URL removed.

    Parameters
    ----------
    error : BaseException
        An exception raised while accessing a store.

    Returns
    -------
    str
        Part of a sentence, without the final period. For a server that is unreachable or returns
        only errors: its address and the problem.
    """
    server_problem = _describe_server_error(error)
    if server_problem is not None:
        return server_problem
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"//[^/@\s]*@", "//", first_line)[:200].rstrip(".")


def _describe_server_error(error: BaseException | None) -> str | None:
    """Return the server's problem if a connection or retry error is in the exception chain."""
    while error is not None:
        if isinstance(error, NoConnection | Timeout | RetryError) and error.request is not None:
            address = urlsplit(str(error.request.url))
            server = f"the server at {address.scheme}://{address.netloc.rpartition('@')[2]}"
            if isinstance(error, RetryError):
                return f"{server} answers with {getattr(error.args[0], 'reason', error)}"
            return f"{server} does not answer"
        error = error.__cause__ or error.__context__
    return None
