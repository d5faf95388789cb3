"""The exercise of lesson 00: a second web server on a port of its own."""

from dockernb.course.checks import Condition, Sight, check, runs
from dockernb.errors import DockernbError
from dockernb.session import fetch

PORT = 8081
PATIENCE = 10.0  # seconds in which a server that has just been started may begin to answer


def _answers(sight: Sight) -> str:
    """Ask the port as the learner's browser would."""
    second = sight.container("second")
    published = [port.host_port for port in second.published if port.host_port] if second else []
    if PORT not in published:
        ports = ", ".join(map(str, sorted(set(published)))) or "no port"
        return f'"second" publishes {ports}, and {PORT} is wanted: ports={{"80/tcp": {PORT}}}.'
    try:
        answer = fetch(sight.lab, PORT, wait=PATIENCE)
    except DockernbError as problem:
        return str(problem)
    return (
        "" if answer.status < 400 else f"Port {PORT} answers {answer.status}: is it a web server with a page?"
    )


second_web_server = check(
    "A second web server",
    runs("second"),
    Condition(f"it answers on port {PORT}", _answers),
    hints=[
        "It is the cell that started web, with two things changed.",
        "The name is second; the container's port 80 is published as 8081.",
    ],
    solution="""
lab.docker.containers.run("dockernb/nginx", name="second", ports={"80/tcp": 8081}, detach=True)
""",
)
