"""The syllabus's own commands in a `%%docker` cell, on a lab host, as they stand and twice."""

import os
import re
import signal
import threading
import time
from typing import Any

import pytest

from dockernb.errors import LabError
from dockernb.labhost import LabHost
from dockernb.session import Lab, fetch
from dockernb.session.magic import run_cell
from tests.support.lesson import attempt

LESSON = "06-three-tier-lab"

# Only the names of images are changed; `ping` without a count, which never ends, gets one.
DEFAULT_BRIDGE = """
# Containers on default bridge
docker run -d --name web1 dockernb/nginx
docker run -d --name web2 dockernb/nginx

# Check network
docker network inspect bridge
"""
CUSTOM_BRIDGE = """
# Create custom bridge
docker network create --driver bridge my-app-network

# Run containers on custom bridge
docker run -d --name web1 --network my-app-network dockernb/nginx
docker run -d --name web2 --network my-app-network dockernb/nginx

# Test communication (containers can reach each other by name)
docker exec web1 getent hosts web2
"""
ADVANCED_BRIDGE = r"""
# Create bridge with custom subnet
docker network create \
  --driver bridge \
  --subnet=192.168.1.0/24 \
  --ip-range=192.168.1.128/25 \
  --gateway=192.168.1.1 \
  --opt com.docker.network.bridge.name=my-bridge \
  custom-bridge

# Run container with static IP
docker run -d --name web --network custom-bridge --ip 192.168.1.100 dockernb/nginx
"""
STEP_1 = r"""
# Frontend network (public-facing)
docker network create \
  --driver bridge \
  --subnet=172.20.0.0/16 \
  --gateway=172.20.0.1 \
  --opt com.docker.network.driver.mtu=1500 \
  frontend-network

# Backend network (internal services)
docker network create \
  --driver bridge \
  --subnet=172.21.0.0/16 \
  --gateway=172.21.0.1 \
  --internal \
  backend-network

# Database network (isolated)
docker network create \
  --driver bridge \
  --subnet=172.22.0.0/16 \
  --gateway=172.22.0.1 \
  --internal \
  database-network
"""
STEP_2 = r"""
# Database (only on database network)
docker run -d \
  --name postgres-db \
  --network database-network \
  --ip 172.22.0.10 \
  -e POSTGRES_DB=app \
  -e POSTGRES_USER=admin \
  -e POSTGRES_PASSWORD=secret \
  dockernb/postgres:17

# Backend API (connected to backend and database networks)
docker run -d \
  --name api-server \
  --network backend-network \
  --ip 172.21.0.10 \
  -e DATABASE_URL=postgresql://admin:secret@postgres-db:5432/app \
  dockernb/api:latest

# Connect API to database network
docker network connect database-network api-server

# Frontend web server (connected to frontend and backend networks)
docker run -d \
  --name web-server \
  --network frontend-network \
  --ip 172.20.0.10 \
  -p 8080:80 \
  -e API_URL=http://api-server:3000 \
  dockernb/web:latest

# Connect web server to backend network
docker network connect backend-network web-server

# Load balancer (only on frontend network)
docker run -d \
  --name load-balancer \
  --network frontend-network \
  --ip 172.20.0.5 \
  -p 80:80 \
  -p 443:443 \
  dockernb/lb
"""
STEP_3 = """
# Test network isolation
docker exec web-server getent hosts postgres-db  # Should fail (no direct access)
docker exec api-server getent hosts postgres-db  # Should work (connected)

# Check network connectivity
docker network inspect frontend-network backend-network database-network
"""


@pytest.fixture
def lab(fresh_quick_host: LabHost) -> Lab:
    return Lab(LESSON, fresh_quick_host)


def run(lab: Lab, script: str, **options: Any) -> tuple[int, str]:
    # The time limit has a test of its own; here the machine may be busy.
    return attempt(lab, script, **{"limit": 600.0} | options)


def test_the_blocks_for_bridge_networks_twice(lab: Lab) -> None:
    for _ in range(2):
        code, shown = run(lab, DEFAULT_BRIDGE)
        assert code == 0 and "Exit code" not in shown and shown.count('"IPv4Address"') == 2
        code, shown = run(lab, CUSTOM_BRIDGE)
        assert code == 0 and shown.rstrip().endswith("web2") and "Exit code" not in shown
        code, shown = run(lab, ADVANCED_BRIDGE)
        assert code == 0 and re.fullmatch(r"[0-9a-f]{64}\n[0-9a-f]{64}\n", shown)
    web = lab.docker.containers.get("web").attrs["NetworkSettings"]["Networks"]["custom-bridge"]
    assert web["IPAddress"] == "192.168.1.100"
    removed = lab.clean()
    assert removed.containers == ("web", "web1", "web2")
    assert removed.networks == ("custom-bridge", "my-app-network")


