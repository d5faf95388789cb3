"""Pictures: what they must say, whatever they look like."""

import base64
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from dockernb.model import Endpoint, Snapshot
from dockernb.probe import Matrix, Outcome, Verdict
from dockernb.view import look, matrix_picture, topology
from dockernb.view.picture import COLOURS, SIGNS
from dockernb.view.topology import facts, in_order
from tests.support.snapshots import ENGINES, snapshot_of

SVG = "{http://www.w3.org/2000/svg}"


def drawn(html: str) -> ET.Element:
    return ET.fromstring(html)


def words(root: ET.Element) -> list[str]:
    """What stands in the picture, without the tooltips."""
    found = []
    for text in root.iter(f"{SVG}text"):
        tips = "".join(tip.text or "" for tip in text.iter(f"{SVG}title"))
        found.append("".join(text.itertext()).removeprefix(tips))
    return found


def boxes(root: ET.Element) -> dict[str, tuple[float, float, float, float]]:
    """Each container's rectangle by its name."""
    found = {}
    for group in root.iter(f"{SVG}g"):
        title, rect = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        if title is not None and rect is not None and title.text and "published" not in title.text:
            x, y, width, height = (float(rect.get(k) or 0) for k in ("x", "y", "width", "height"))
            found[title.text.split(":")[0]] = (x, y, x + width, y + height)
    return found


def large() -> Snapshot:
    """Thirty containers over the fixture's networks."""
    state = snapshot_of()
    web = state.container("web")
    assert web
    more = []
    for number in range(20):
        network = ("frontend", "backend", "database", "dual")[number % 4]
        endpoint = Endpoint(network, "", address=f"10.{number}.0.2")
        second = Endpoint("backend", "", address=f"10.{number}.1.2")
        endpoints = (endpoint, second) if number % 5 == 0 and network != "backend" else (endpoint,)
        more.append(replace(web, id=f"{number:064}", name=f"more{number}", endpoints=endpoints, published=()))
    return replace(state, containers=state.containers + tuple(more))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_topology_shows_everything_that_is_there(engine: str) -> None:
    root = drawn(topology(snapshot_of(engine)).html)
    told = words(root)
    for name in ("web", "api", "db", "lb", "six", "lonely", "onhost"):
        assert name in told, name
    for address in ("172.20.0.2", "172.22.0.10", "fd00:28::2", "172.22.0.0/24"):
        assert any(address in word for word in told), address
    assert any("internal" in word for word in told) and any("icc off" in word for word in told)
    assert "8080→80" in told and "80→80  443→443" in told
    assert "‖ paused" in told and "■ exited (0)" in told
    assert "& peer" in told


def test_the_topology_can_be_read_by_a_screen_reader() -> None:
    root = drawn(topology(snapshot_of()).html)
    assert root.get("role") == "img"
    ids = {e.get("id"): e.text for e in root if e.tag in (f"{SVG}title", f"{SVG}desc")}
    assert set((root.get("aria-labelledby") or "").split()) == set(ids)
    assert any(text and "db 172.22.0.10" in text for text in ids.values())


@pytest.mark.parametrize(
    "state", [snapshot_of("20.10"), snapshot_of("26.1"), large()], ids=["20.10", "26.1", "30"]
)
def test_no_box_covers_another(state: Snapshot) -> None:
    placed = list(boxes(drawn(topology(state).html)).items())
    assert len(placed) >= len([c for c in state.containers if not c.network_owner])
    for number, (name, (x1, y1, x2, y2)) in enumerate(placed):
        for other, (u1, v1, u2, v2) in placed[number + 1 :]:
            assert x2 <= u1 or u2 <= x1 or y2 <= v1 or v2 <= y1, f"{name} covers {other}"


def test_no_line_crosses_a_box() -> None:
    root = drawn(topology(large()).html)
    rectangles = boxes(root)
    for path in root.iter(f"{SVG}path"):
        found = re.match(r"M([\d.]+) ([\d.]+)V([\d.]+)", path.get("d") or "")
        if not found:
            continue
        x, start, end = map(float, found.groups())
        for name, (x1, y1, x2, y2) in rectangles.items():
            inside = x1 < x < x2 and max(min(start, end), y1) < min(max(start, end), y2)
            assert not inside, f"a line at {x:g} crosses {name}"


def test_everything_lies_in_the_picture() -> None:
    for state in (snapshot_of(), large()):
        root = drawn(topology(state).html)
        _x, _y, width, height = map(float, (root.get("viewBox") or "").split())
        for rect in root.iter(f"{SVG}rect"):
            x, y, w, h = (float(rect.get(k) or 0) for k in ("x", "y", "width", "height"))
            assert x >= 0 and y >= 0 and x + w <= width and y + h <= height


def test_the_outer_tier_comes_first_and_neighbours_share_containers() -> None:
    names = [network.name for network in in_order(snapshot_of())]
    assert names[:3] == ["frontend", "backend", "database"]
    assert names[-1] == "host"


def test_the_difference_is_marked() -> None:
    before = snapshot_of()
    web, db = before.container("web"), before.container("db")
    assert web and db
    backend = before.network("backend")
    assert backend
    moved = replace(web, endpoints=(*web.endpoints[1:], Endpoint("database", "", address="172.22.0.77")))
    after = replace(
        before,
        containers=tuple(moved if c is web else c for c in before.containers if c is not db),
        networks=tuple(replace(n, internal=False) if n is backend else n for n in before.networks),
    )
    told = words(drawn(topology(after, before).html))
    assert "+ 172.22.0.77" in told
    gone = web.endpoints[0].address
    assert f"− {gone}" in told
    assert "− db" in told and "removed" in told
    assert "≠ backend" in told
    assert not [word for word in words(drawn(topology(before, before).html)) if word[0] in "+−≠"]


