"""The state of the isolation panel: what is, what was done, what it changed. No screen is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from traitlets import Bool, Float, HasTraits, Instance, Unicode

from dockernb.errors import DockernbError, LabError
from dockernb.model import Container, Endpoint, Network, Snapshot
from dockernb.probe import OUTSIDE, Matrix, reach, snapshot
from dockernb.session import networks
from dockernb.session.twin import Script
from dockernb.view.topology import in_order

if TYPE_CHECKING:
    from dockernb.session import Lab

Report = Callable[[str, float], None]

MEMBER, ALIAS, INTERNAL, ICC, MASQUERADE, DENY = "member", "alias", "internal", "icc", "masquerade", "deny"
SWITCHES = (INTERNAL, ICC, MASQUERADE)


class Hands(Protocol):
    """What the panel does to the engine, each with its CLI twin; a test gives it other hands."""

    def look(self) -> Snapshot:
        """What is there now."""

    def probe(self, state: Snapshot) -> Matrix:
        """Who reaches whom now."""

    def connect(self, network: str, container: str, endpoint: Endpoint | None) -> Script:
        """Connect, with the addresses and aliases of an earlier endpoint if there was one."""

    def disconnect(self, network: str, container: str) -> Script:
        """Disconnect."""

    def alias(self, network: str, container: str, name: str, value: bool) -> Script:
        """Give a container a further name on a network, or take it away."""

    def switch(self, network: str, name: str, value: bool, report: Report) -> Script:
        """Set one of `SWITCHES`, for which the network is made anew."""

    def denied(self) -> frozenset[tuple[str, str]]:
        """Who may not send to whom by a policy."""

    def deny(self, source: Container, target: Container, value: bool) -> Script:
        """Put such a policy on or off."""


@dataclass(frozen=True)
class LabHands:
    """The hands of a real lesson. ``options`` go to `probe.reach`; by default the outside takes part."""

    lab: Lab
    options: dict[str, Any] = field(default_factory=dict)

    def look(self) -> Snapshot:  # noqa: D102
        return snapshot(self.lab)

    def probe(self, state: Snapshot) -> Matrix:  # noqa: D102
        everybody = [*(container.name for container in state.containers), OUTSIDE]
        return reach(self.lab, snapshot=state, **{"sources": everybody, "targets": everybody} | self.options)

    def connect(self, network: str, container: str, endpoint: Endpoint | None) -> Script:  # noqa: D102
        with networks.told_apart(self.lab.docker) as told:
            networks.connect(self.lab.docker, network, container, endpoint)
        return told.take()

    def disconnect(self, network: str, container: str) -> Script:  # noqa: D102
        with networks.told_apart(self.lab.docker) as told:
            networks.disconnect(self.lab.docker, network, container)
        return told.take()

    def alias(self, network: str, container: str, name: str, value: bool) -> Script:  # noqa: D102
        with networks.told_apart(self.lab.docker) as told:
            networks.alias(self.lab.docker, network, container, name, value)
        return told.take()

    def switch(self, network: str, name: str, value: bool, report: Report) -> Script:  # noqa: D102
        with networks.told_apart(self.lab.docker) as told:
            networks.recreate(self.lab.docker, network, report=report, **{name: value})
        return told.take()

    def denied(self) -> frozenset[tuple[str, str]]:  # noqa: D102
        return networks.denied(self.lab.host)

    def deny(self, source: Container, target: Container, value: bool) -> Script:  # noqa: D102
        def known(container: Container) -> tuple[str, list[str]]:
            return container.name, [a for endpoint in container.endpoints for a in endpoint.addresses]

        return networks.deny(self.lab.host, known(source), known(target), value)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that the panel can do.

    A membership (of a container in a network), an alias (the target, to which the container answers on the
    network), a switch of a network, or a policy (what the container sends to the target is dropped, whatever the
    network).
    """

    what: str
    network: str
    value: bool
    container: str = ""
    target: str = ""

    @property
    def inverse(self) -> Change:
        """What undoes it."""
        return replace(self, value=not self.value)

    def __str__(self) -> str:
        if self.what == MEMBER:
            done = "Connected" if self.value else "Disconnected"
            return f"{done} {self.container} {'to' if self.value else 'from'} {self.network}"
        if self.what == ALIAS:
            return f"{self.container} {'now' if self.value else 'no longer'} answers to {self.target} on {self.network}"
        if self.what == DENY:
            return f"{'Denied' if self.value else 'Allowed'} {self.container} to send to {self.target}"
        word = {INTERNAL: "internal", ICC: "inter-container communication", MASQUERADE: "masquerade"}[
            self.what
        ]
        return f"Made {self.network} anew with {word} {'on' if self.value else 'off'}"


