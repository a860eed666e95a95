"""A real Chromium on pages with injected names: no script runs, no other host is requested."""

from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import sync_playwright

from tests.security.attack import Attack

CHROMIUM = Path("/usr/bin/chromium")
_INJECTED = (
    "iframe, object, embed, svg[onload], img[src=x], script:not([src]), [onmouseover], [onerror],"
    " a[href^=javascript]"
)


def run(attack: Attack) -> None:
    """Open the list, and every account with a hostile name."""
    if not CHROMIUM.exists():
        attack.category.figures["not_tried"] = "Chromium is not installed"
        return
    base = f"http://127.0.0.1:{attack.port}"
    violations: list[str] = []
    accounts = attack.target.hostile if attack.scale == 1 else attack.target.hostile[::8]
    paths = ["/", "/?q=%3Cscript%3Ealert(1)%3C/script%3E", "/?csm=%22%3E%3Cimg%20src=x%3E"]
    paths += [f"/account?id={quote(each, safe='')}" for each in accounts]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        window = chromium.new_context(base_url=base, extra_http_headers=attack.authorize("Ada"))
        page = window.new_page()
        page.on(
            "dialog",
            lambda dialog: (violations.append(f"dialog {dialog.message}"), dialog.accept()),
        )
        page.on(
            "request",
            lambda request: request.url.startswith(base) or violations.append(request.url),
        )
        page.on(
            "console", lambda message: message.type == "error" and violations.append(message.text)
        )
        page.on("pageerror", lambda error: violations.append(str(error)))
        for path in paths:
            response = page.goto(path)
            assert response
            attack.category.statuses[response.status] += 1
            attack.check(
                "page not served", holds=response.status == 200, observed=(path, response.status)
            )
            attack.check("injected", holds=not page.query_selector(_INJECTED), observed=path)
            page.mouse.move(200, 200)
        chromium.close()
    attack.check("script executed", holds=not violations, observed=violations[:3])
