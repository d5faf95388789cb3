"""The exercise of lesson 07: one more container under a policy that denies everything else."""

from dockernb.course.checks import Condition, Sight, check, keeps_out, reaches, runs
from dockernb.policy import policies
from dockernb.probe import Outcome

ELSEWHERE = 22  # a port of the database on which nothing listens: a packet that arrives there is refused
_ARRIVED = {Outcome.REACHABLE, Outcome.REFUSED}


def _denied(sight: Sight) -> str:
    """Whether deny-all holds, for the containers that there are now."""
    found = policies(sight.lab)
    if "deny-all" not in found.names:
        return "The policy deny-all is not in force any more: apply its file again."
    if found.stale:
        return "The rules are older than the containers: dn.apply_policy(lab) makes them anew."
    return ""


def _no_other_port(sight: Sight) -> str:
    if any(verdict.outcome in _ARRIVED for verdict in sight.ways("audit", "db", ELSEWHERE)):
        return "audit reaches db on other ports than 5432, too: an allow rule needs protocol and ports."
    return ""


audit = check(
    "An audit of the database",
    runs("audit"),
    Condition("deny-all is in force, for all containers", _denied),
    reaches("audit", "db", 5432),
    Condition(
        "audit reaches db on no other port", _no_other_port, lambda _state: [("audit", "db", ELSEWHERE)]
    ),
    keeps_out("db-network", "api", 3000),
    reaches("web", "api", 3000),
    reaches("api", "db", 5432),
    hints=[
        "A policy selects by labels, so audit needs one by which it can be told from the others. The network on "
        "which it can meet db is db-network.",
        "Two consents are needed: audit's egress and db's ingress. Each names the protocol, the other side and the "
        "port.",
        "Rules are for addresses, and a container has one only when it runs: start audit first, then apply.",
    ],
    solution='''
lab.docker.containers.run(
    "dockernb/toolbox", ["sleep", "infinity"], name="audit", network="db-network",
    labels={"tier": "audit"}, detach=True,
)
dn.apply_policy(lab, """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: audit-asks
spec:
  selector: tier == 'audit'
  egress:
  - action: Allow
    protocol: TCP
    destination:
      selector: tier == 'db'
      ports: [5432]
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: db-answers-audit
spec:
  selector: tier == 'db'
  ingress:
  - action: Allow
    protocol: TCP
    source:
      selector: tier == 'audit'
    destination:
      ports: [5432]
""")
''',
)
"""Start a container called "audit" that reaches the database's port 5432 and nothing else, while deny-all holds and the
application goes on working. One policy or several, by any label; what counts is who reaches whom."""
