"""Whom a client trusts, and what it shows of itself. A key is in no error and in no `repr`."""

from __future__ import annotations

import os
import ssl
from typing import Dict, Mapping, Optional, Tuple, Union

#: A file.
File = Union[str, "os.PathLike[str]"]


def authorized(headers: Optional[Mapping[str, str]], api_key: Optional[str]) -> Dict[str, str]:
    """The headers with the one that says who is asking, unless they have it already."""
    merged = dict(headers or {})
    key = api_key if api_key is not None else os.environ.get("TALLY_API_KEY", "")
    key = key.strip()
    if not key or any(name.lower() == "authorization" for name in merged):
        return merged
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("an API key is a line of printable ASCII characters without spaces")
    merged["Authorization"] = f"Bearer {key}"
    return merged


def context(
    url: str, ca: Optional[File], cert: Union[None, File, Tuple[File, File]], verify: bool
) -> Optional[ssl.SSLContext]:
    """How TLS is spoken with the master at `url`; `None` where it is not."""
    if not url.lower().startswith("https://"):
        if ca is not None or cert is not None:
            # What was meant to be encrypted must not go over the wire in clear.
            raise ValueError(f"ca and cert are of no use with {url!r}: say https://")
        return None
    made = ssl.create_default_context(cafile=ca if ca is not None else os.environ.get("TALLY_TLS_CA") or None)
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if isinstance(cert, tuple):
        made.load_cert_chain(*cert)
    elif cert is not None:
        made.load_cert_chain(cert)
    return made
