import dataclasses

import pytest

from dockernb.model import Container, Network, PublishedPort, Snapshot, Subnet
from tests.support.snapshots import ENGINES, inspected, snapshot_of


@pytest.fixture(params=ENGINES)
def state(request: pytest.FixtureRequest) -> Snapshot:
    return snapshot_of(request.param)


def container(state: Snapshot, name: str) -> Container:
    found = state.container(name)
    assert found is not None
    return found


def test_networks_say_what_was_asked_for(state: Snapshot) -> None:
    backend, dual = state.network("backend"), state.network("dual")
    assert backend and dual
    assert backend.internal and backend.icc and backend.masquerade and backend.mtu is None
    assert backend.subnets[0].subnet == "172.21.0.0/24"
    assert backend.bridge == f"br-{backend.id[:12]}"
    assert backend.labels == {"org.dockernb.lab": "dev"}
    assert dual.ipv6 and not dual.icc and dual.mtu == 1400
    assert [pool.version for pool in dual.subnets] == [4, 6]


def test_docker0_is_the_bridge_of_the_default_network(state: Snapshot) -> None:
    bridge = state.network("bridge")
    assert bridge and bridge.bridge == "docker0" and bridge.predefined


def test_gateways_are_known_on_every_engine(state: Snapshot) -> None:
    """20.10 tells no gateway for a network created with a subnet alone; 26.1 does."""
    for name, gateway in {
        "frontend": "172.20.0.1",
        "backend": "172.21.0.1",
        "database": "172.22.0.1",
    }.items():
        assert state.gateways(name) == (gateway,)
    assert state.gateways("dual")[0] == "172.28.0.1"
    assert state.gateways("host") == ()


def test_an_endpoint_keeps_its_address_and_the_aliases_that_somebody_gave(state: Snapshot) -> None:
    db = container(state, "db").endpoint("database")
    assert db and db.address == db.configured_address == "172.22.0.10"
    assert db.aliases == ("postgres",)
    api = container(state, "api")
    assert api.networks == ("backend", "database")
    assert api.endpoints[0].aliases == ("api-service",)
    assert api.endpoints[0].configured_address == ""


def test_ports_exposed_by_image_command_line_or_publishing_are_known(state: Snapshot) -> None:
    assert container(state, "db").exposed == ((5432, "tcp"),)
    assert container(state, "lb").exposed == ((80, "tcp"), (443, "tcp"))
    web = container(state, "web")
    assert PublishedPort(80, "tcp", "0.0.0.0", 8080) in web.published
    assert str(web.published[0]) == "0.0.0.0:8080 → 80/tcp"
    assert container(state, "old").published == ()


def test_states(state: Snapshot) -> None:
    client, old, web = (container(state, name) for name in ("client", "old", "web"))
    assert client.paused and client.alive and not client.running
    assert not old.alive and not old.running and old.state == "exited" and old.exit_code == 0
    assert web.running and web.alive


def test_who_shares_whose_network_namespace(state: Snapshot) -> None:
    peer, web, api, lonely, onhost = (container(state, n) for n in ("peer", "web", "api", "lonely", "onhost"))
    assert state.sandbox(peer) is web and state.sandbox(web) is web
    assert state.shared_networks(peer, api) == ("backend",)
    assert state.shared_networks(container(state, "db"), web) == ()
    assert onhost.uses_host_network and not web.uses_host_network
    assert lonely.endpoints == () or lonely.networks == ("none",)


def test_members_mounts_and_volumes(state: Snapshot) -> None:
    assert [c.name for c in state.members("database")] == ["api", "db"]
    mount = container(state, "db").mounts[0]
    assert (mount.kind, mount.source, mount.target, mount.read_only) == ("volume", "pgdata", "/data", False)
    assert [v.name for v in state.volumes] == ["pgdata"]


def test_mounts_of_all_kinds() -> None:
    """As docker 26 tells them; a tmpfs by --tmpfs stands in HostConfig alone."""
    db = next(c for c in inspected("26.1")["containers"] if c["Name"] == "/db")
    bind = {"Type": "bind", "Source": "/srv", "Mode": "", "RW": True}
    told = {
        "Mounts": [
            {"Type": "volume", "Name": "9" * 64, "Destination": "/cache", "RW": False, "Propagation": ""},
            bind | {"Destination": "/srv", "RW": False, "Propagation": "rprivate"},
            bind | {"Destination": "/media", "Propagation": "rshared"},
            {"Type": "tmpfs", "Source": "", "Destination": "/run", "RW": True, "Propagation": ""},
        ],
        "HostConfig": db["HostConfig"]
        | {
            "Mounts": [
                {"Type": "tmpfs", "Target": "/run", "TmpfsOptions": {"SizeBytes": 64 << 20, "Mode": 0o1777}},
                {"Type": "bind", "Source": "/srv", "Target": "/media"},
            ],
            "Tmpfs": {"/tmp": "rw,noexec,size=50m", "/scratch": ""},
        },
    }
    mounts = {mount.target: mount for mount in Container.from_inspect(db | told).mounts}
    assert list(mounts) == ["/cache", "/media", "/run", "/scratch", "/srv", "/tmp"]
    assert mounts["/cache"].anonymous and mounts["/cache"].read_only
    assert (mounts["/srv"].source, mounts["/srv"].read_only, mounts["/srv"].options) == ("/srv", True, ())
    assert mounts["/media"].options == ("rshared",) and not mounts["/media"].read_only
    assert mounts["/run"].options == ("size=64m", "mode=1777")
    assert (mounts["/tmp"].kind, mounts["/tmp"].options) == ("tmpfs", ("noexec", "size=50m"))
    assert mounts["/scratch"].options == () and not mounts["/scratch"].anonymous


def test_the_same_lab_looks_the_same_on_both_engines() -> None:
    def shape(state: Snapshot) -> object:
        return {
            c.name: [(e.network, e.address, e.aliases) for e in c.endpoints if e.address]
            for c in state.containers
        }

    assert shape(snapshot_of("20.10")) == shape(snapshot_of("26.1"))


def test_a_snapshot_is_a_value() -> None:
    assert snapshot_of() == snapshot_of()
    assert len({snapshot_of().containers[0], snapshot_of().containers[0]}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot_of().containers[0].name = "x"  # type: ignore[misc]


def test_a_container_is_found_by_id(state: Snapshot) -> None:
    web = container(state, "web")
    assert state.container(web.id) is web and state.container(web.id[:12]) is web
    assert state.container(web.id[:3]) is None


def test_first_address_of_a_pool() -> None:
    assert Subnet("10.1.2.128/25").first == "10.1.2.129"
    assert Subnet("fd00::/64").first == "fd00::1"
    assert not Subnet("10.0.0.0/8").holds("fd00::1")


def test_reading_does_not_change_the_json() -> None:
    before = str(inspected("26.1"))
    snapshot_of("26.1")
    assert str(inspected("26.1")) == before


def test_reserved_addresses_of_a_pool() -> None:
    data = dict(inspected("26.1")["networks"][0])
    data["IPAM"] = {"Config": [{"Subnet": "10.1.0.0/24", "AuxiliaryAddresses": {"printer": "10.1.0.200"}}]}
    assert Network.from_inspect(data).subnets == (Subnet("10.1.0.0/24", reserved=("10.1.0.200",)),)
