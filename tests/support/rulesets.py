"""Firewalls as engines make them, for a scene of four networks, written in the shapes that moby documents.

The shapes are those of integration/network/bridge/{iptablesdoc,nftablesdoc} in moby: before 28, of 29 with
iptables, and of 29 with nftables. What a running engine made is taken away before; nobody has to ask it again.

The scene: bridges a0 (10.31.1.0/24), b0 (10.31.2.0/24), i0 (10.31.3.0/24, internal) and q0 (10.31.4.0/24,
without icc), and at 10.31.1.2 a container whose port 80 is published as 8080.
"""

_OPEN = {"a0": "10.31.1", "b0": "10.31.2", "q0": "10.31.4"}
_INTERNAL, _QUIET, _WEB = "i0", "q0", "10.31.1.2"
FLUSH = "nft flush ruleset"


def _iptables(filters: list[str], chains: list[str], raw: list[str]) -> str:
    """A script that puts these rules in force, and the nat rules that all engines with iptables have."""
    nat = [
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
        *(f"-A POSTROUTING -s {net}.0/24 ! -o {bridge} -j MASQUERADE" for bridge, net in _OPEN.items()),
        f"-A DOCKER ! -i a0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {_WEB}:80",
    ]
    text = "\n".join(
        [
            *("*filter", ":FORWARD DROP [0:0]"),
            *(f":{chain} - [0:0]" for chain in ["DOCKER", "DOCKER-USER", *chains]),
            *filters,
            *("COMMIT", "*nat", ":DOCKER - [0:0]", *nat, "COMMIT", "*raw", *raw, "COMMIT"),
        ]
    )
    return f"{FLUSH}\niptables-restore <<'END'\n{text}\nEND\n"


def _published(chain: str = "DOCKER") -> str:
    return f"-A {chain} -d {_WEB}/32 ! -i a0 -o a0 -p tcp -m tcp --dport 80 -j ACCEPT"


def docker_26() -> str:
    """Isolation by two stages of chains, unpublished ports by the policy only."""
    rules = ["-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-ISOLATION-STAGE-1"]
    for bridge in _OPEN:
        verdict = "DROP" if bridge == _QUIET else "ACCEPT"
        rules += [
            f"-A FORWARD -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            f"-A FORWARD -o {bridge} -j DOCKER",
            f"-A FORWARD -i {bridge} ! -o {bridge} -j ACCEPT",
            f"-A FORWARD -i {bridge} -o {bridge} -j {verdict}",
        ]
    rules += [
        f"-A FORWARD -i {_INTERNAL} -o {_INTERNAL} -j ACCEPT",
        _published(),
        f"-A DOCKER-ISOLATION-STAGE-1 ! -s 10.31.3.0/24 -o {_INTERNAL} -j DROP",
        f"-A DOCKER-ISOLATION-STAGE-1 ! -d 10.31.3.0/24 -i {_INTERNAL} -j DROP",
        *(
            f"-A DOCKER-ISOLATION-STAGE-1 -i {bridge} ! -o {bridge} -j DOCKER-ISOLATION-STAGE-2"
            for bridge in _OPEN
        ),
        *(f"-A DOCKER-ISOLATION-STAGE-2 -o {bridge} -j DROP" for bridge in _OPEN),
        "-A DOCKER-USER -j RETURN",
    ]
    return _iptables(rules, ["DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"], [])


