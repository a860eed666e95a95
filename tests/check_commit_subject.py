"""Check the subject of a commit message: ``type(scope): what changes``, at most 72 characters."""

import re
import sys
from pathlib import Path

SUBJECT = re.compile(
    r"(build|chore|ci|docs|feat|fix|perf|refactor|revert|style|test)(\([a-z0-9_, -]+\))?!?: \S.*"
)
MAX_LENGTH = 72


def find_problem(message: str) -> str | None:
    """Return what is wrong with the subject of a message, or None.

    Examples
    --------
    >>> find_problem("fix(web): close the download's file") is None
    True
    >>> find_problem("Close the file")
    'expected "type(scope): what changes", for example "fix(web): close the file"'
    """
    subject = message.partition("\n")[0]
    if subject.startswith(("Merge ", "fixup! ", "squash! ")):
        return None
    if not SUBJECT.fullmatch(subject):
        return 'expected "type(scope): what changes", for example "fix(web): close the file"'
    if len(subject) > MAX_LENGTH:
        return f"expected at most {MAX_LENGTH} characters, found {len(subject)}"
    return None


if __name__ == "__main__":
    problem = find_problem(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if problem:
        sys.exit(f"commit subject: {problem}")
