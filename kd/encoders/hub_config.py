"""config.json of a hub model that the table of encoders lacks: fetched once, then from the cache.

It is a kilobyte, lies in the hub's own cache, and needs no library to be read there, so that only
the first `kd plan` asks the hub.
"""

import os
from pathlib import Path

from kd.encoders.folder import CONFIG
from kd.encoders.hub_cache import cache, cached_snapshot, offline_switch
from kd.runtime.errors import Transient, UserError, shown

_ELSE = (
    "or say what it says, as shape: LAYERSL-HIDDEN-HEADSh-FFN and arch: MODEL_TYPE of the teacher"
)
_SECONDS = 10.0  # until a hub that does not answer counts as one that cannot be reached


def config_folder(model: str, revision: str) -> Path:
    """The folder in the cache that has a model's config.json, which is fetched where it is missing.

    Raises:
        UserError: there is no such model, revision or file, or the model is gated.
        Transient: the hub cannot be reached.
    """
    folder = cached_snapshot(model, revision)
    if folder is not None and (folder / CONFIG).is_file():
        return folder
    if switch := offline_switch():
        raise UserError(
            f"{model} is neither a folder nor a model that kd-grid knows, and its config.json is "
            f"not in {cache()}; {switch} switches the network off: run `kd plan` once without it, "
            f"where there is a network, {_ELSE}"
        )
    return _fetched(model, revision)


def _fetched(model: str, revision: str) -> Path:
    """The folder of a config.json that was just fetched."""
    from huggingface_hub import constants, errors, hf_hub_download  # not for planning in general

    hub = os.environ.get("HF_ENDPOINT", constants.ENDPOINT)
    at = f"{model} (revision {revision})"
    try:
        path = hf_hub_download(
            model,
            CONFIG,
            revision=revision,
            cache_dir=cache(),
            endpoint=hub,
            etag_timeout=_SECONDS,
        )
    except errors.HFValidationError:
        raise UserError(
            f"found {shown(model)}, allowed: a hub id such as OWNER/NAME, or a folder"
        ) from None
    except errors.GatedRepoError:
        raise UserError(
            f"{model} is gated: accept its terms at {hub}/{model}, then log in with `hf auth "
            f"login` or set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"{model}: revision: found {shown(revision)}, which {hub} does not have; allowed: a "
            f"commit, tag or branch of it (main)"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{model}: {hub} has no model of this name, or it is private; correct the name (a "
            f"folder is written ./NAME, from the study file's folder), or log in with `hf auth "
            f"login`"
        ) from None
    except errors.RemoteEntryNotFoundError:
        raise UserError(
            f"{at} has no config.json, so it is no model that transformers loads"
        ) from None
    except (errors.LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:120]
        raise Transient(
            f"{model} is neither a folder nor a model that kd-grid knows, and {hub} could not be "
            f"asked for its config.json ({reason}): try again with a network, {_ELSE}"
        ) from None
    return Path(path).parent
