"""What a target says of its TLS: the struct of `target.tls`. It judges no certificate."""

from typing import Annotated

from msgspec import Meta, Struct


class Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a target's TLS trusts, and who calls; that it is verified can not be changed."""

    ca: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=65_536,
                description="Authorities in PEM, trusted instead of the system's.",
            ),
        ]
        | None
    ) = None
    certificate: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=65_536,
                description="Certificate to show, in PEM: its own first, then those above it.",
            ),
        ]
        | None
    ) = None
    key: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=32_768,
                description="Its private key, in PEM; shown as `***`, which sent back keeps it.",
            ),
        ]
        | None
    ) = None
    server_name: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=253,
                description="Name to ask for and to verify, instead of the URL's host.",
            ),
        ]
        | None
    ) = None
