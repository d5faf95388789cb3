"""A disposable Docker host: build it, start it, reach it, reset it, stop it. One module a provider."""

from dockernb.labhost.host import DEFAULT_NAME, LabHost, join, start, stop

__all__ = ["DEFAULT_NAME", "LabHost", "join", "start", "stop"]