class IsolationModel(HasTraits):
    """The panel's state.

    Attributes:
        state: the engine's state.
        matrix: who reaches whom.
        denied: who may not send to whom by a policy, pairs of names.
        state_before: the state before the last change, to mark the difference; None at first.
        matrix_before: the matrix before the last change.
        busy: whether a change is being made.
        doing: what is being done, in words.
        fraction: how much of it is done, 0 to 1.
        message: what was done last.
        twin: the `docker …` lines that do what the last change did; none after a refusal.
        error: why the last change failed, in one sentence; empty otherwise.
        can_undo: whether there is something to undo.
    """

    state = Instance(Snapshot)
    matrix = Instance(Matrix)
    denied = Instance(frozenset)
    state_before = Instance(Snapshot, allow_none=True)
    matrix_before = Instance(Matrix, allow_none=True)
    busy = Bool(False)
    doing = Unicode("")
    fraction = Float(0.0)
    message = Unicode("")
    twin = Instance(Script, args=((),))
    error = Unicode("")
    can_undo = Bool(False)

    def __init__(self, hands: Hands) -> None:
        """Look once; raises what the hands raise."""
        state = hands.look()
        super().__init__(state=state, matrix=hands.probe(state), denied=hands.denied())
        self._hands = hands
        self._done: list[Change] = []
        self._endpoints: dict[tuple[str, str], Endpoint] = {}

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks that can be changed."""
        return tuple(n for n in in_order(self.state) if not n.predefined)

    @property
    def containers(self) -> tuple[Container, ...]:
        """The containers whose networks can be changed: those with a network namespace of their own."""
        own = (c for c in self.state.containers if not c.network_owner and not c.uses_host_network)
        return tuple(c for c in own if c.network_mode != "none")

    def value(self, what: str, network: str, container: str = "", target: str = "") -> bool:
        """Whether a membership, a switch or a policy is on."""
        if what == DENY:
            return (container, target) in self.denied
        if what in (MEMBER, ALIAS):
            found = self.state.container(container)
            endpoint = found.endpoint(network) if found else None
            return endpoint is not None and (what == MEMBER or target in endpoint.aliases)
        known = self.state.network(network)
        return known is not None and bool(getattr(known, what))

    def change(self, change: Change) -> None:
        """Make a change, look and probe again; a refusal becomes ``error``, and the state is the engine's."""
        now = self.value(change.what, change.network, change.container, change.target)
        if now != change.value and self._make(change):
            self._done.append(change)
            self.can_undo = True

    def undo(self) -> None:
        """Take back the last change."""
        if self._done and self._make(self._done[-1].inverse):
            self._done.pop()
            self.can_undo = bool(self._done)

    def refresh(self) -> None:
        """Look and probe again, without a difference."""
        self._work("Looked and asked again", self._read_policies, compare=False)

    def _make(self, change: Change) -> bool:
        return self._work(str(change), lambda: self._act(change))

    def _act(self, change: Change) -> None:
        if change.what == DENY:
            source, target = (self.state.container(name) for name in (change.container, change.target))
            if source is None or target is None:
                raise LabError(f"{change.container} or {change.target} is not there any more.")
            try:
                self.twin = self._hands.deny(source, target, change.value)
            finally:
                self._read_policies()
            return
        if change.what == ALIAS:
            self.twin = self._hands.alias(change.network, change.container, change.target, change.value)
            return
        if change.what != MEMBER:
            self.twin = self._hands.switch(change.network, change.what, change.value, self._report)
            return
        key = change.network, change.container
        if change.value:
            self.twin = self._hands.connect(*key, self._endpoints.get(key))
            return
        container = self.state.container(change.container)
        endpoint = container.endpoint(change.network) if container else None
        self.twin = self._hands.disconnect(*key)
        if endpoint is not None:
            self._endpoints[key] = endpoint

    def _work(self, title: str, act: Callable[[], None], *, compare: bool = True) -> bool:
        """Do something, then look and probe; tell how it goes."""
        self.busy, self.error, self.fraction, self.twin = True, "", 0.0, Script(())
        earlier = (self.state, self.matrix) if compare else (None, None)
        problems: list[str] = []
        try:
            for text, part, step in (
                (title, 0.0, act),
                ("Looking at the engine", 0.5, self._look),
                ("Asking who reaches whom", 0.6, self._probe),
            ):
                self.doing, self.fraction = text, part
                try:
                    step()
                except DockernbError as problem:
                    problems.append(str(problem))
            self.fraction = 1.0
            self.state_before, self.matrix_before = earlier
        finally:
            self.busy, self.doing = False, ""
        self.error = problems[0] if problems else ""
        self.message = "" if problems else f"{title}."
        return not problems

    def _read_policies(self) -> None:
        self.denied = self._hands.denied()

    def _look(self) -> None:
        self.state = self._hands.look()

    def _probe(self) -> None:
        self.matrix = self._hands.probe(self.state)

    def _report(self, text: str, fraction: float) -> None:
        self.doing, self.fraction = text, fraction / 2


def switches(network: Network) -> Sequence[str]:
    """The switches that this network has."""
    return SWITCHES if network.driver == "bridge" else (INTERNAL,)
