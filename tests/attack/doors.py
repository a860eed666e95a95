"""Forms that come from elsewhere, and tokens that are guessed."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import sqlalchemy as sa
import wire
from attack import Attack
from ledger import Kind

from serving import store
from serving.store.schema import FEEDBACK

GUESSERS = 8


def forms(at: Attack, kind: Kind) -> None:
    """No answer is kept that its giver did not give on a page of ours."""
    line, before = at.line(), _answers(at)
    ada, ben = at.target.of("Ada")[40], at.target.of("Ben")[1]
    hers = at.form(kind, line, ada, "Ada")
    his = at.form(kind, line, ben, "Ben")
    seal = hers["seal"]
    for _ in range(at.times(20)):
        for wrong in ("", "x", seal[:-1], seal + "x", seal.swapcase(), his["seal"], "." * 900):
            _refused(at, kind, line, ada, "Ada", {**hers, "seal": wrong}, {403})
        _refused(at, kind, line, ada, "Ada", {"verdict": "won"}, {403})
        _refused(at, kind, line, ben, "Ada", hers, {404})
        _refused(at, kind, line, ada, "Ben", his, {404})
        _refused(at, kind, line, ada, "", hers, {401})
        for said in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1.evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            _refused(at, kind, line, ada, "Ada", hers, {403}, **said)
    kind.law("an answer was kept", holds=_answers(at) == before, found=_answers(at) - before)
    line.close()


def _refused(  # noqa: PLR0917
    at: Attack,
    kind: Kind,
    line: wire.Line,
    account: str,
    viewer: str,
    form: dict[str, str],
    right: set[int],
    **headers: str,
) -> None:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    body = urlencode({"verdict": "won", **form}).encode()
    path = f"/account?id={account}"
    answer = at.ask(kind, line, "POST", path, viewer, body=body, headers=told)
    kind.law("was not refused", holds=answer.status in right, found=(viewer, form, told, answer))


def guessing(at: Attack, kind: Kind) -> None:
    """Guess tokens over many connections; whoever has one can sign in from another address."""
    end, slowest = time.monotonic() + max(8 * at.share, 2), [0.0]
    stop = threading.Event()

    def honest() -> None:
        line = at.line(source="127.0.0.2")
        body = urlencode({"token": at.target.tokens["Ada"], "to": "/model"}).encode()
        for _ in range(5):
            answer = at.ask(kind, line, "POST", "/sign-in", body=body)
            kind.law("its owner was kept out", holds=answer.status == 303, found=answer)
            slowest[0] = max(slowest[0], answer.seconds)
            stop.wait(0.3)
        line.close()

    def guess(number: int) -> int:
        line, tried = at.line(), 0
        while time.monotonic() < end:
            token = f"{number}-{tried}-" + at.target.tokens["lead"][: tried % 32]
            tried += 1
            if tried % 2:
                body = urlencode({"token": token}).encode()
                answer = at.ask(kind, line, "POST", "/sign-in", body=body)
            else:
                answer = line.ask("GET", "/list.csv", wire.bearer(token))
                at.ledger.note(kind, answer, asked="a guess")
            kind.law("let in", holds=answer.status in {401, 429, 303}, found=answer)
            location = answer.headers.get("location", "/sign-in")
            kind.law("let in", holds=location.startswith("/sign-in"), found=location)
        line.close()
        return tried

    with ThreadPoolExecutor(GUESSERS + 1) as pool:
        owner = pool.submit(honest)
        tried = sum(pool.map(guess, range(GUESSERS)))
        owner.result()
    kind.told |= {"guesses": tried, "owner_slowest_ms": round(slowest[0] * 1000)}
    sign_ins = kind.statuses[401]
    kind.law("too many guesses were weighed", holds=sign_ins <= 30, found=sign_ins)


def _answers(at: Attack) -> int:
    with store.read_transaction(at.target.engine) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(FEEDBACK)) or 0