def docker_29() -> str:
    """No isolation chains: what is not published is dropped at its network's door, most of it in raw already."""
    rules = [
        "-A FORWARD -j DOCKER-USER",
        "-A FORWARD -j DOCKER-FORWARD",
        _published(),
        *(f"-A DOCKER ! -i {bridge} -o {bridge} -j DROP" for bridge in _OPEN),
        *(f"-A DOCKER-BRIDGE -o {bridge} -j DOCKER" for bridge in _OPEN),
        *(f"-A DOCKER-CT -o {b} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT" for b in _OPEN),
        *(f"-A DOCKER-FORWARD -j DOCKER-{chain}" for chain in ("CT", "INTERNAL", "BRIDGE")),
        "-A DOCKER-FORWARD -i a0 -j ACCEPT",
        "-A DOCKER-FORWARD -i b0 -j ACCEPT",
        f"-A DOCKER-FORWARD -i {_INTERNAL} -o {_INTERNAL} -j ACCEPT",
        f"-A DOCKER-FORWARD -i {_QUIET} -o {_QUIET} -j DROP",
        f"-A DOCKER-FORWARD -i {_QUIET} ! -o {_QUIET} -j ACCEPT",
        f"-A DOCKER-INTERNAL ! -s 10.31.3.0/24 -o {_INTERNAL} -j DROP",
        f"-A DOCKER-INTERNAL ! -d 10.31.3.0/24 -i {_INTERNAL} -j DROP",
    ]
    chains = ["DOCKER-BRIDGE", "DOCKER-CT", "DOCKER-FORWARD", "DOCKER-INTERNAL"]
    return _iptables(rules, chains, [f"-A PREROUTING -d {_WEB}/32 ! -i a0 -j DROP"])


def docker_29_nftables() -> str:
    """A table of the engine's own, in which maps lead from an interface to the rules of its network."""
    bridges = [*_OPEN, _INTERNAL]
    maps, chains = [], []
    for way in ("in", "out"):
        for kind in ("filter-forward", "nat-postrouting"):
            to = ", ".join(f'"{bridge}" : jump {kind}-{way}__{bridge}' for bridge in bridges)
            maps.append(f"map {kind}-{way}-jumps {{ type ifname : verdict; elements = {{ {to} }}; }}")
    for bridge in bridges:
        verdict = "drop" if bridge == _QUIET else "accept"
        known = "ct state established,related counter accept"
        if bridge == _INTERNAL:
            into = [
                f'iifname != "{bridge}" counter drop comment "INTERNAL NETWORK INGRESS"',
                'counter accept comment "ICC"',
            ]
            out = [f'oifname != "{bridge}" counter drop comment "INTERNAL NETWORK EGRESS"']
            nat = []
        else:
            opened = [f"ip daddr {_WEB} tcp dport 80 counter accept"] if bridge == "a0" else []
            into = [
                f'iifname "{bridge}" counter {verdict} comment "ICC"',
                *opened,
                'counter drop comment "UNPUBLISHED PORT DROP"',
            ]
            out = ['counter accept comment "OUTGOING"']
            nat = [
                f'oifname != "{bridge}" ip saddr {_OPEN[bridge]}.0/24 counter masquerade comment "MASQUERADE"'
            ]
        for name, rules in (
            (f"filter-forward-in__{bridge}", [known, *into]),
            (f"filter-forward-out__{bridge}", [known, *out]),
            (f"nat-postrouting-in__{bridge}", []),
            (f"nat-postrouting-out__{bridge}", nat),
        ):
            chains.append("\n".join([f"chain {name} {{", *rules, "}"]))
    body = "\n".join(
        [
            *chains,
            *maps,
            """
            chain nat-prerouting-and-output {
                iifname != "a0" tcp dport 8080 counter dnat to WEB:80 comment "DNAT"
            }
            chain filter-FORWARD {
                type filter hook forward priority filter; policy accept;
                oifname vmap @filter-forward-in-jumps
                iifname vmap @filter-forward-out-jumps
            }
            chain nat-OUTPUT {
                type nat hook output priority dstnat; policy accept;
                ip daddr != 127.0.0.0/8 fib daddr type local counter jump nat-prerouting-and-output
            }
            chain nat-POSTROUTING {
                type nat hook postrouting priority srcnat; policy accept;
                iifname vmap @nat-postrouting-out-jumps
                oifname vmap @nat-postrouting-in-jumps
            }
            chain nat-PREROUTING {
                type nat hook prerouting priority dstnat; policy accept;
                fib daddr type local counter jump nat-prerouting-and-output
            }
            chain raw-PREROUTING {
                type filter hook prerouting priority raw; policy accept;
                ip daddr WEB iifname != "a0" counter drop comment "DROP DIRECT ACCESS"
            }
            """.replace("WEB", _WEB),
        ]
    )
    return f"{FLUSH}\nnft -f - <<'END'\ntable ip docker-bridges {{\n{body}\n}}\ntable ip6 docker-bridges {{ }}\nEND\n"
