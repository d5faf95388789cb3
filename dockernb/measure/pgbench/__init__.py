"""pgbench against a PostgreSQL in a container: one statement again and again, each a transaction of its own."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from typing import Literal, get_args

import docker

from dockernb.arguments import check_fields
from dockernb.errors import MeasureError
from dockernb.measure.containers import running
from dockernb.measure.pgbench._parse import Transactions, parse, reading
from dockernb.measure.series import Plan, whole_seconds

__all__ = ["Pgbench", "Transactions", "parse"]

Commit = Literal["on", "off"]

_GRACE_S = 10  # what the connection and the last transactions may take beyond the measured seconds


@dataclass(frozen=True, slots=True)
class Pgbench:
    """One arrangement to measure: which database, and what is done to it.

    Attributes:
        container: Name of a running PostgreSQL, by the image ``dockernb/postgres``.
        sql: The statement; PostgreSQL makes each a transaction.
        synchronous_commit: "on" is PostgreSQL's own rule: a transaction is done when the disk has it. "off" answers
            before that, so that the last ones are lost with the machine's power.
        clients: How many connections do it, each on its own.
        database: The database's name.
        user: The database's user, who needs no password inside the container.
    """

    container: str
    sql: str
    synchronous_commit: Commit = "on"
    clients: int = 1
    database: str = "postgres"
    user: str = "postgres"

    def __post_init__(self) -> None:
        check_fields(MeasureError, self)

    def command(self, seconds: int) -> list[str]:
        """The arguments, as one would type them after ``pgbench``; ``--file`` and ``--host`` are to be added."""
        words = [f"--username={self.user}", f"--client={self.clients}", f"--time={seconds}"]
        return [*words, "--no-vacuum", "--protocol=prepared", self.database]

    def plan(self, engine: docker.APIClient, name: str, seconds: float, omit: float) -> Plan:
        """Look the container up.

        Raises:
            MeasureError: It does not exist or does not run, or a field makes no sense.
        """
        if self.clients < 1 or self.synchronous_commit not in get_args(Commit):
            raise MeasureError(f'"{name}": clients is at least 1, and synchronous_commit "on" or "off".')
        whole, warm_up = whole_seconds(name, seconds, omit)
        argument = {
            "pid": running(engine, self.container).pid,
            "sql": self.sql,
            "options": f"-c synchronous_commit={self.synchronous_commit}",
            # pgbench knows no warm-up: it is a run of its own.
            "runs": [self.command(time) for time in (warm_up, whole) if time],
            "limit": whole + warm_up + _GRACE_S,
        }
        columns = {
            "container": self.container,
            "sql": self.sql,
            "synchronous_commit": self.synchronous_commit,
            "clients": self.clients,
        }
        source = importlib.resources.files(__package__).joinpath("_inside.py").read_text()
        return Plan("pgbench", source, argument, columns, Transactions, reading)
