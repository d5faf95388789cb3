"""Lesson 06 as a learner has it: in JupyterLab, in a browser, with a real lab host behind it.

The tests share one run of the lesson and stand in its order; each leaves the networks as the lesson made them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from playwright.sync_api import BrowserContext, expect

from dockernb.labhost import LabHost
from tests.browser.lesson import ARTEFACTS, LIMIT, SIZE, WORK, Lesson, Panel, Server

pytestmark = LIMIT


@pytest.fixture(scope="module")
def engine(host: LabHost) -> Iterator[docker.DockerClient]:
    client = host.client()
    yield client
    client.close()


@pytest.fixture(autouse=True)
def no_error_in_the_console(console: list[str]) -> Iterator[None]:
    console.clear()
    yield
    assert console == []


@pytest.fixture
def panel(shown: Panel) -> Iterator[Panel]:
    """The panel, as the lesson finds it before and after."""
    expect(shown.undo).to_be_disabled()
    yield shown
    if shown.undo.is_enabled():
        shown.undo.click()
        expect(shown.undo).to_be_disabled(timeout=WORK)  # only when all is drawn


def members(engine: docker.DockerClient, network: str) -> set[str]:
    return {each["Name"] for each in engine.networks.get(network).attrs["Containers"].values()}


def web_reaches_the_database(engine: docker.DockerClient) -> bool:
    """Asked by another program than the one under test: the shell of the web server's container."""
    command = ["timeout", "2", "bash", "-c", ": < /dev/tcp/172.22.0.10/5432"]
    return bool(engine.containers.get("web-server").exec_run(command).exit_code == 0)


def test_pictures_show_in_a_lesson_that_has_not_been_run(lesson: Lesson, lessons: Path) -> None:
    """JupyterLab does not trust such a lesson's outputs, and takes from them whatever could be a script."""
    stored = (lessons / "06-three-tier-lab.ipynb").read_text().count('src=\\"data:image/svg+xml;base64,')
    assert stored, "the lesson is stored without its outputs: make lessons"
    pictures = lesson.page.locator(".jp-OutputArea-output img[src^='data:image/svg+xml']")
    expect(pictures).to_have_count(stored)
    widths = pictures.evaluate_all(
        "all => Promise.all(all.map(it => it.decode().then(() => it.naturalWidth)))"
    )
    assert all(widths)


def test_a_prediction_is_made_and_judged_by_keyboard(lesson: Lesson) -> None:
    asked = lesson.run_through("by_name = dn.predict(")
    choices = asked.get_by_role("radio")
    expect(choices).to_have_count(8)
    lesson.focus(asked)
    for choice in (choices.nth(1), choices.nth(6)):  # the one is right, "refused" is not
        lesson.tab_to(choice)
        lesson.page.keyboard.press("Space")
        expect(choice).to_be_checked()
    expect(asked.get_by_role("status").nth(1)).to_contain_text("Noted")
    lesson.page.keyboard.press("ArrowDown")  # out of the form and on to the next cell
    told = lesson.run_through("by_name.reveal()").locator("[role=status]")
    expect(told.nth(0)).to_contain_text(
        "You said: name does not resolve. Measured: name does not resolve. That is right."
    )
    expect(told.nth(1)).to_contain_text("You said: refused. Measured: timed out. That is not what happened.")
    expect(choices.nth(1)).to_be_disabled()


def test_the_lesson_runs_down_to_the_panel(lesson: Lesson, panel: Panel) -> None:
    expect(panel.pair("web-server", "postgres-db")).to_contain_text("timed out")
    expect(panel.pair("api-server", "postgres-db")).to_contain_text("reachable")
    errors = ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr'], .jp-RenderedText pre .ansi-red-fg"
    expect(lesson.page.locator(errors)).to_have_count(0)


def test_a_tick_changes_the_engine_and_marks_what_it_changed(
    panel: Panel, engine: docker.DockerClient
) -> None:
    assert "web-server" not in members(engine, "database-network")
    panel.switch("database-network", "web-server").check()
    expect(panel.status).to_contain_text("Connected web-server to database-network.", timeout=WORK)
    changed = panel.pair("web-server", "postgres-db")
    expect(changed).to_have_attribute(
        "aria-label", re.compile("reachable; before: name: unresolved; address: timed out")
    )
    expect(changed).to_contain_text("was name: unresolved")
    expect(changed).to_have_css("outline-style", "solid")
    expect(panel.pair("load-balancer", "postgres-db")).not_to_have_css("outline-style", "solid")
    expect(panel.cell.get_by_role("table")).to_contain_text("2 pairs have changed")
    assert "web-server" in members(engine, "database-network")
    assert web_reaches_the_database(engine)


