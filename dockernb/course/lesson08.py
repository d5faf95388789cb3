"""The exercise of lesson 08: a balancer that hides a sick server from those who read, and repeats no order."""

import re

from dockernb.course.checks import Condition, Sight, check, runs
from dockernb.measure.load import Requests, load

BACKENDS = ("api1", "api2", "api3")
ASKED = 30  # reads, and as many orders: every server is met several times
CONFIGURATION = "/etc/nginx/nginx.conf"
ON_THE_HOST = "/srv/nginx.conf"
_RELOAD = "run `docker exec lb nginx -s reload`"


def _is_sick(sight: Sight) -> str:
    """A server that was made well again proves nothing."""
    asked = load(sight.lab, "main-app", {"api2": Requests("http://api2:8000/", count=1)})
    status = int(asked["status"].iloc[0])
    if status == 503:
        return ""
    said = f"answers {status}" if status else "does not answer"
    return f"api2 {said}, and the exercise wants it sick: run `docker exec api2 touch /tmp/sick`."


def _keeps_all(sight: Sight) -> str:
    """All three servers in the configuration that nginx would load now."""
    servers = re.findall(r"(?m)^[^#\n]*?\bserver\s+([\w.-]+)(?::\d+)?([^;{\n]*);", _configuration(sight))
    used = {name for name, options in servers if not re.search(r"\b(down|backup)\b", options)}
    missing = [name for name in BACKENDS if name not in used]
    if not missing or "api" in used:
        return ""
    return (
        f"{missing[0]} gets no requests by {ON_THE_HOST}: it has to stay, for the day when it is well again."
    )


def _reads_are_answered(sight: Sight) -> str:
    """Reads from main-app through lb."""
    asked = load(sight.lab, "main-app", {"reads": Requests("http://lb/", count=ASKED)})
    lost = asked[asked["lost"]]
    if lost.empty:
        return ""
    if not lost["status"].any():
        return f"lb does not answer ({lost['error'].iloc[0]}): look at `docker logs lb`."
    mounted, here = _configuration(sight), sight.lab.host.run(["cat", ON_THE_HOST]).stdout.decode()
    if here and mounted.strip() != here.strip():
        return (
            f"lb does not see your {ON_THE_HOST}: sed -i and most editors put a new file in the place of the one that "
            "is mounted, so write into it with `cat new.conf > nginx.conf`, or restart lb."
        )
    if re.search(r"(?m)^[^#\n]*proxy_next_upstream [^;]*http_503", mounted):
        return f"Your {ON_THE_HOST} is in lb, and nginx reads it only at its start or when it is told to: {_RELOAD}."
    status = int(lost["status"].iloc[0])
    return (
        f"{len(lost)} of {ASKED} reads through lb were answered {status}: when may nginx ask the next server?"
    )


def _orders_are_single(sight: Sight) -> str:
    """Orders from main-app through lb, and what the servers say they carried out."""
    before = _orders(sight)
    load(sight.lab, "main-app", {"orders": Requests("http://lb/", method="POST", count=ASKED)})
    done = _orders(sight) - before
    if done > ASKED:
        return f"{ASKED} orders were sent and {done} were carried out: nginx must not send an order to a second server."
    # A server that has just failed is spared for some seconds, and then nothing is seen of it.
    if re.search(r"(?m)^[^#\n]*proxy_next_upstream [^;]*non_idempotent", _configuration(sight)):
        return "With non_idempotent nginx sends an order to a second server, though the first may have carried it out."
    return "" if done == ASKED else f"{ASKED} orders were sent through lb and only {done} reached a server."


def _orders(sight: Sight) -> int:
    """The sum of the servers' own counts; the lab host reaches each container by its address."""
    there = [server for name in BACKENDS if (server := sight.container(name))]
    urls = [f"http://{server.endpoints[0].addresses[0]}:8000/orders" for server in there if server.endpoints]
    told = sight.lab.host.run(["curl", "--silent", "--max-time", "5", *urls])
    return sum(int(line) for line in told.stdout.split())


def _configuration(sight: Sight) -> str:
    """The configuration as lb sees it."""
    balancer = sight.container("lb")
    path = f"/proc/{balancer.pid if balancer else 0}/root{CONFIGURATION}"
    return sight.lab.host.run(["cat", path]).stdout.decode(errors="replace")


steady = check(
    "A balancer that stands a sick server",
    runs("lb"),
    runs("main-app"),
    *map(runs, BACKENDS),
    Condition("api2 is still sick", _is_sick, first=True),
    Condition("all three servers are in the configuration", _keeps_all),
    # Orders first: after a read that failed nginx spares the sick server, and an order would not meet it.
    Condition("each order through lb is carried out once", _orders_are_single),
    Condition("every read through lb is answered", _reads_are_answered),
    hints=[
        "nginx asks the next server when proxy_next_upstream says so, and now it says: no connection, or no answer "
        "in time. What does a sick api2 do instead?",
        "proxy_next_upstream also takes status codes: http_500, http_502, http_503, … Leave non_idempotent alone: "
        "without it nginx repeats no POST that it has sent.",
        f"lb has the file mounted: write into {ON_THE_HOST} itself (not with sed -i), then {_RELOAD}.",
    ],
    solution="""
%%docker
cd /srv
sed 's/error timeout;/error timeout http_503;/' nginx.conf > better.conf
cat better.conf > nginx.conf
docker exec lb nginx -s reload
""",
)
"""Change lb so that reads do not meet the sick api2 and orders are carried out once, with api2 still configured."""
