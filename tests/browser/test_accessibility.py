"""Every lesson as it is committed, as a web page in the light and in the dark theme, asked by axe-core.

What is examined is ours: the prose and the outputs. The rest of the page (prompts, the colours of code) is nbconvert's.
"""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, Page

from tests.browser.lesson import LIMIT

pytestmark = LIMIT
ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
AXE = (
    files("axe_playwright_python") / "axe.min.js"
).read_text()  # that wheel brings axe-core 4, and needs no Node.js

# Rules that look at what others write.
NOT_OURS = {
    "empty-table-header": "the corner of a table, which pandas leaves empty",
    "link-in-text-block": "nbconvert underlines a link only under the mouse",
}
# Code in outputs and in prose has the colours of the Pygments style that nbconvert brings.
EXAMINED = {"include": [[".jp-MarkdownOutput"], [".jp-OutputArea-output"]], "exclude": [[".highlight"]]}
ASK = """([where, options]) => axe.run(where, {resultTypes: ['violations'], ...options}).then(result =>
    result.violations.flatMap(({id, help, nodes}) => nodes.map(({html, any, all, none}) =>
        `${id} (${help}): ${html.slice(0, 150)} ${[...any, ...all, ...none].map(it => it.message).join('; ')}`)))"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A page that reaches no network: nbconvert's ask for MathJax."""
    page = browser.new_page(offline=True)
    yield page
    page.close()


@pytest.fixture(scope="module")
def exporter() -> HTMLExporter:
    return HTMLExporter(theme="light")


@pytest.fixture(scope="module")
def dark() -> str:
    """The colours of nbconvert's dark theme, which laid over the light one make it dark."""
    exporter = HTMLExporter()
    (style,) = [
        path / "static/theme-dark.css"
        for path in map(Path, exporter.template_paths)
        if (path / "static/theme-dark.css").exists()
    ]
    return style.read_text()


def ask(page: Page, **options: Any) -> list[str]:
    """What axe-core complains of: rule, element and reason."""
    return list(page.evaluate(ASK, [EXAMINED, options]))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_lesson_can_be_read_by_everyone(path: Path, page: Page, exporter: HTMLExporter, dark: str) -> None:
    html, _ = exporter.from_filename(str(path))
    page.set_content(html, wait_until="load")
    page.evaluate(AXE)
    assert ask(page, rules={rule: {"enabled": False} for rule in NOT_OURS}) == []
    page.add_style_tag(content=dark)
    page.locator("body").evaluate("it => it.dataset.jpThemeLight = 'false'")
    assert ask(page, runOnly=["color-contrast"]) == []


@pytest.mark.parametrize(
    ("output", "rule"),
    [
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "image-alt"),
        ('<svg role="img" width="9" height="9"></svg>', "svg-img-alt"),
        ("<h1>One</h1><h3>Three</h3>", "heading-order"),
        ('<p style="color: #999">faint</p>', "color-contrast"),
        ("<input>", "label"),
    ],
)
def test_what_shuts_somebody_out_is_found(output: str, rule: str, page: Page) -> None:
    page.set_content(
        f'<html lang="en"><body><main class="jp-OutputArea-output">{output}</main></body></html>'
    )
    page.evaluate(AXE)
    assert [complaint.partition(" ")[0] for complaint in ask(page)] == [rule]
