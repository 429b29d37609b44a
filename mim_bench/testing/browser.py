"""A headless Chromium of the system for tests of the page; nothing is downloaded."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VARIABLE = 'MIM_BENCH_CHROMIUM'
_NAMES = ('chromium', 'chromium-browser', 'google-chrome')


def find_chromium() -> str | None:
    """The path of the program: that of ``MIM_BENCH_CHROMIUM``, else the first one found."""
    names = [os.environ[VARIABLE]] if os.environ.get(VARIABLE) else _NAMES
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def started_browser(path: str) -> Iterator[Any]:
    """A browser of playwright.

    Args:
        path: Path of the program.
    """
    from playwright.sync_api import sync_playwright

    # Its sandbox refuses to run as root, which containers do; the pages are our own.
    arguments = ['--no-sandbox'] if os.geteuid() == 0 else []
    arguments.append('--renderer-process-limit=1')  # all pages in one process
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
