"""Keyed pseudonyms: who holds the key can link an exam to its pseudonym again, nobody else can.

HMAC with SHA-256 (RFC 2104) over ``patient|site|PatientID``, ``person|number`` and ``exam|site|StudyInstanceUID``, cut
to 12 hexadecimal digits.
"""

from __future__ import annotations

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path

from liverstiff.errors import ConfigError

KEY_BYTES = 32


def patient_pseudonym(key: bytes, site: str, patient_id: str) -> str:
    """``p`` and 12 hexadecimal digits for a PatientID (medical record number) of a site."""
    return "p" + _digest(key, f"patient|{site}|{patient_id}")


def person_pseudonym(key: bytes, person_id: str) -> str:
    """``p`` and 12 hexadecimal digits for a number of a person that is the same at all sites."""
    return "p" + _digest(key, f"person|{person_id}")


def exam_pseudonym(key: bytes, site: str, study_uid: str) -> str:
    """``e`` and 12 hexadecimal digits for a StudyInstanceUID of a site."""
    return "e" + _digest(key, f"exam|{site}|{study_uid}")


def _digest(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(errors="surrogateescape"), sha256).hexdigest()[:12]


def read_key(path: str | Path) -> bytes:
    """The secret key of the pseudonyms.

    Raises:
        ConfigError: when there is no such file or it does not hold 32 bytes.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no key of the pseudonyms at {path}; the stage catalog makes it; run it first or restore it")
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigError(f"the key of the pseudonyms at {path} has {len(key)} bytes, not {KEY_BYTES}; restore it")
    return key


def ensure_key(path: str | Path) -> bytes:
    """Read the key, or make it (mode 0600, its folder 0700) when absent; safe when several jobs start at once."""
    path = Path(path)
    if not path.exists():
        private_folder(path.parent)
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        try:
            os.link(made, path)  # fails if another job was first: then its key counts
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return read_key(path)


def private_folder(path: str | Path) -> Path:
    """Make a folder that only its owner may enter (mode 0700)."""
    path = Path(path)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path
