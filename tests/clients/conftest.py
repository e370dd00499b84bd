"""One disposable host for each plugin set, with its engines started when a test first asks for them."""

from collections.abc import Iterator

import pytest

from .containerd import CONTAINERD_VERSIONS, Containerd, start_containerd
from .host import Host, disposable_host
from .nerdctl import Nerdctl
from .plugin_sets import PLUGIN_SETS, install_plugins
from .runtime import Runtime, bundled_runtime


@pytest.fixture(scope="session", params=PLUGIN_SETS)
def plugin_set(request: pytest.FixtureRequest) -> str:
    """Which plugins stand in /opt/cni/bin; pytest runs the whole ring with one set, then with the other."""
    return str(request.param)


@pytest.fixture(scope="session")
def host(plugin_set: str) -> Iterator[Host]:
    """The disposable host, with its plugins."""
    with disposable_host() as host:
        install_plugins(host, plugin_set)
        yield host


@pytest.fixture(scope="session")
def containerds(host: Host) -> dict[str, Containerd]:
    """Both versions of containerd, side by side."""
    return {version: start_containerd(host, version) for version in CONTAINERD_VERSIONS}


@pytest.fixture(scope="session")
def nerdctl_with_image(host: Host, containerds: dict[str, Containerd]) -> Nerdctl:
    """A nerdctl that has the image."""
    nerdctl = Nerdctl(host, containerds["2.1"])
    nerdctl.load_image()
    return nerdctl


@pytest.fixture
def nerdctl(nerdctl_with_image: Nerdctl) -> Iterator[Nerdctl]:
    """nerdctl, which removes at the end of the test what the test made."""
    yield nerdctl_with_image
    nerdctl_with_image.clean()


@pytest.fixture(scope="module")
def module_nerdctl(host: Host, nerdctl_with_image: Nerdctl) -> Iterator[Nerdctl]:
    """The same for containers that all tests of a module look at."""
    nerdctl = Nerdctl(host, nerdctl_with_image.containerd)
    yield nerdctl
    nerdctl.clean()


@pytest.fixture(scope="session")
def runtime_with_image() -> Iterator[Runtime]:
    """The bundled runtime on a host of its own, where no other engine is."""
    with disposable_host() as host, bundled_runtime(host) as runtime:
        yield runtime


@pytest.fixture
def runtime(runtime_with_image: Runtime) -> Iterator[Runtime]:
    """The bundled runtime without containers and networks, which removes at the end of the test what the test made."""
    runtime_with_image.clean()
    yield runtime_with_image
    runtime_with_image.clean()


@pytest.fixture(scope="module")
def module_runtime(runtime_with_image: Runtime) -> Iterator[Runtime]:
    """The same for containers that all tests of a module look at."""
    yield runtime_with_image
    runtime_with_image.clean()
