"""Fixtures that several test files share."""

import contextlib

import hypothesis
import pytest

from paperlib.study.study import CODE_ROOT, Study

# No test depends on seconds: a machine that is busy with something else is slow, not wrong.
hypothesis.settings.register_profile("study", deadline=None)
hypothesis.settings.load_profile("study")


def pytest_collection_modifyitems(items):
    """Slow tests first, so that no parallel worker is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A smoke study whose cache and adapters lie in a temporary folder, beside the clone's assets."""
    (tmp_path / "data" / "cache").mkdir(parents=True)
    (tmp_path / "data" / "cache" / "assets").symlink_to(CODE_ROOT / "data" / "cache" / "assets")
    monkeypatch.setenv("PAPERLIB_ROOT", str(tmp_path))
    return Study.make("smoke", n_eval=2)


@pytest.fixture
def limited():
    """-> a block in which no file may grow beyond so many bytes, as on a full disk: the system refuses more."""
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of files")

    @contextlib.contextmanager
    def block(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return block


@pytest.fixture(scope="session")
def hub_folder(tmp_path_factory):
    """A cache of the hub with every lineage of `miniature_hub` in miniature."""
    import miniature_hub

    folder = tmp_path_factory.mktemp("hub")
    miniature_hub.build(folder)
    return folder


@pytest.fixture
def hub(hub_folder, monkeypatch):
    """The miniature hub as this process's local cache, with the real hub out of reach."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub_folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return hub_folder
