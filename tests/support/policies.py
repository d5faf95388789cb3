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
