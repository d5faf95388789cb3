"""Policies that several tests apply."""

# As the syllabus has it.
DENY_ALL = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny-all
spec:
  selector: all()
  types:
  - Ingress
  - Egress
"""


def allow(source: str, target: str, port: int, *, ways: str = "ingress egress") -> str:
    """Policies that let one tier ask another one's port: the receiver's, the sender's, or both."""
    written = []
    for way in ways.split():
        own, other, end = (target, source, "source") if way == "ingress" else (source, target, "destination")
        written.append(f"""
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {{name: {source}-{target}-{way}}}
spec:
  selector: tier == '{own}'
  {way}:
  - action: Allow
    protocol: TCP
    {end}: {{selector: tier == '{other}'}}
""")
        if way == "ingress":
            written[-1] += f"    destination: {{ports: [{port}]}}\n"
    return "---\n".join(written)
