"""A real Chromium on pages whose names would be run: nothing is, and nothing is asked elsewhere."""

from pathlib import Path
from urllib.parse import quote

from attack import Attack
from ledger import Kind
from playwright.sync_api import sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
_INJECTED = (
    "iframe, object, embed, svg[onload], img[src=x], script:not([src]), [onmouseover], [onerror],"
    " a[href^=javascript]"
)


def run(at: Attack, kind: Kind) -> None:
    """Open the list, and every account that is named to be run."""
    if not CHROMIUM.exists():
        kind.told["not_tried"] = "there is no Chromium here"
        return
    base = f"http://127.0.0.1:{at.port}"
    seen: list[str] = []
    strange = at.target.strange if at.share == 1 else at.target.strange[::8]
    paths = ["/", "/?q=%3Cscript%3Ealert(1)%3C/script%3E", "/?csm=%22%3E%3Cimg%20src=x%3E"]
    paths += [f"/account?id={quote(each, safe='')}" for each in strange]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        window = chromium.new_context(base_url=base, extra_http_headers=at.viewer("Ada"))
        page = window.new_page()
        page.on("dialog", lambda dialog: (seen.append(f"dialog {dialog.message}"), dialog.accept()))
        page.on("request", lambda asked: asked.url.startswith(base) or seen.append(asked.url))
        page.on("console", lambda said: said.type == "error" and seen.append(said.text))
        page.on("pageerror", lambda error: seen.append(str(error)))
        for path in paths:
            answer = page.goto(path)
            assert answer
            kind.statuses[answer.status] += 1
            kind.law("no page", holds=answer.status == 200, found=(path, answer.status))
            kind.law("injected", holds=not page.query_selector(_INJECTED), found=path)
            page.mouse.move(200, 200)
        chromium.close()
    kind.law("something was run", holds=not seen, found=seen[:3])
