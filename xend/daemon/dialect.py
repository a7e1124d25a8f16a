"""config.sxp of a managed domain, in the original's dialect."""

from __future__ import annotations

from xend.config.domainsxp import decode_managed, encode_managed

encode_config = encode_managed
decode_config = decode_managed
