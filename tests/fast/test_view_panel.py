"""The isolation panel without a screen and without an engine."""

from dataclasses import replace

import pytest

from dockernb.errors import LabError, ProbeError
from dockernb.model import Container, Endpoint, Snapshot
from dockernb.probe import Matrix, Outcome, Verdict
from dockernb.session.twin import Line, Script
from dockernb.view.isolation import DENY, ICC, INTERNAL, MEMBER, Change, IsolationModel
from dockernb.view.panel import IsolationPanel
from tests.support.snapshots import snapshot_of


class Hands:
    """An engine in a variable: containers reach those with whom they share a network."""

    def __init__(self) -> None:
        self.state = snapshot_of()
        self.refuse = ""
        self.policies: set[tuple[str, str]] = set()
        self.looks = 0
        self.given: Endpoint | None = None

    def look(self) -> Snapshot:
        self.looks += 1
        return self.state

    def probe(self, state: Snapshot) -> Matrix:
        if self.refuse == "probe":
            raise ProbeError("The probe failed.")
        names = tuple(c.name for c in state.containers)
        verdicts = tuple(
            Verdict(
                *(a.name, b.name, "name", b.name, "", "", 80, "tcp"),
                Outcome.REACHABLE if state.shared_networks(a, b) else Outcome.NOT_RESOLVED,
                "So it is.",
            )
            for a in state.containers
            for b in state.containers
            if a is not b
        )
        return Matrix(verdicts, names, names)

    def _set(self, container: str, endpoints: tuple[Endpoint, ...]) -> None:
        if self.refuse == "change":
            raise LabError("Docker did not do it: no.")
        self.state = replace(
            self.state,
            containers=tuple(
                replace(c, endpoints=endpoints) if c.name == container else c for c in self.state.containers
            ),
        )

    def connect(self, network: str, container: str, endpoint: Endpoint | None) -> Script:
        self.given = endpoint
        found = self.state.container(container)
        assert found
        self._set(container, (*found.endpoints, endpoint or Endpoint(network, "", address="10.0.0.1")))
        return twin("connect", network, container)

    def disconnect(self, network: str, container: str) -> Script:
        found = self.state.container(container)
        assert found
        self._set(container, tuple(e for e in found.endpoints if e.network != network))
        return twin("disconnect", network, container)

    def alias(self, network: str, container: str, name: str, value: bool) -> Script:
        found = self.state.container(container)
        assert found
        others = [e for e in found.endpoints if e.network != network]
        endpoint = found.endpoint(network)
        assert endpoint
        left = tuple(a for a in endpoint.aliases if a != name)
        self._set(container, (replace(endpoint, aliases=(*left, name) if value else left), *others))
        return twin("connect", "--alias", name, network, container)

    def switch(self, network: str, name: str, value: bool, report: object) -> Script:
        assert callable(report)
        report("Removing it", 0.5)
        if self.refuse == "change":
            raise LabError("Docker did not do it: no.")
        options = {"com.docker.network.bridge.enable_icc": str(value).lower()} if name == ICC else {}
        self.state = replace(
            self.state,
            networks=tuple(
                n
                if n.name != network
                else replace(n, internal=value)
                if name == INTERNAL
                else replace(n, options=options)
                for n in self.state.networks
            ),
        )
        return Script([*twin("rm", network).commands, *twin("create", network).commands])

    def denied(self) -> frozenset[tuple[str, str]]:
        return frozenset(self.policies)

    def deny(self, source: Container, target: Container, value: bool) -> Script:
        if self.refuse == "change":
            raise LabError("Docker did not do it: no.")
        (self.policies.add if value else self.policies.discard)((source.name, target.name))
        return twin("deny", source.name, target.name)


def twin(*words: str) -> Script:
    return Script([Line((("docker", "network"), words))])


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def model(hands: Hands) -> IsolationModel:
    return IsolationModel(hands)


OFF = Change(MEMBER, "database", False, "db")


