"""The containers of an arrangement, as the engine knows them."""

from __future__ import annotations

import docker
import docker.errors

from dockernb.arguments import NAME, checked
from dockernb.errors import MeasureError
from dockernb.model import Container


@checked(MeasureError, name=NAME)
def running(engine: docker.APIClient, name: str) -> Container:
    """A running container.

    Raises:
        MeasureError: There is none of this name (or id), or it does not run.
    """
    try:
        container = Container.from_inspect(engine.inspect_container(name))
    except docker.errors.NotFound:
        raise MeasureError(f'There is no container "{name}": create it, or check the spelling.') from None
    if not container.running:
        raise MeasureError(f'Container "{name}" is {container.state}, not running: start it first.')
    return container
