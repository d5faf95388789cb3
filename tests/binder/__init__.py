"""`make binder`: the Binder session on this machine, from what repo2docker generates and within Binder's limits."""
