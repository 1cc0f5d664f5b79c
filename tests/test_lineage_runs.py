"""Every notebook on every miniature lineage, executed by papermill at preset smoke, and what it leaves behind.

The notebooks of a lineage share one kernel, since importing torch takes longer than most of them.
"""

import os

import papermill
import pytest
from jupyter_client.manager import start_new_kernel
from papermill.engines import NBClientEngine, papermill_engines

from paperlib.study.study import CODE_ROOT

NOTEBOOKS = sorted((CODE_ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture(scope="module")
def kernel(hub_folder, tmp_path_factory):
    """A kernel whose study's folders are temporary ones and whose hub is the miniature."""
    root = tmp_path_factory.mktemp("clone")
    (root / "data" / "cache").mkdir(parents=True)
    (root / "data" / "cache" / "assets").symlink_to(CODE_ROOT / "data" / "cache" / "assets")
    own = {"PAPERLIB_ROOT": str(root), "HF_HUB_CACHE": str(hub_folder), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    manager, client = start_new_kernel(cwd=str(CODE_ROOT / "notebooks"), env=os.environ | own)
    client.stop_channels()
    yield manager, root
    manager.shutdown_kernel(now=True)


def execute(kernel, model, folder):
    manager, root = kernel
    papermill_engines.register("here", NBClientEngine)
    for path in NOTEBOOKS:
        papermill.execute_notebook(
            path,
            folder / path.name,
            {"preset": "smoke", "overrides": {"model": model, "n_eval": 2}},
            kernel_name="python3",
            km=manager,
            progress_bar=False,
            cwd=str(path.parent),
        )
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready()
        client.execute_interactive("%reset -f")
        client.stop_channels()
