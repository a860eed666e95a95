"""What went wrong with a store or a server, in a few plain words."""

import re
from urllib.parse import urlsplit

from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import RetryError, Timeout

__all__ = ["describe_error"]


def describe_error(error: BaseException) -> str:
    """Give the first line of a message, without the password a URL in it may hold.

    Parameters
    ----------
    error : BaseException
        Whatever went wrong between us and a store.

    Returns
    -------
    str
        Part of a sentence, without its stop. Of a server that does not answer, or only with
        faults, its address and that.
    """
    server_problem = _describe_server_error(error)
    if server_problem is not None:
        return server_problem
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"//[^/@\s]*@", "//", first_line)[:200].rstrip(".")


def _describe_server_error(error: BaseException | None) -> str | None:
    """Say which server does not answer, or only with faults, if that lies under an error."""
    while error is not None:
        if isinstance(error, NoConnection | Timeout | RetryError) and error.request is not None:
            address = urlsplit(str(error.request.url))
            server = f"the server at {address.scheme}://{address.netloc.rpartition('@')[2]}"
            if isinstance(error, RetryError):
                return f"{server} answers with {getattr(error.args[0], 'reason', error)}"
            return f"{server} does not answer"
        error = error.__cause__ or error.__context__
    return None