def test_a_disconnect_shows_in_state_and_matrix_and_can_be_undone(
    model: IsolationModel, hands: Hands
) -> None:
    endpoint = hands.state.container("db").endpoint("database")  # type: ignore[union-attr]
    assert model.matrix.outcome("api", "db", "name") is Outcome.REACHABLE and not model.can_undo
    model.change(OFF)
    assert model.matrix.outcome("api", "db", "name") is Outcome.NOT_RESOLVED
    assert model.matrix_before and model.matrix_before.outcome("api", "db", "name") is Outcome.REACHABLE
    assert not model.value(MEMBER, "database", "db")
    assert model.message == "Disconnected db from database." and model.can_undo and not model.busy
    model.undo()
    assert model.value(MEMBER, "database", "db") and not model.can_undo
    assert hands.given == endpoint, "address and aliases come back"
    assert model.message == "Connected db to database."


def test_switches_of_a_network(model: IsolationModel) -> None:
    assert model.value(INTERNAL, "backend") and not model.value(INTERNAL, "frontend")
    model.change(Change(INTERNAL, "backend", False))
    assert not model.value(INTERNAL, "backend")
    assert model.message == "Made backend anew with internal off."
    model.change(Change(ICC, "frontend", False))
    assert not model.value(ICC, "frontend")
    model.undo()
    model.undo()
    assert model.value(INTERNAL, "backend") and model.value(ICC, "frontend")


def test_a_refusal_is_one_sentence_and_the_state_is_the_engines(model: IsolationModel, hands: Hands) -> None:
    hands.refuse = "change"
    model.change(OFF)
    assert model.error == "Docker did not do it: no."
    assert model.value(MEMBER, "database", "db") and not model.can_undo and not model.busy
    hands.refuse = ""
    model.change(OFF)
    assert model.error == "" and model.can_undo


def test_an_undo_that_is_refused_can_be_tried_again(model: IsolationModel, hands: Hands) -> None:
    model.change(OFF)
    hands.refuse = "change"
    model.undo()
    assert model.error and model.can_undo
    hands.refuse = ""
    model.undo()
    assert model.value(MEMBER, "database", "db") and not model.can_undo


def test_a_failed_probe_is_told_and_the_change_stands(model: IsolationModel, hands: Hands) -> None:
    hands.refuse = "probe"
    model.change(OFF)
    assert model.error == "The probe failed."
    assert not model.value(MEMBER, "database", "db")


def test_the_twin_is_that_of_the_last_change(model: IsolationModel, hands: Hands) -> None:
    assert model.twin.lines == []
    model.change(OFF)
    assert model.twin.lines == ["docker network disconnect database db"]
    model.undo()
    assert model.twin.lines == ["docker network connect database db"]
    model.change(Change(ICC, "frontend", False))
    assert model.twin.lines == ["docker network rm frontend", "docker network create frontend"]
    hands.refuse = "change"
    model.change(OFF)
    assert model.error and model.twin.lines == []


def test_a_policy_can_be_put_on_and_undone(model: IsolationModel, hands: Hands) -> None:
    deny = Change(DENY, "", True, "api", "db")
    model.change(deny)
    assert model.value(DENY, "", "api", "db") and not model.value(DENY, "", "db", "api")
    assert model.message == "Denied api to send to db."
    model.undo()
    assert not hands.policies and model.message == "Allowed api to send to db."
    hands.refuse = "change"
    model.change(deny)
    assert model.error and not model.value(DENY, "", "api", "db") and not model.can_undo
    model.change(replace(deny, target="gone"))
    assert model.error == "api or gone is not there any more."


def test_what_is_so_already_is_not_done(model: IsolationModel, hands: Hands) -> None:
    looks = hands.looks
    model.change(OFF.inverse)
    assert hands.looks == looks and not model.can_undo


def test_progress_moves_and_ends(model: IsolationModel) -> None:
    seen: list[tuple[str, float]] = []
    model.observe(lambda news: seen.append((model.doing, model.fraction)), ["doing", "fraction"])
    model.change(Change(INTERNAL, "backend", False))
    assert ("Removing it", 0.25) in seen and model.fraction == 1.0 and model.doing == ""


