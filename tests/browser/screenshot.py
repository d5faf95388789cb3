"""`make screenshot`: the picture at the top of the README, taken from lesson 06 on a real lab host.

Not a test, and so not named as one; pytest runs it for the sake of the fixtures.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.lesson import SECOND, STEP, WORK, Lesson, Panel, Server

PICTURE = Path(__file__).parents[2] / "notebooks/images/panel.png"


@pytest.fixture(scope="module")
def context(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    """A window just wide enough, in twice as many pixels: a page shows the picture in half its size."""
    context = browser.new_context(viewport={"width": 1120, "height": 1500}, device_scale_factor=2)
    context.set_default_timeout(STEP)
    expect.set_options(timeout=STEP)
    yield context
    context.close()


def hide_all_else(page: Page) -> None:
    """Close the list of files, and draw no mark of the cell that is chosen."""
    page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.add_style_tag(
        content=".jp-Collapser, .jp-cell-toolbar, .jp-Toolbar { visibility: hidden !important }"
    )


def test_picture(lesson: Lesson, shown: Panel) -> None:
    """The web server has just been let into the database's network."""
    hide_all_else(lesson.page)
    shown.switch("database-network", "web-server").check()
    expect(shown.status).to_contain_text("Connected web-server to database-network.", timeout=WORK)
    expect(shown.cell.get_by_role("table")).to_contain_text("2 pairs have changed", timeout=5 * SECOND)
    lesson.page.mouse.move(0, 0)
    PICTURE.parent.mkdir(exist_ok=True)
    # Down to the matrix: with the drawing of the networks below it, the README's first page would show nothing else.
    shown.cell.locator("svg[role=img]").last.evaluate("it => it.style.display = 'none'")
    shown.cell.screenshot(path=PICTURE, animations="disabled")
