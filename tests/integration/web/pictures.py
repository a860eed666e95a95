"""Screenshots of the web pages for the README, from a real browser.

    python -m tests.integration.web.pictures SETTINGS ACCOUNT FOLDER

Serves the company of a settings file as on the morning of its newest list. Writes the list and an
account as PNG into the folder: light and dark mode, phone, print.
"""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from data.config import settings
from serving import store
from serving.store import queries
from serving.web import app
from tests.integration.web.web_client import run_app

_CHROMIUM = "/usr/bin/chromium"
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_DESK = {"width": 1240, "height": 900}
_PHONE = {"width": 390, "height": 844}
_PAPER = {"width": 780, "height": 1100}


def main(config: str, account: str, folder: str) -> None:
    one = f"/account?id={account}"
    with serve_morning(Path(config)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        for name, path, how in (
            ("list", "/", {"viewport": _DESK}),
            ("list-dark", "/?when=ready", {"viewport": _DESK, "color_scheme": "dark"}),
            ("account", one, {"viewport": _DESK, "full_page": True}),
            ("account-dark", one, {"viewport": _DESK, "color_scheme": "dark", "full_page": True}),
            ("phone-list", "/?when=ready", {"viewport": _PHONE, "device_scale_factor": 2}),
            ("phone-account", one, {"viewport": _PHONE, "device_scale_factor": 2}),
            ("print", one, {"viewport": _PAPER, "media": "print"}),
            ("model", "/model", {"viewport": _DESK}),
        ):
            take_screenshot(
                browser, url.rstrip("/") + path, Path(folder, f"page-{name}.png"), **how
            )
        browser.close()


@contextmanager
def serve_morning(config: Path) -> Iterator[str]:
    """Serve the pages as at nine o'clock on the day of the list."""
    loaded = settings.load_settings(config)
    engine = store.open_engine(loaded.database_url)
    as_of = queries.load_latest_as_of(engine)
    assert as_of is not None, "there is no list yet: expansion score"
    morning = datetime.combine(as_of, time(9), UTC)
    with run_app(app.create_app(loaded, engine, clock=lambda: morning, webhooks=False)) as url:
        yield url
    engine.dispose()


def take_screenshot(
    browser: Browser,
    url: str,
    file: Path,
    *,
    full_page: bool = False,
    media: Any = "screen",
    **window: Any,
) -> None:
    """Save a screenshot of a URL."""
    context = browser.new_context(**window)
    page = context.new_page()
    page.emulate_media(media=media, color_scheme=window.get("color_scheme", "light"))
    page.goto(url)
    page.wait_for_load_state("networkidle")
    image = Image.open(io.BytesIO(page.screenshot(full_page=full_page)))
    # Flat colours: a palette of 256 is enough, at a third of the size.
    image.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE).save(file, optimize=True)
    context.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
