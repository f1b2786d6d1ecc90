"""The bank's verbs over HTTP and JSON, for backends that are not written in Python.

Extra ``server``: Starlette, uvicorn and jsonschema are imported when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.bank.service.application import Application
    from ushield.bank.service.clients import Client, Role
    from ushield.bank.service.configuration import ClientFile, Limits, ServiceConfiguration
    from ushield.bank.service.listening import Address, MutualTls
    from ushield.bank.service.openapi import document
    from ushield.bank.service.operation import Backing
    from ushield.bank.service.serving import ServiceSettings, serve
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "application": ("Application",),
            "clients": ("Client", "Role"),
            "configuration": ("ClientFile", "Limits", "ServiceConfiguration"),
            "listening": ("Address", "MutualTls"),
            "openapi": ("document",),
            "operation": ("Backing",),
            "serving": ("ServiceSettings", "serve"),
        },
    )

__all__ = [
    "Address",
    "Application",
    "Backing",
    "Client",
    "ClientFile",
    "Limits",
    "MutualTls",
    "Role",
    "ServiceConfiguration",
    "ServiceSettings",
    "document",
    "serve",
]
