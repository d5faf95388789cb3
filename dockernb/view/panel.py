"""The isolation panel: switches for memberships and networks, and what they change, drawn live."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from dockernb.model import Network
from dockernb.view.isolation import (
    ALIAS,
    DENY,
    MEMBER,
    Change,
    IsolationModel,
    LabHands,
    switches,
)
from dockernb.view.matrix import matrix_picture
from dockernb.view.picture import CODE_FONT, FAINT, INK, mark
from dockernb.view.topology import topology

if TYPE_CHECKING:
    from dockernb.session import Lab

_ABOUT = (
    "A tick connects a container to a network. A network that is <i>internal</i> has no way out of the Docker host "
    "and publishes no ports; without <i>icc</i> its containers do not talk to each other; with <i>masquerade</i> what "
    "leaves the Docker host carries the host's address. Docker cannot change these three in place: the network is made "
    "anew, with its endpoints, addresses, aliases, options and labels kept. An <i>alias</i> is a further name on one "
    "network. <i>Deny</i> drops what one container sends to another (IPv4), by rules in the iptables chain DOCKER-USER."
)


class IsolationPanel:
    """Connect and disconnect containers, switch networks to internal and back, and see who reaches whom.

    Every switch changes the real network; then the engine is looked at and the matrix is measured again,
    and both are drawn with the difference marked. A change that the engine refuses is told in one sentence,
    and the switches go back to what the engine says.
    """

    def __init__(self, lab: Lab, **options: Any) -> None:
        """Draw a lesson's panel; ``options`` (sources, targets, ports, ...) are those of `probe.reach`."""
        self._build(IsolationModel(LabHands(lab, options)))

    @classmethod
    def over(cls, model: IsolationModel) -> IsolationPanel:
        """A panel over a model that is there already."""
        panel = cls.__new__(cls)
        panel._build(model)
        return panel

    def _build(self, model: IsolationModel) -> None:
        self.model = model
        self._boxes: dict[Change, widgets.Checkbox] = {}
        self._drawn: tuple[Any, ...] = ()
        self._syncing = False
        self._cards = widgets.HBox(layout={"flex_flow": "row wrap", "grid_gap": "10px"})
        self._bar = widgets.FloatProgress(min=0, max=1, layout={"width": "180px"})
        self._told = widgets.HTML()
        self._undo = widgets.Button(description="Undo", icon="undo", tooltip="Take back the last change")
        self._again = widgets.Button(description="Ask again", icon="refresh", tooltip="Look and probe again")
        snug = {"style": {"description_width": "initial"}, "layout": {"width": "auto"}}
        self._source = widgets.Dropdown(description="From", **snug)
        self._target = widgets.Dropdown(description="to", **snug)
        self._deny = widgets.Checkbox(description="deny", indent=False, layout={"width": "auto"})
        self._alias = widgets.Text(description="Alias", placeholder="a further name", **snug)
        self._owner = widgets.Dropdown(description="of", **snug)
        self._where = widgets.Dropdown(description="on", **snug)
        self._answers = widgets.Checkbox(description="answers", indent=False, layout={"width": "auto"})
        self._twin, self._matrix, self._topology = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._undo.on_click(lambda _button: model.undo())
        self._again.on_click(lambda _button: model.refresh())
        self._deny.observe(self._on_deny, "value")
        self._answers.observe(self._on_answers, "value")
        for choice in (self._source, self._target, self._alias, self._owner, self._where):
            choice.observe(self._on_choice, "value")
        row = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "4px", "margin": "6px 0 0"}
        self.widget = widgets.VBox(
            [
                widgets.HTML(f'<div style="font-size:12px;color:{FAINT};line-height:1.4">{_ABOUT}</div>'),
                self._cards,
                widgets.HBox([self._alias, self._owner, self._where, self._answers], layout=row),
                widgets.HBox([self._source, self._target, self._deny], layout=row),
                widgets.HBox([self._undo, self._again, self._bar, self._told], layout=row),
                self._twin,
                self._matrix,
                self._topology,
            ]
        )
        model.observe(self._on_state, ["state", "state_before", "matrix", "matrix_before", "denied"])
        model.observe(self._on_work, ["busy", "doing", "fraction", "message", "twin", "error", "can_undo"])
        self._on_state(None)
        self._on_work(None)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        """The widget, and for readers without a kernel what it shows now."""
        pictures = [
            picture._repr_mimebundle_()
            for picture in (matrix_picture(self.model.matrix), topology(self.model.state))
        ]
        live: dict[str, str] = self.widget._repr_mimebundle_(**options)
        still = {
            kind: "\n\n".join(bundle[kind] for bundle in pictures) for kind in ("text/html", "text/plain")
        }
        return live | still

    def _on_state(self, _change: object) -> None:
        model = self.model
        if model.busy and model.doing:  # half of the news: drawn when the work is done
            return
        self._set_switches()
        drawn = (model.state, model.state_before, model.matrix, model.matrix_before)
        if self._drawn != drawn:
            self._drawn = drawn
            self._matrix.value = matrix_picture(model.matrix, model.matrix_before).html
            self._topology.value = topology(model.state, model.state_before).html

    def _on_work(self, _change: object) -> None:
        model = self.model
        self._bar.value = model.fraction
        self._bar.layout.display = "flex" if model.busy else "none"
        # The switches stay enabled meanwhile: disabled, the one in use would lose the keyboard's focus.
        # What is ticked while the kernel is busy is done next.
        self._undo.disabled = not model.can_undo
        self._twin.value = model.twin._repr_html_()
        if model.error:
            self._told.value = f'<div role="alert" style="color:{INK}"><b>✕</b> {mark(model.error)}</div>'
        else:
            told = f"{model.doing} …" if model.doing else model.message
            self._told.value = f'<div role="status" style="color:{FAINT}">{mark(told)}</div>'
        if not model.busy:
            self._on_state(None)

    def _set_switches(self) -> None:
        """Make the switches show what the engine says."""
        wanted = [change for network in self.model.networks for change in self._switches_of(network)]
        if wanted != list(self._boxes):
            self._boxes = {change: self._checkbox(change) for change in wanted}
            self._cards.children = [self._card(network) for network in self.model.networks]
        self._syncing = True
        try:
            for change, box in self._boxes.items():
                box.value = self.model.value(change.what, change.network, change.container)
            self._set_alias()
            self._set_policy()
        finally:
            self._syncing = False

    def _set_alias(self) -> None:
        """Offer the networks of the chosen container, and show whether it answers to the alias there."""
        _offer(self._owner, [c.name for c in self.model.containers])
        owner = self.model.state.container(self._owner.value or "")
        known = {network.name for network in self.model.networks}
        _offer(self._where, [name for name in (owner.networks if owner else ()) if name in known])
        self._answers.disabled = not (self._alias.value and self._where.value)
        self._answers.value = self.model.value(
            ALIAS, self._where.value or "", self._owner.value or "", self._alias.value
        )

    def _set_policy(self) -> None:
        """Make the two ends and their switch show what there is."""
        names = [container.name for container in self.model.containers]
        _offer(self._source, names)
        _offer(self._target, names, first=-1)
        self._deny.disabled = self._source.value == self._target.value
        self._deny.value = self.model.value(DENY, "", self._source.value or "", self._target.value or "")

    def _on_choice(self, _news: object) -> None:
        if not self._syncing:
            self._set_switches()

    def _on_answers(self, news: dict[str, Any]) -> None:
        if not self._syncing:
            where, owner, alias = self._where.value, self._owner.value, self._alias.value
            self.model.change(Change(ALIAS, where, news["new"], owner, alias))

    def _on_deny(self, news: dict[str, Any]) -> None:
        if not self._syncing:
            self.model.change(Change(DENY, "", news["new"], self._source.value, self._target.value))

    def _switches_of(self, network: Network) -> list[Change]:
        own = [Change(what, network.name, True) for what in switches(network)]
        return own + [Change(MEMBER, network.name, True, c.name) for c in self.model.containers]

    def _checkbox(self, change: Change) -> widgets.Checkbox:
        member = change.what == MEMBER
        box = widgets.Checkbox(
            description=change.container if member else change.what,
            indent=False,
            layout={"width": "auto", "margin": "0 4px"},
        )
        box.observe(self._on_tick(change), "value")
        return box

    def _on_tick(self, change: Change) -> Callable[[dict[str, Any]], None]:
        def ticked(news: dict[str, Any]) -> None:
            if not self._syncing:
                self.model.change(change if news["new"] else change.inverse)

        return ticked

    def _card(self, network: Network) -> widgets.VBox:
        subnets = " ".join(pool.subnet for pool in network.subnets)
        head = widgets.HTML(
            f'<div style="line-height:1.35"><b>{mark(network.name)}</b> '
            f'<span style="font:11px {CODE_FONT};color:{FAINT}">{mark(subnets)}</span></div>'
        )
        boxes = {change: box for change, box in self._boxes.items() if change.network == network.name}
        own = [box for change, box in boxes.items() if change.what != MEMBER]
        members = [box for change, box in boxes.items() if change.what == MEMBER]
        return widgets.VBox(
            [
                head,
                widgets.HBox(own, layout={"border_bottom": "1px solid var(--jp-border-color2, #ddd)"}),
                *members,
            ],
            layout={
                "border": "1px solid var(--jp-border-color1, #bbb)",
                "padding": "6px 10px",
                "min_width": "190px",
            },
        )


def _offer(choice: widgets.Dropdown, names: list[str], first: int = 0) -> None:
    """Let somebody choose among names; what was chosen stays chosen while it is there."""
    if choice.options != tuple(names):
        kept = choice.value if choice.value in names else None
        choice.options = names
        choice.value = kept or (names[first] if names else None)