def test_lab_1_twice_and_its_clean_up(lab: Lab) -> None:
    plain = lab.host.client()
    plain.volumes.create("theirs")
    plain.networks.create("theirs")
    plain.containers.run("dockernb/toolbox", "sleep inf", name="theirs", network="theirs", detach=True)
    first = []
    for _ in range(2):
        code, shown = run(lab, STEP_1)
        assert code == 0 and re.fullmatch(r"([0-9a-f]{64}\n){3}", shown)
        first = first or shown.split()
        assert shown.split() == first, "a network of ours stays"
        code, shown = run(lab, STEP_2)
        assert code == 0 and re.fullmatch(r"([0-9a-f]{64}\n){4}", shown)
    code, shown = run(lab, STEP_3)
    assert code == 0 and re.search(r"^172\.\S+ +postgres-db$", shown, re.MULTILINE)
    assert "Exit code 2: docker exec web-server getent hosts postgres-db\n" in shown
    assert fetch(lab, 8080).status == 200
    assert fetch(lab, 80).status == 200
    assert lab.docker.containers.get("api-server").labels.items() >= lab.labels.items()

    removed = lab.clean()

    assert removed.containers == ("api-server", "load-balancer", "postgres-db", "web-server")
    assert removed.networks == ("backend-network", "database-network", "frontend-network")
    assert [container.name for container in plain.containers.list(all=True)] == ["theirs"]
    assert {network.name for network in plain.networks.list()} == {"theirs", "bridge", "host", "none"}
    assert "theirs" in {volume.name for volume in plain.volumes.list()}


def test_files_volumes_and_terminals(lab: Lab) -> None:
    script = r"""
mkdir -p site && cat > site/index.html << 'EOF'
  $from the cell
EOF
NAME=web
docker run -d --name $NAME --network host -v $(pwd)/site:/usr/share/nginx/html:ro -v kept:/data dockernb/nginx
for try in $(seq 50); do curl -s http://localhost:80 && break; sleep 0.2; done
echo piped | docker run --rm -i dockernb/toolbox cat
docker run --rm -it dockernb/toolbox echo no terminal
docker ps --format '{{.Names}}' | tr a-z A-Z
"""
    code, shown = run(lab, script)
    assert code == 0
    for line in ("  $from the cell", "piped", "no terminal", "WEB"):
        assert line in shown.splitlines()
    assert "A cell has no terminal, so -t was left out.\n" in shown
    assert lab.docker.volumes.get("kept").attrs["Labels"].items() >= lab.labels.items()
    assert lab.clean().volumes == ("kept",)


def test_errors_are_one_sentence(lab: Lab) -> None:
    code, shown = run(lab, "docker run -d nginx:alpine")
    assert code == 125
    assert shown.splitlines()[0].startswith("There is no image nginx:alpine here, and nothing is pulled.")
    assert shown.splitlines()[1:] == ["Exit code 125: docker run -d nginx:alpine"]
    lab.host.client().containers.create("dockernb/toolbox", name="theirs")
    code, shown = run(lab, "docker run -d --name theirs dockernb/toolbox")
    assert code == 125 and "Conflict" in shown
    run(lab, "docker network create --subnet=172.30.0.0/24 net; docker run -d --network net dockernb/nginx")
    code, shown = run(lab, "docker network create --subnet=172.31.0.0/24 net")
    assert code == 1 and "still on it: remove these first, or run lab.clean()." in shown


def processes(lab: Lab, text: str) -> int:
    """Processes of the lab host, of containers too, with this in their command line."""
    return lab.host.run(["pgrep", "-fc", text]).stdout.split() != [b"0"]


def test_the_time_limit_ends_what_runs_in_containers_too(lab: Lab) -> None:
    run(lab, "docker run -d --name web dockernb/toolbox sleep inf")
    with pytest.raises(LabError, match="was not done after 10 s and was stopped"):
        run(lab, "docker exec web ping 127.0.0.77", limit=10)
    assert not processes(lab, "[1]27.0.0.77")
    assert [container.name for container in lab.docker.containers.list()] == ["web"]


def test_an_interrupt_ends_the_command_on_the_lab_host(lab: Lab) -> None:
    shown: list[str] = []

    def interrupt() -> None:
        deadline = time.monotonic() + 60
        while not any("icmp_seq" in text for text in shown) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(LabError, match="Interrupted"):
        run_cell(lab, "docker run --name pinger dockernb/toolbox ping 127.0.0.78", show=shown.append)
    assert not processes(lab, "[1]27.0.0.78")
    assert lab.docker.containers.get("pinger").status == "exited"
    assert lab.host.run(["ls", "-A", "/var/lib/dockernb-cells"]).stdout == b""
    assert run(lab, "echo usable") == (0, "usable\n")
