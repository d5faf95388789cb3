"""A real JupyterLab over a copy of the lessons, a real lab host, and Chromium without a screen.

All of it belongs to one module: Playwright's synchronous interface keeps an event loop running in this thread,
which other tests' own loops would not bear.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Error, expect, sync_playwright

from dockernb.labhost import LabHost
from tests.browser.lesson import ARTEFACTS, SIZE, STEP, Lesson, Panel, Server
from tests.support.shared import Shared

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def host(shared_vm: Shared) -> LabHost:
    """The lab host that the lesson joins, because it has the name that the lesson is told."""
    return shared_vm.pristine()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the notebooks, which the browser may save."""
    return Path(shutil.copytree(ROOT / "notebooks", tmp_path_factory.mktemp("lessons") / "notebooks"))


@pytest.fixture(scope="module")
def server(lessons: Path, host: LabHost) -> Iterator[Server]:
    """A JupyterLab that knows nothing of the settings of whoever runs the tests."""
    home, token, port = lessons.parent, secrets.token_hex(16), free_port()
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    # The question whether to fetch news covers what the screenshots are to show.
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    environment = os.environ | {
        "DOCKERNB_HOST": host.name,
        "DOCKERNB_PROVIDER": "vm",
        "JUPYTER_TOKEN": token,
        "JUPYTER_CONFIG_DIR": f"{home}/config",
        "JUPYTER_DATA_DIR": f"{home}/data",
        "JUPYTER_RUNTIME_DIR": f"{home}/runtime",
        "JUPYTERLAB_SETTINGS_DIR": f"{home}/settings",
        "JUPYTERLAB_WORKSPACES_DIR": f"{home}/workspaces",
        "IPYTHONDIR": f"{home}/ipython",
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
        *(f"--port={port}", "--ServerApp.port_retries=0", "--expose-app-in-browser"),
        *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
    ]
    log = home / "jupyter.log"
    with log.open("wb") as out:
        # setpriv: it ends with the tests, however they end.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            env=environment,
            cwd=lessons,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, token, process, log)
        yield Server(url, token)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def wait_for(url: str, token: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            answer = requests.get(
                f"{url}/api/status",
                headers={"Authorization": f"token {token}"},
                timeout=5,
                proxies={"http": ""},
            )
            if answer.ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),  # None: Playwright's own, as on Ubuntu
            args=[
                *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
                *("--disable-component-update", "--disable-sync", "--no-first-run"),
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    """The browser, and an empty folder for what it shows."""
    shutil.rmtree(ARTEFACTS, ignore_errors=True)
    ARTEFACTS.mkdir()
    context = browser.new_context(viewport=SIZE)
    context.set_default_timeout(STEP)
    expect.set_options(timeout=STEP)
    yield context
    context.close()


@pytest.fixture(scope="module")
def console(context: BrowserContext) -> list[str]:
    """What the console calls an error, and what a page's scripts do not catch."""
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda problem: said.append(f"uncaught: {problem.error}"))
    return said


@pytest.fixture(scope="module")
def lesson(context: BrowserContext, console: list[str], server: Server, lessons: Path) -> Lesson:
    """Lesson 06, opened and not run."""
    page = context.new_page()
    page.goto(server.address("lab/tree/06-three-tier-lab.ipynb"))
    return Lesson(page, lessons / "06-three-tier-lab.ipynb")


@pytest.fixture(scope="module")
def shown(lesson: Lesson) -> Panel:
    """The panel, after everything above it has run."""
    panel = Panel(lesson.run_through("dn.panel("))
    expect(panel.cell.get_by_role("checkbox").first).to_be_visible()
    return panel


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what the browser showed when a test failed."""
    report = yield
    lesson = getattr(item, "funcargs", {}).get("lesson")
    if report.failed and lesson is not None:
        with contextlib.suppress(Error):  # a page that answers no more is what the test has told already
            lesson.page.screenshot(path=ARTEFACTS / f"failed-{item.name}.png")
    return report
