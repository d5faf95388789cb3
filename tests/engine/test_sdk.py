"""docker-py's own integration tests pass on a lab host, but for those of sdk-failures.toml: `make thorough PART=sdk`.

A file of theirs is a test here, so that a run that was ended goes on with the next.
"""

from pathlib import Path

import pytest

from dockernb.labhost import LabHost
from tests.support import sdk
from tests.support.selection import ROOT

KNOWN = sdk.Known.read(Path(__file__).with_name("sdk-failures.toml"))
FILES = [
    "api_build_test",
    "api_client_test",
    "api_config_test",
    "api_container_test",
    "api_exec_test",
    "api_healthcheck_test",
    "api_image_test",
    "api_network_test",
    "api_plugin_test",
    "api_secret_test",
    "api_service_test",
    "api_swarm_test",
    "api_volume_test",
    "client_test",
    "errors_test",
    "models_containers_test",
    "models_images_test",
    "models_networks_test",
    "models_nodes_test",
    "models_resources_test",
    "models_services_test",
    "models_swarm_test",
    "models_volumes_test",
    "regression_test",
]
NO_ENGINE = ["context_api_test"]  # the learner's files alone, as those in the folder credentials
LIMIT = 1500  # seconds for a file; the longest took 810 on an emulated machine, beside much else

pytestmark = [pytest.mark.thorough("sdk"), pytest.mark.timeout(LIMIT + 200)]


@pytest.fixture(scope="module")
def tree() -> Path:
    """docker-py's tests."""
    try:
        return sdk.take(ROOT / "build/docker-py")
    except sdk.NoSourcesError as problem:
        pytest.skip(f"the mirror does not give the source package {sdk.SOURCE_PACKAGE}: {problem}")


def test_every_file_is_run(tree: Path) -> None:
    assert sdk.files(tree) == {*FILES, *NO_ENGINE}


@pytest.mark.parametrize("file", FILES)
def test_what_the_sdk_expects_holds(file: str, tree: Path, host: LabHost) -> None:
    complaints = KNOWN.complaints(file, sdk.outcomes(tree, file, host, LIMIT))
    assert not complaints, "\n".join(complaints)
