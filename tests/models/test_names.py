"""Names of models: what each stands for, what is told of a slip, and that a hub is asked once and only for hub ids."""

import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from huggingface_hub import constants
from small_models import one_sentence, tower_vlm, weights

from paperlib.models import fetching
from paperlib.models.input_checks import VLMError
from paperlib.models.names import NAMES, adapter_folder, adapter_folders, check_name, near
from paperlib.models.vlm import fingerprint, load_vlm
from paperlib.study.study import CODE_ROOT


@pytest.fixture
def no_hub(monkeypatch):
    """Whoever asks a hub fails the test."""
    monkeypatch.setattr(fetching, "get_hf_file_metadata", None)
    monkeypatch.setattr(fetching, "AutoModelForImageTextToText", None)
    monkeypatch.chdir(CODE_ROOT)


def refused(name) -> str:
    with pytest.raises(VLMError) as error:
        load_vlm(name)
    message = one_sentence(error.value)
    assert all(known in message for known in NAMES)
    return message


@pytest.mark.parametrize(
    "name, meant",
    [
        ("bands/mid", "data/adapters/bands/mid"),
        ("bands/mid-entred", "data/adapters/bands/mid-entered"),
        ("adapters/mini-tuned", "data/adapters/mini-tuned"),
        ("data/adapters/bands/middle", "data/adapters/bands/mid"),
        ("data/adapter/mini-stage1", "data/adapters/mini-stage1"),
        ("minni", "mini"),
        ("Mini", "mini"),
        (" mini", "mini"),
        ("mini_stage1", "mini-stage1"),
        ("mini-untraind", "mini-untrained"),
        ("./bands/late", "data/adapters/bands/late"),
        ("mini-tuned", "data/adapters/mini-tuned"),
        ("Tiny", "tiny"),
        ("notebook", "notebooks"),
        (Path("bands/mid/"), "data/adapters/bands/mid"),
        (Path("data/adapters/mini-tund"), "data/adapters/mini-tuned"),
        ("data/adapters/bands/mid/provenance.json", "data/adapters/bands/mid"),
    ],
)
def test_a_slip_is_told_what_is_near_and_asks_no_hub(name, meant, no_hub):
    assert repr(meant) in refused(name).partition("?")[0]


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "/no/such/folder",
        "../x/y",
        "a/b/c",
        "~",
        "what is this",
        "https://x.org/a/b",
        "a\0b",
        "x" * 5000,
        None,
        5,
        b"mini",
        ["mini"],
        True,
        {},
    ],
)
def test_what_is_no_name_at_all(name, no_hub):
    assert repr(name)[:20] in refused(name)


def test_a_folder_of_folders_tells_the_adapters_in_it(monkeypatch):
    monkeypatch.chdir(CODE_ROOT)
    assert "data/adapters/bands/complement" in refused("data/adapters/bands")
    assert near("README.md") == ["."] and not near("nothing of the kind")


def test_paths_that_are_proposed_can_be_given(monkeypatch):
    for folder in (CODE_ROOT, CODE_ROOT / "notebooks", CODE_ROOT.parent, Path("/")):
        monkeypatch.chdir(folder)
        assert len(adapter_folders()) >= 9 and near("bands/mid")
        assert all(adapter_folder(path) == Path(path) and check_name(path) == path for path in adapter_folders())


@pytest.mark.parametrize(
    "name",
    [
        "llava-hf/llava-1.5-7b-hf",
        "Qwen/Qwen2-VL-2B-Instruct",
        "google/gemma-3-4b-it",
        "HuggingFaceTB/SmolVLM-256M-Instruct",
        "me/mini",
        "x/tiny",
        "someone/mini-tuned",
    ],
)
def test_hub_ids_pass(name):
    assert check_name(name) == name and adapter_folder(name) is None


def test_paths_are_names(tmp_path):
    model = tower_vlm()
    model.model.save_pretrained(tmp_path / "a model")
    model.processor.save_pretrained(tmp_path / "a model")
    again = load_vlm(tmp_path / "a model", device="cpu")
    assert again.name == str(tmp_path / "a model") and weights(again.model).keys() == weights(model.model).keys()
    assert load_vlm(Path("tiny"), device="cpu").name == "tiny"


# ---------------------------------------------------------------- the hub


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine whose one model is some/model, with an empty cache: what it was asked, [(method, path)]."""
    asked, folder = [], tmp_path / "served"
    model = tower_vlm()
    model.model.save_pretrained(folder)
    model.processor.save_pretrained(folder)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append((self.command, self.path))
            place, _, file = self.path.partition("/resolve/")
            there = place == "/some/model" and (folder / (file := file.partition("/")[2])).is_file()
            content = (folder / file).read_bytes() if there else b""
            self.send_response(200 if there else 404)
            kind = "EntryNotFound" if "/some/model" in place else "RepoNotFound"
            headers = {"X-Repo-Commit": "a" * 40, "ETag": f'"{file}"'} if there else {"X-Error-Code": kind}
            for header, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(content if self.command == "GET" else b"")

        do_GET = do_HEAD

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    use_hub(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield asked
    server.shutdown()
    server.server_close()


def use_hub(monkeypatch, address):
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


def test_a_hub_without_the_model(hub):
    assert "nobody/no-such-model" in refused("nobody/no-such-model")
    assert ("HEAD", "/nobody/no-such-model/resolve/main/config.json") in hub


def test_a_hub_that_does_not_answer_is_asked_once(hub, monkeypatch):
    use_hub(monkeypatch, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr(fetching, "AutoModelForImageTextToText", None)  # which would ask again and again
    assert "can reach" in refused("nobody/no-such-model") and not hub


def test_offline_no_hub_is_asked(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(fetching, "AutoModelForImageTextToText", None)
    assert "can reach" in refused("nobody/no-such-model") and not hub


CHILD = """
import sys
from huggingface_hub import constants
from paperlib.models.vlm import fingerprint, load_vlm

print(fingerprint(load_vlm("some/model", device="cpu")), flush=True)
constants.HUGGINGFACE_CO_URL_TEMPLATE = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
print(fingerprint(load_vlm("some/model", device="cpu")), flush=True)
constants.HF_HUB_OFFLINE = True
print(fingerprint(load_vlm("some/model", device="cpu")), flush=True)
"""


def test_a_model_of_a_hub_and_later_the_same_from_the_cache(hub, tmp_path):
    """In a process of its own, since huggingface_hub keeps the address of the first hub that it asked."""
    place = {"HF_ENDPOINT": constants.ENDPOINT, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        env=os.environ | place,
        cwd=CODE_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [fingerprint(tower_vlm())] * 3
    assert any(method == "GET" and path.endswith("/model.safetensors") for method, path in hub)