def test_names_cannot_break_the_picture() -> None:
    state = snapshot_of()
    web = state.container("web")
    assert web
    odd = replace(state, containers=(replace(web, name='<b>&"x"', image="<script>"),))
    root = drawn(topology(odd).html)
    assert not list(root.iter("script")) and '<b>&"x"' in words(root)
    matrix = Matrix(
        (verdict('<b>&"x"', "y", Outcome.REFUSED, reason="<script>alert(1)</script>"),), ('<b>&"x"',), ("y",)
    )
    assert "<script>" not in look(matrix).html and "<b>&" not in look(matrix).html


def test_nothing_is_drawn_as_nothing() -> None:
    picture = look(Snapshot((), ()))
    assert picture.text == "Nothing is here yet."
    assert "Nothing is here yet." in words(drawn(picture.html))


def test_the_text_says_the_same() -> None:
    text = topology(snapshot_of()).text
    assert "database (bridge, 172.22.0.0/24, internal): api 172.22.0.2, db 172.22.0.10" in text
    assert "web: published 0.0.0.0:8080 → 80/tcp" in text
    assert "peer: in the network namespace of web" in text
    assert "lonely: on no network" in text and "old: exited" in text


def test_another_run_of_the_same_lesson_gives_the_same_picture() -> None:
    """Committed outputs are compared: no id, no time, no random number may be in them."""
    whole = snapshot_of()
    state = replace(whole, containers=tuple(c for c in whole.containers if not c.network_owner))
    again = replace(
        state,
        networks=tuple(replace(n, id=n.id[::-1]) for n in state.networks),
        containers=tuple(replace(c, id=c.id[::-1], pid=c.pid + 1) for c in state.containers),
    )
    assert topology(again).html == topology(state).html
    later = replace(MATRIX, elapsed_s=9, verdicts=tuple(replace(v, elapsed_s=9) for v in MATRIX.verdicts))
    assert matrix_picture(later).html == matrix_picture(MATRIX).html


# -- the matrix ----------------------------------------------------------------------------------------------


def verdict(
    source: str, target: str, outcome: Outcome, how: str = "name", reason: str = "Because."
) -> Verdict:
    return Verdict(source, target, how, target, "", "", 80, "tcp", outcome, reason)


MATRIX = Matrix(
    (
        verdict("a", "b", Outcome.REACHABLE),
        verdict("b", "a", Outcome.NOT_RESOLVED),
        verdict("b", "a", Outcome.TIMED_OUT, "address", "Dropped on its way."),
    ),
    ("a", "b"),
    ("a", "b"),
    1.26,
)


def test_each_cell_has_a_sign_a_word_and_its_reasons() -> None:
    html = matrix_picture(MATRIX).html
    assert ">✓</span> reachable" in html
    assert ">?</span> name: unresolved" in html and ">…</span> address: timed out" in html
    assert "Dropped on its way." in html
    assert 'aria-label="b to a: name: unresolved; address: timed out"' in html
    assert "Who reaches whom (TCP): 3 questions" in html


def test_the_matrix_marks_what_changed() -> None:
    after = replace(MATRIX, verdicts=(verdict("a", "b", Outcome.REFUSED), *MATRIX.verdicts[1:]))
    picture = matrix_picture(after, MATRIX)
    assert "1 pair has changed" in picture.html
    assert "was reachable" in picture.html and picture.html.count("outline:") == 1
    assert "refused (was reachable)" in picture.text
    assert "no pairs have changed" in matrix_picture(MATRIX, MATRIX).html


def test_a_large_matrix_keeps_signs_words_go_to_the_legend() -> None:
    names = tuple(f"c{number}" for number in range(30))
    big = Matrix(
        tuple(verdict(a, b, Outcome.REACHABLE) for a in names for b in names if a != b), names, names
    )
    html = matrix_picture(big).html
    assert html.count(">✓</span></div>") == 870
    assert html.count("<b>✓</b> reachable") == 1
    assert 'aria-label="c0 to c1: reachable"' in html


def test_outcomes_are_told_apart_without_colour() -> None:
    assert set(SIGNS) == set(COLOURS) == set(Outcome)
    assert len(set(SIGNS.values())) == len(Outcome)


def test_a_drawing_shows_in_a_notebook_that_is_not_trusted() -> None:
    """JupyterLab's sanitizer drops scripts, and of an inline SVG everything but the words; it keeps images."""
    picture = topology(snapshot_of())
    output = picture._repr_mimebundle_()["text/html"]
    assert "<svg" not in output and 'alt="frontend (bridge' in output
    held = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', output)
    assert held and base64.b64decode(held[1]).decode() == picture.html


def test_a_notebook_gets_html_and_text() -> None:
    bundle = matrix_picture(MATRIX)._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert "name: unresolved; address: timed out" in bundle["text/plain"]


def test_a_macvlan_network_leaves_the_host_by_its_parent() -> None:
    """Past the host's own network stack; one that is internal, or has no parent, leaves it not."""
    backend = snapshot_of().network("backend")
    assert backend
    lan = replace(
        backend,
        name="lan",
        driver="macvlan",
        internal=False,
        options={"parent": "lan0.10", "macvlan_mode": "vepa"},
    )
    assert (lan.parent, lan.wired, lan.bridge) == ("lan0.10", True, "")
    assert facts(lan) == ["macvlan", "172.21.0.0/24", "on lan0.10", "vepa"]
    told = words(drawn(topology(Snapshot((lan,), ())).html))
    assert told.count("lan0.10") == 1 and "wire" in told
    for closed in (replace(lan, internal=True), replace(lan, options={})):
        assert closed.parent and not closed.wired
        assert "wire" not in words(drawn(topology(Snapshot((closed,), ())).html))
