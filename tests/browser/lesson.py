"""A JupyterLab and a lesson in it, as the browser tests use them."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect

ARTEFACTS = Path(__file__).parents[1] / "artefacts"
SIZE: ViewportSize = {"width": 1400, "height": 900}
SECOND = 1000  # Playwright counts milliseconds
STEP = 20 * SECOND  # what one click may take
TALLEST = 25_000  # pixels; Chromium draws no picture much taller than that
WORK = 30 * SECOND  # what a change and the measurement after it may take here; their own target is 4 s
RUN = 180 * SECOND  # what a run of cells may take, on a machine that others use as well

# Playwright's synchronous interface bears no exception out of a signal: a test that hangs ends with its process, and
# pytest-xdist goes on in another one.
LIMIT = pytest.mark.timeout(500, method="thread")


@dataclass(frozen=True)
class Server:
    """A JupyterLab on loopback."""

    url: str
    token: str

    def address(self, path: str) -> str:
        return f"{self.url}/{path}?token={self.token}"


class Lesson:
    """A lesson that is open in the browser, and is run from top to bottom by the keyboard."""

    def __init__(self, page: Page, notebook: Path) -> None:
        self.page = page
        self.sources = ["".join(cell["source"]) for cell in json.loads(notebook.read_text())["cells"]]
        self.done = 0  # cells that have been run
        last = self._nth(len(self.sources) - 1)
        last.wait_for(state="attached", timeout=60 * SECOND)
        self._nth(0).click()
        expect(page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute(
            "data-status", "idle", timeout=60 * SECOND
        )

    def _nth(self, number: int) -> Locator:
        return self.page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{number}']")

    def cell(self, words: str) -> Locator:
        """The one code cell with these words in it, or in the case of several the first."""
        return self._nth(next(n for n, source in enumerate(self.sources) if words in source))

    def focus(self, cell: Locator) -> None:
        """Walk to a cell with the arrow keys."""
        for _ in range(2 * len(self.sources)):  # a key that comes while a cell is being drawn may do nothing
            now = self.page.locator(".jp-Notebook .jp-Cell.jp-mod-active")
            here, there = (int(one.get_attribute("data-windowed-list-index") or 0) for one in (now, cell))
            if here == there:
                cell.focus()  # not a control in it
                return
            self.page.keyboard.press("ArrowDown" if here < there else "ArrowUp")
        pytest.fail(f"the arrow keys do not reach {cell}")

    def run_through(self, words: str) -> Locator:
        """Run the cells down to the one with these words, by Shift+Enter, and wait until they have run."""
        wanted = next(n for n, source in enumerate(self.sources) if words in source)
        if self.done <= wanted:
            self.focus(self._nth(self.done))
        while self.done <= wanted:
            self.page.keyboard.press("Shift+Enter")
            self.done += 1
        # An error leaves the rest without a star as well; what the cells should have made is then missing.
        waiting = self.page.locator(".jp-InputPrompt", has_text="[*]")
        expect(waiting).to_have_count(0, timeout=RUN)
        cell = self._nth(wanted)
        cell.scroll_into_view_if_needed()
        return cell

    def tab_to(self, target: Locator, most: int = 40) -> None:
        """Press Tab until the keyboard is at a control."""
        for _ in range(most):
            if target.evaluate("it => it === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        pytest.fail(f"Tab does not reach {target}")

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme."""
        self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name
        )
        dark = "false" if "Dark" in name else "true"
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", dark)

    def unroll(self) -> None:
        """Make the window as tall as the lesson, so that all of it is drawn."""
        cells = self.page.locator(".jp-WindowedPanel-viewport")
        height = 0.0
        for _ in range(
            10
        ):  # what is drawn for the first time turns out taller or shorter than it was taken for
            box = cells.bounding_box()
            if box is None or box["height"] > TALLEST:
                pytest.fail(f"the lesson has no sensible height: {box}")
            if box["height"] == height:
                return
            height = box["height"]
            self.page.set_viewport_size({"width": SIZE["width"], "height": round(height) + 150})
            cells.locator(".jp-Cell").first.scroll_into_view_if_needed()
        pytest.fail(f"the lesson's height does not settle: {height}")


class Panel:
    """The isolation panel in the page."""

    def __init__(self, cell: Locator) -> None:
        self.cell = cell
        self.undo = cell.get_by_role("button", name="Undo")
        self.again = cell.get_by_role("button", name="Ask again")
        self.status = cell.get_by_role("status")
        self.alert = cell.get_by_role("alert")

    def switch(self, network: str, name: str) -> Locator:
        """The checkbox of a container, or of internal, icc or masquerade, in the card of a network."""
        card = self.cell.locator(".widget-vbox .widget-vbox").filter(has_text=network)
        return card.get_by_role("checkbox", name=name)

    def pair(self, source: str, target: str) -> Locator:
        """The cell of the matrix that says how one reaches the other."""
        return self.cell.locator(f"td[aria-label^='{source} to {target}:']")
