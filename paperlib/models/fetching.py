"""From where weights are said to be to what can be opened: a folder, the hub, or its local cache.

Each repository that is opened is noted with its commit, which the provenance of all results of the process then names
(`results.note_source`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from paperlib.models.input_checks import VLMError
from paperlib.models.lineages import Source
from paperlib.study.results import note_source

GATES = (401, 403)  # what a hub answers to whom it does not know


class SourceError(VLMError):
    """A repository or folder is not there, or holds no model; the message is one sentence that says what to do."""


def place_of(source: Source, file: str = "config.json") -> tuple[str, dict[str, Any]]:
    """What `from_pretrained` takes for a source: (folder or hub id, options).

    The hub is asked once for ``file``, since `from_pretrained` would ask for most of a minute; if it does not answer,
    the local cache serves. Raises VLMError for a repository that is gated, and SourceError for one that neither a hub
    that answers nor the cache has.
    """
    if Path(source.repo).is_dir():
        return source.repo, {}
    inside = f"{source.folder}/{file}" if source.folder else file
    try:
        found = get_hf_file_metadata(hf_hub_url(source.repo, inside, revision=source.revision))
        note_source(source.repo, found.commit_hash or source.revision)
    except GatedRepoError as error:
        raise gated(source.repo) from error
    except HfHubHTTPError as error:
        status = None if error.response is None else error.response.status_code
        if status == 404:
            raise not_there(source, f"holds no {inside} at revision {source.revision}") from error
        if status in GATES:
            raise gated(source.repo) from error
    except Exception as error:  # each way of not being reached has its own, that of HF_HUB_OFFLINE among them
        kept = try_to_load_from_cache(source.repo, inside, revision=source.revision)
        if not isinstance(kept, str):
            raise not_there(source, "can't be reached on the hub and is not in the local cache") from error
        folder = Path(kept).parents[len(Path(inside).parts) - 1]
        note_source(source.repo, folder.name)
        return str(folder), {}
    return source.repo, {"revision": source.revision}


def open_vlm(source: Source, dtype: torch.dtype, attention: str | None = None) -> Any:
    """The image-text model of a source, on the CPU. Raises VLMError as `place_of` does, SourceError if it is none."""
    return _open(AutoModelForImageTextToText, source, dtype, attention, "image-text model")


def open_llm(source: Source, dtype: torch.dtype) -> Any:
    """The language model of a source, on the CPU, in one file or many, safetensors or pickled.

    Raises VLMError as `place_of` does, and SourceError if it is none.
    """
    return _open(AutoModelForCausalLM, source, dtype, None, "language model")


def open_tensors(source: Source) -> dict[str, torch.Tensor]:
    """The tensors of the source's file, safetensors or pickled (read with ``weights_only=True``), by name.

    Raises VLMError as `place_of` does, and SourceError for a file that cannot be read so.
    """
    file = str(source.file)
    place, options = place_of(source, file)
    inside = f"{source.folder}/{file}" if source.folder else file
    path = Path(hf_hub_download(place, inside, **options)) if options else Path(place, inside)
    if not path.is_file():
        raise not_there(source, f"holds no {inside}")
    try:
        found = (
            dict(_safetensors(path)) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        )
        if not isinstance(found, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in found.values()):
            raise ValueError("it holds something else than tensors by name")
    except Exception as error:  # pickle, zip and safetensors each fail in their own ways
        raise SourceError(
            f"The connector file {path.name} of {source.repo!r} is no file of tensors ({type(error).__name__}): fetch "
            f"it again, or name another in the lineage."
        ) from error
    return found


def gated(repo: str) -> VLMError:
    """The error for a repository that asks for an account."""
    return VLMError(
        f"The repository {repo!r} is gated: accept its licence on its page and type `hf auth login`, or name a local "
        f"folder in a lineage of your own (a TOML file)."
    )


def not_there(source: Source, why: str) -> SourceError:
    """The error for a repository that can be read neither from the hub nor from the local cache."""
    return SourceError(
        f"{source.repo!r} {why}: check its name and this machine's connection, copy the cache here (HF_HUB_CACHE), or "
        f"name a local folder in a lineage of your own (a TOML file)."
    )


def _safetensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 (this is no dict)
            yield name, file.get_tensor(name)


def _open(kind: Any, source: Source, dtype: torch.dtype, attention: str | None, what: str) -> Any:
    place, options = place_of(source, "config.json")
    chosen: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    try:
        return kind.from_pretrained(place, subfolder=source.folder or "", dtype=dtype, **options, **chosen).eval()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        if "gated" in str(error):
            raise gated(source.repo) from error
        reason = " ".join(str(error).split())[:90].rstrip(".").replace(". ", "; ")
        raise SourceError(
            f"{source.repo[-80:]!r} holds no {what} that can be opened ({reason}): give a whole folder written by "
            f"save_pretrained, or a hub id of such a model."
        ) from error
