"""Priors on the Hugging Face Hub: the folder of `prior.save` and a card, nothing else."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from parrot_wrapper.checks import as_path
from parrot_wrapper.errors import CheckpointError, needed_extra
from parrot_wrapper.priors.checkpoint import HEADER_FILE, WEIGHTS_FILE
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.loading import load_prior

CARD_FILE = "README.md"
_FILES = (HEADER_FILE, WEIGHTS_FILE, CARD_FILE)


def push_to_hub(
    prior: EncoderPrior,
    repo_id: str,
    *,
    private: bool = True,
    license: str | None = None,
    token: str | None = None,
) -> str:
    """Upload a prior to the Hub, with a card that says what its metadata say.

    Args:
        prior: The prior.
        repo_id: "user/name"; the repository is made where there is none.
        private: Whether a new repository is private.
        license: What the card names, such as "mit"; your data decide it.
        token: Of the Hub; the one of `hf auth login` where left out.

    Returns:
        The address of the commit.

    Raises:
        MissingExtraError: The extra `hub` is not installed.
    """
    hub = _hub()
    api = hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "prior"
        prior.save(folder)
        card = model_card(prior, repo_id, license=license)
        (folder / CARD_FILE).write_text(card, encoding="utf-8")
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder))


def from_pretrained(
    name: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> EncoderPrior:
    """Load a prior from the Hub, its cache, or a folder.

    Args:
        name: "user/name" on the Hub, or a prior's folder, which goes first.
        revision: Branch, tag or commit; the main branch where left out.
        cache_dir: Where downloads are kept; the Hub's own folder where left out. What is there is
            used when the Hub cannot be reached, or `HF_HUB_OFFLINE=1` says not to ask.
        device: Where the weights go.

    Returns:
        The prior, frozen and in eval mode; every check of `load_prior` is made.

    Raises:
        MissingExtraError: The extra `hub` is not installed.
        CheckpointError: There is no such prior, none that can be reached, or a damaged one.
    """
    folder = as_path("name", name)
    if folder.is_dir():
        return load_prior(folder, device=device)
    hub = _hub()
    try:
        folder = Path(
            hub.snapshot_download(
                str(name), revision=revision, cache_dir=cache_dir, allow_patterns=list(_FILES)
            )
        )
    except (OSError, ValueError) as error:  # the Hub's errors are of these
        raise CheckpointError(
            f"{name}: expected a folder, or a prior on the Hub that is in the cache or can be "
            f"reached ({' '.join(str(error).split())[:300]})."
        ) from error
    return load_prior(folder, device=device)


def model_card(prior: EncoderPrior, repo_id: str, *, license: str | None = None) -> str:
    """The text of a README: the Hub's header, how to use the prior, and its metadata.

    Args:
        prior: The prior.
        repo_id: "user/name".
        license: Such as "mit".
    """
    told: Mapping[str, Any] = prior.metadata
    header = {"library_name": "parrot-wrapper", "pipeline_tag": "reinforcement-learning",
              "tags": ["behavioral-prior", prior.type_tag], "license": license}  # fmt: skip
    lines = [f"{key}: {json.dumps(value)}" for key, value in header.items() if value is not None]
    return "\n".join(
        [
            "---", *lines, "---",
            f"# {repo_id.rpartition('/')[2]}", "",
            f"A behavioural prior of kind `{prior.type_tag}` over {prior.action_dim} actions; it "
            f"looks at {prior.observation_spec}.", "",
            "```python",
            "from parrot_wrapper import BehavioralPriorWrapper",
            "from parrot_wrapper.priors.hub import from_pretrained", "",
            f'env = BehavioralPriorWrapper(env, from_pretrained("{repo_id}"))',
            "```", "",
            "```json", json.dumps(dict(told), indent=2, sort_keys=True), "```", "",
        ]
    )  # fmt: skip


def _hub() -> Any:
    with needed_extra("hub", "Priors on the Hub need huggingface-hub"):
        import huggingface_hub
    return huggingface_hub