def test_ticked_and_undone_by_keyboard_alone(
    lesson: Lesson, panel: Panel, engine: docker.DockerClient
) -> None:
    lesson.focus(panel.cell)
    tick = panel.switch("database-network", "web-server")
    lesson.tab_to(tick)
    lesson.page.keyboard.press("Space")
    expect(panel.pair("web-server", "postgres-db")).to_contain_text("was name: unresolved", timeout=WORK)
    assert tick.evaluate("it => it === document.activeElement"), "the keyboard has lost its place"
    assert web_reaches_the_database(engine)
    lesson.tab_to(panel.undo)
    lesson.page.keyboard.press("Space")
    expect(panel.status).to_contain_text("Disconnected web-server from database-network.", timeout=WORK)
    expect(panel.pair("web-server", "postgres-db")).to_have_attribute(
        "aria-label", re.compile("; before: reachable$")
    )
    expect(tick).not_to_be_checked()
    assert "web-server" not in members(engine, "database-network")
    assert not web_reaches_the_database(engine)


def test_a_network_becomes_a_way_out_and_internal_again(panel: Panel, engine: docker.DockerClient) -> None:
    def addresses() -> dict[str, str]:
        network = engine.networks.get("backend-network").attrs
        return {each["Name"]: each["IPv4Address"] for each in network["Containers"].values()}

    before = addresses()
    expect(panel.pair("api-server", "outside")).to_contain_text("no route")
    panel.switch("backend-network", "internal").uncheck()
    expect(panel.status).to_contain_text("Made backend-network anew with internal off.", timeout=WORK)
    expect(panel.pair("api-server", "outside")).to_contain_text("reachable")
    assert engine.networks.get("backend-network").attrs["Internal"] is False
    assert addresses() == before
    panel.undo.click()
    expect(panel.status).to_contain_text("Made backend-network anew with internal on.", timeout=WORK)
    expect(panel.pair("api-server", "outside")).to_contain_text("no route")
    assert engine.networks.get("backend-network").attrs["Internal"] is True
    assert addresses() == before


def test_a_change_that_fails_is_told_in_one_sentence(panel: Panel, engine: docker.DockerClient) -> None:
    labels = engine.networks.get("frontend-network").attrs["Labels"]  # the panel shows the lesson's own
    spare = engine.networks.create("spare", driver="bridge", internal=True, labels=labels)
    panel.again.click()
    tick = panel.switch("spare", "web-server")
    expect(tick).to_be_visible(timeout=WORK)
    spare.remove()
    tick.click()
    expect(panel.alert).to_contain_text(
        re.compile(r"^✕ Docker did not connect web-server to spare: network spare not found\.$"), timeout=WORK
    )
    expect(tick).to_have_count(0)  # the panel shows what the engine says
    panel.again.click()
    expect(panel.status).to_contain_text("Looked and asked again.", timeout=WORK)
    expect(panel.alert).to_have_count(0)


def test_a_published_port_opens_through_jupyter(
    context: BrowserContext, server: Server, host: LabHost, panel: Panel
) -> None:
    page = context.new_page()
    page.goto(server.address(f"proxy/{host.port(8080)}/"))
    expect(page.get_by_role("heading")).to_have_text("Three tiers")
    expect(page.get_by_role("status")).to_contain_text("All tiers answer: PostgreSQL")
    page.get_by_label("Note").fill("written by a browser")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("listitem").filter(has_text="written by a browser")).to_be_visible()
    page.close()


FAINT = (Path(__file__).parent / "faint.js").read_text()
# What has one pixel is there for those who listen.
CUT_OFF = """() => [...document.querySelectorAll('.jp-OutputArea-output, .jp-OutputArea-output *')]
    .filter(it => getComputedStyle(it).overflowX !== 'visible')
    .filter(it => it.clientWidth > 1 && it.scrollWidth > it.clientWidth + 1)
    .map(it => it.textContent.trim().slice(0, 60))"""


@pytest.fixture
def unrolled(lesson: Lesson) -> Iterator[Lesson]:
    """The lesson in a window as tall as itself, and afterwards as it was."""
    lesson.unroll()
    yield lesson
    lesson.theme("JupyterLab Light")
    lesson.page.set_viewport_size(SIZE)


def test_the_lesson_is_readable_in_both_themes(panel: Panel, unrolled: Lesson) -> None:
    panel.switch("database-network", "web-server").check()
    expect(panel.status).to_contain_text("Connected web-server to database-network.", timeout=WORK)
    problems = {}
    for theme in ("Light", "Dark"):
        unrolled.theme(f"JupyterLab {theme}")
        unrolled.page.locator(".jp-WindowedPanel-viewport").screenshot(path=ARTEFACTS / f"lesson-{theme}.png")
        panel.cell.screenshot(path=ARTEFACTS / f"panel-{theme}.png")
        problems[theme] = {"faint": unrolled.page.evaluate(FAINT), "cut off": unrolled.page.evaluate(CUT_OFF)}
    assert problems == {theme: {"faint": [], "cut off": []} for theme in problems}
