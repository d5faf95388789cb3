"""The exercise of lesson 06, the three-tier lab."""

from dockernb.course.checks import check, keeps_out, reaches, runs

admin = check(
    "An admin container",
    runs("admin"),
    reaches("admin", "postgres-db", 5432),
    reaches("admin", "web-server", 80),
    keeps_out("frontend-network", "postgres-db", 5432),
    reaches("load-balancer", "web-server", 80),
    reaches("web-server", "api-server", 3000),
    reaches("api-server", "postgres-db", 5432),
    hints=[
        "A container can be on several networks. On which ones is web-server, besides frontend-network?",
        "postgres-db can be met on database-network, and web-server on backend-network. Whoever is on "
        "frontend-network is the first to be broken into, so admin must not be there; and no container that is "
        "there may get a second way to the database.",
        "Create admin on one of the two networks, connect it to the other one, and then start it.",
    ],
    solution="""
admin = lab.docker.containers.create(
    "dockernb/toolbox", ["sleep", "infinity"], name="admin", network="backend-network"
)
lab.docker.networks.get("database-network").connect(admin)
admin.start()
""",
)
"""Join a container called "admin" so that it reaches the database and the web tier, while nothing on the frontend
reaches the database and the application goes on working. Several ways lead there: both inner networks, or new ones."""
