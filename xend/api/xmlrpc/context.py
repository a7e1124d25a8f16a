"""What a call may use, besides its arguments."""

from __future__ import annotations

from dataclasses import dataclass

from xend.api.facts import HostFacts
from xend.api.xmlrpc.domain_answer import DomainAnswers
from xend.core.domains import DomainService
from xend.core.views import Caller


@dataclass(frozen=True, slots=True)
class CallContext:
    service: DomainService
    host: HostFacts
    answers: DomainAnswers
    caller: Caller
