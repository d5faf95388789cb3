"""JupyterHub for a class on one machine: read notebooks/CLASSROOM.md first; `make classroom` tests this very file.

jupyterhub -f binder/jupyterhub_config.py
"""

import sys
from pathlib import Path

import psutil

c = get_config()  # noqa: F821  (JupyterHub defines it)

# Loopback only. What learners see from outside, and its TLS certificate, is the business of the web server in front.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"

# Whoever has an account on this machine and is in this group, with the account's own password (PAM).
c.PAMAuthenticator.allowed_groups = {"learners"}

# A learner's server runs as that account, and the lab host ends with it.
programs = Path(sys.executable).parent
c.Spawner.cmd = [
    "/bin/sh",
    "-c",
    # The lessons are copied before each start; what a learner has changed stays as it is.
    f'PATH="{programs}:$PATH"; export PATH; dockernb lessons "$HOME/dockernb" >&2; exec jupyterhub-singleuser "$@"',
    "sh",
]
c.Spawner.default_url = "/lab/tree/dockernb/00-start-here.ipynb"
c.Spawner.environment = {"DOCKERNB_PROVIDER": "vm"}
c.Spawner.start_timeout = 120

# An hour after the last use, the notebook's kernel ends and then the server with its lab host.
HOUR = 3600
c.Spawner.args = [
    f"--MappingKernelManager.cull_idle_timeout={HOUR}",
    "--MappingKernelManager.cull_connected=True",
    f"--ServerApp.shutdown_no_activity_timeout={HOUR}",
]

# Who comes when memory is used up is told so, rather than that the kernel kills somebody's lab host.
# 1.2 GiB: a busy lab host (0.7) with JupyterLab and a notebook's kernel (0.3), and room; 2 GiB for the system.
GIB = 2**30
c.JupyterHub.active_server_limit = max(1, int((psutil.virtual_memory().total - 2 * GIB) / (1.2 * GIB)))
