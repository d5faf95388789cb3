"""What a plain Debian host with Docker does, a lab host does, too, of either provider."""

import re

import pytest

from dockernb.labhost import LabHost
from tests.support.engine import why_not
from tests.support.shared import Shared

TOOLBOX = "dockernb/toolbox"


@pytest.fixture(scope="module", params=["vm", "container"])
def plain(request: pytest.FixtureRequest) -> LabHost:
    """A lab host of each provider; each test leaves it as it was."""
    if request.param == "container" and (reason := why_not()):
        pytest.skip(reason)
    shared: Shared = request.getfixturevalue(f"shared_{request.param}")
    return shared.pristine()


@pytest.fixture
def machine(plain: LabHost) -> LabHost:
    """One whose kernel is not the learner's."""
    if plain.provider != "vm":
        pytest.skip("the kernel, its settings and the limits are the learner's")
    return plain


def sh(host: LabHost, script: str, timeout: float = 60) -> str:
    """The output of a shell script on the Docker host, which has to succeed."""
    done = host.run(["sh", "-ec", script], timeout=timeout)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout.decode().strip()


# --- what an engine does on it ----------------------------------------------------------------------------------


def test_a_running_container_can_be_updated(plain: LabHost) -> None:
    script = f"""
    docker run -d --name changing -m 500m --memory-swap 500m {TOOLBOX} sleep inf > /dev/null
    docker update -m 400m --memory-swap 400m changing > /dev/null
    docker inspect -f '{{{{.HostConfig.Memory}}}}' changing
    docker exec changing cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2> /dev/null || true
    docker rm -f changing > /dev/null
    """
    assert set(sh(plain, script).split()) <= {str(400 << 20)}


def test_a_mount_spreads_between_the_host_and_a_container(plain: LabHost) -> None:
    for place in ("/tmp/spread", "/srv/spread", "/run/spread"):  # file systems of their own, or part of /
        script = f"""
        docker run --rm --cap-add SYS_ADMIN -v {place}:/m:rshared {TOOLBOX} \\
            sh -c 'mkdir /m/in && mount -t tmpfs in /m/in'
        mountpoint {place}/in
        umount {place}/in
        rm -r {place}
        """
        assert "is a mountpoint" in sh(plain, script)


def test_a_swarm_takes_the_address_of_the_only_card_and_asks_between_two(plain: LabHost) -> None:
    card = sh(plain, "ip -4 -o address show dev eth0 | sed -E 's/.* inet ([0-9.]+).*/\\1/'")
    try:
        sh(plain, "docker swarm init")
        assert sh(plain, "docker info -f '{{.Swarm.NodeAddr}}'") == card
    finally:
        plain.run(["docker", "swarm", "leave", "--force"])
    sh(plain, "ip link set eth1 up && ip address add 198.51.100.1/24 dev eth1")
    try:
        refused = plain.run(["docker", "swarm", "init"], timeout=60)
        assert refused.returncode and b"multiple addresses on different interfaces" in refused.stderr, refused
        assert card.encode() in refused.stderr and b"198.51.100.1" in refused.stderr
    finally:
        plain.run(["docker", "swarm", "leave", "--force"])
        sh(plain, "ip address del 198.51.100.1/24 dev eth1 && ip link set eth1 down")


def test_only_what_docker_accepts_is_forwarded(plain: LabHost) -> None:
    """To a neighbour that knows the way a container shows what it publishes, and nothing else."""
    assert "-P FORWARD DROP" in sh(plain, "iptables -S FORWARD")
    ipv6 = sh(plain, "sysctl -n net.ipv6.conf.all.forwarding; ip6tables -S FORWARD")
    assert ipv6.startswith("0") or "-P FORWARD DROP" in ipv6
    script = """
    ip netns add neighbour
    ip link add to-neighbour type veth peer name eth0 netns neighbour
    ip address add 203.0.113.1/24 dev to-neighbour
    ip link set to-neighbour up
    ip -n neighbour address add 203.0.113.9/24 dev eth0
    ip -n neighbour link set eth0 up
    ip -n neighbour route add default via 203.0.113.1
    docker run -d --name closed dockernb/nginx > /dev/null
    docker run -d --name open -p 8088:80 dockernb/nginx > /dev/null
    address=$(docker inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' closed)
    until curl -s -o /dev/null http://$address && curl -s -o /dev/null http://127.0.0.1:8088; do sleep 0.1; done
    for place in $address 203.0.113.1:8088; do
        ip netns exec neighbour curl -s -o /dev/null -w "%{http_code}\\n" --connect-timeout 3 http://$place || true
    done
    """
    try:
        assert sh(plain, script).splitlines() == ["000", "200"]
    finally:
        plain.run(["docker", "rm", "-f", "closed", "open"])
        plain.run(["ip", "netns", "del", "neighbour"])


def test_a_container_may_log_to_the_hosts_syslog(plain: LabHost) -> None:
    sh(plain, f"docker run --rm --log-driver syslog {TOOLBOX} echo said to syslog")
    sh(plain, "grep -q 'said to syslog' /var/log/syslog")


def test_devices_for_tunnels_and_file_systems_are_there(plain: LabHost) -> None:
    tunnel = (
        f"docker run --rm --cap-add NET_ADMIN --device /dev/net/tun {TOOLBOX} ip tuntap add tun9 mode tun"
    )
    sh(plain, tunnel)
    assert sh(plain, "stat -c %a /dev/fuse /dev/net/tun").split() == ["666", "666"]


# --- the host itself ---------------------------------------------------------------------------------------------


def test_it_knows_its_own_name(plain: LabHost) -> None:
    name = sh(plain, "hostname")
    assert sh(plain, "cat /etc/hostname") == name
    assert sh(plain, f"getent hosts {name}").split() == ["127.0.1.1", name]
    assert re.fullmatch("[0-9a-f]{32}", sh(plain, "cat /etc/machine-id"))


def test_the_streams_of_a_program_have_their_names(plain: LabHost) -> None:
    assert (
        sh(plain, "echo through | cat /dev/stdin > /dev/stdout; ls /dev/fd/0 /dev/stderr").split()[0]
        == "through"
    )


def test_the_engine_has_nothing_to_warn_of(machine: LabHost) -> None:
    assert "WARNING" not in sh(machine, "docker info 2>&1")
    ask = f"docker run --rm -m 64m --memory-swap 128m {TOOLBOX} cat /sys/fs/cgroup/memory.swap.max"
    assert int(sh(machine, ask)) == 64 << 20


def test_limits_are_those_of_debians_service_files(machine: LabHost) -> None:
    script = (
        "cat /proc/$(pgrep -ox dockerd)/oom_score_adj /proc/$(pgrep -ox containerd)/oom_score_adj; ulimit -n"
    )
    assert sh(machine, script).split() == ["-500", "-999", "1024"]
    inside = f"docker run --rm {TOOLBOX} bash -c 'ulimit -n; ulimit -u; cat /proc/self/oom_score_adj'"
    assert sh(machine, inside).split() == [str(1 << 20), "unlimited", "0"]


def test_the_kernel_is_set_as_debian_sets_it(machine: LabHost) -> None:
    names = (
        "net.ipv4.conf.default.rp_filter net.ipv4.conf.eth0.rp_filter fs.protected_regular vm.max_map_count"
    )
    assert sh(machine, f"sysctl -n {names}").split() == ["2", "2", "2", str(1 << 20)]
