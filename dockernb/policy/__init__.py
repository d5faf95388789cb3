"""Network policies from a file, in Calico's schema, enforced on the lab host by iptables."""

from dockernb.policy.enforce import Policies, apply_policy, policies, remove_policy
from dockernb.policy.schema import Policy, read_policies

__all__ = ["Policies", "Policy", "apply_policy", "policies", "read_policies", "remove_policy"]
