"""From where a lineage's weights are said to be to what transformers can open: a folder, or the hub, or its local
cache.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from paperlib.models.input_checks import VLMError
from paperlib.models.lineages import Source


def place_of(source: Source, file: str = "config.json") -> tuple[str, dict[str, Any]]:
    """What `from_pretrained` takes for a source: (folder or hub id, options).

    The hub is asked once for ``file``, since `from_pretrained` would ask for most of a minute; if it does not answer,
    the local cache serves. Raises VLMError for a repository that is gated, or neither on a hub that answers nor here.
    """
    if Path(source.repo).is_dir():
        return source.repo, {}
    inside = f"{source.folder}/{file}" if source.folder else file
    try:
        get_hf_file_metadata(hf_hub_url(source.repo, inside, revision=source.revision))
    except GatedRepoError as error:
        raise gated(source.repo) from error
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code == 404:
            raise not_there(source) from error
    except Exception as error:  # each way of not being reached has its own, that of HF_HUB_OFFLINE among them
        kept = try_to_load_from_cache(source.repo, inside, revision=source.revision)
        if not isinstance(kept, str):
            raise not_there(source) from error
        return str(Path(kept).parents[len(Path(inside).parts) - 1]), {}
    return source.repo, {"revision": source.revision}


def commit_of(source: Source, file: str = "config.json") -> str:
    """Which version of a source was read: the commit of the cached file, or the folder's name."""
    if Path(source.repo).is_dir():
        return Path(source.repo).name
    inside = f"{source.folder}/{file}" if source.folder else file
    kept = try_to_load_from_cache(source.repo, inside, revision=source.revision)
    return Path(kept).parents[len(Path(inside).parts) - 1].name if isinstance(kept, str) else source.revision


def open_vlm(source: Source, dtype: torch.dtype, attention: str | None = None) -> Any:
    """The image-text model of a source, on the CPU. Raises VLMError if there is no such model."""
    return _open(AutoModelForImageTextToText, source, dtype, attention, "image-text model")


def open_llm(source: Source, dtype: torch.dtype) -> Any:
    """The language model of a source, on the CPU. Raises VLMError if there is no such model."""
    return _open(AutoModelForCausalLM, source, dtype, None, "language model")


def open_tensors(source: Source) -> dict[str, torch.Tensor]:
    """The tensors of a file, safetensors or pickled (read with ``weights_only=True``).

    Raises VLMError for a file that is not there or cannot be read so.
    """
    place, options = place_of(source, str(source.file))
    folder = source.folder or "."
    path = Path(place, folder, str(source.file))
    if options:
        path = Path(hf_hub_download(place, os.path.normpath(f"{folder}/{source.file}"), **options))
    try:
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        if not isinstance(found, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in found.values()):
            raise ValueError("it holds something else than tensors by name")
    except Exception as error:  # pickle, zip and safetensors each fail in their own ways
        raise VLMError(
            f"The connector file {path.name} of {source.repo} cannot be read ({type(error).__name__}): fetch it again, "
            f"or name another in the lineage."
        ) from error
    return found


def gated(repo: str) -> VLMError:
    """The error for a repository that asks for an account."""
    return VLMError(
        f"The repository {repo!r} is gated: accept its licence on its page and type `hf auth login`, or name a local "
        f"folder in a lineage of your own."
    )


def not_there(source: Source) -> VLMError:
    """The error for a repository that can be read neither from the hub nor from the local cache."""
    return VLMError(
        f"{source.repo!r} can't be reached on the hub and is not in the local cache: connect this machine, copy the "
        f"cache here (HF_HUB_CACHE), or name a local folder in a lineage of your own."
    )


def _open(kind: Any, source: Source, dtype: torch.dtype, attention: str | None, what: str) -> Any:
    place, options = place_of(source)
    chosen: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    try:
        return kind.from_pretrained(place, subfolder=source.folder or "", dtype=dtype, **options, **chosen).eval()
    except VLMError:
        raise
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        if "gated" in str(error):
            raise gated(source.repo) from error
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise VLMError(f"{source.repo!r} holds no {what} that can be opened ({reason}).") from error