def test_only_what_can_be_changed_is_offered(model: IsolationModel) -> None:
    names = {c.name for c in model.containers}
    assert {"web", "api", "db"} <= names
    assert not names & {"peer", "onhost", "lonely"}
    assert {n.name for n in model.networks} == {"frontend", "backend", "database", "dual"}


# -- the widgets ---------------------------------------------------------------------------------------------


@pytest.fixture
def panel(model: IsolationModel) -> IsolationPanel:
    return IsolationPanel.over(model)


def test_a_tick_changes_the_network_and_the_pictures(panel: IsolationPanel, hands: Hands) -> None:
    box = panel._boxes[OFF.inverse]
    assert box.value
    box.value = False
    assert "database" not in hands.state.container("db").networks  # type: ignore[union-attr]
    assert "pairs have changed" in panel._matrix.value or "pair has changed" in panel._matrix.value
    assert "− 172.22.0.10" in panel._topology.value or "−" in panel._topology.value
    assert "docker network disconnect database db" in panel._twin.value
    assert not panel._undo.disabled
    panel._undo.click()
    assert "docker network connect database db" in panel._twin.value
    assert box.value and panel._undo.disabled


def test_a_refused_tick_goes_back_and_says_why(panel: IsolationPanel, hands: Hands) -> None:
    hands.refuse = "change"
    looks = hands.looks
    box = panel._boxes[OFF.inverse]
    box.value = False
    assert box.value, "the box shows what the engine says"
    assert hands.looks == looks + 1, "going back is not taken for another tick"
    assert 'role="alert"' in panel._told.value and "Docker did not do it: no." in panel._told.value


def test_what_somebody_else_did_shows_when_asked_again(panel: IsolationPanel, hands: Hands) -> None:
    hands.disconnect("database", "db")
    web = hands.state.container("web")
    assert web
    hands.state = replace(hands.state, containers=(*hands.state.containers, replace(web, name="newcomer")))
    panel._again.click()
    assert not panel._boxes[OFF.inverse].value
    assert Change(MEMBER, "backend", True, "newcomer") in panel._boxes
    assert "changed" not in panel._matrix.value


def test_the_policy_switch_is_that_of_the_chosen_pair(panel: IsolationPanel, hands: Hands) -> None:
    panel._source.value, panel._target.value = "api", "db"
    panel._deny.value = True
    assert hands.policies == {("api", "db")}
    panel._source.value = "web"
    assert not panel._deny.value and hands.policies == {("api", "db")}
    panel._target.value = "web"
    assert panel._deny.disabled
    panel._source.value, panel._target.value = "api", "db"
    assert panel._deny.value and not panel._deny.disabled
    panel._undo.click()
    assert not panel._deny.value and not hands.policies


def test_an_alias_can_be_given_and_taken(panel: IsolationPanel, hands: Hands) -> None:
    assert panel._answers.disabled, "no alias is named yet"
    panel._owner.value, panel._where.value, panel._alias.value = "web", "frontend", "www"
    panel._answers.value = True
    assert "www" in hands.state.container("web").endpoint("frontend").aliases  # type: ignore[union-attr]
    assert panel.model.message == "web now answers to www on frontend."
    panel._owner.value = "db"
    assert panel._where.options == ("database",) and not panel._answers.value
    panel._undo.click()
    assert "www" not in hands.state.container("web").endpoint("frontend").aliases  # type: ignore[union-attr]
    assert panel.model.message == "web no longer answers to www on frontend."
    hands.refuse = "change"
    panel._answers.value = True
    assert not panel._answers.value and "Docker did not do it: no." in panel._told.value


def test_every_switch_has_a_label(panel: IsolationPanel) -> None:
    assert all(box.description for box in panel._boxes.values())


def test_a_reader_without_a_kernel_sees_pictures(panel: IsolationPanel) -> None:
    bundle = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "image/svg" in bundle["text/html"] and "<table" in bundle["text/html"]
    assert "frontend (bridge" in bundle["text/plain"]
