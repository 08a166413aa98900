import re
from typing import Annotated

from msgspec import Meta

from app.networks import Networks
from app.settings.lake import LakeSettings
from app.tokens import Tokens

OPS_PORT = r"[a-z0-9][a-z0-9-]*=https?://[^/?#;\s]+"

# The digest of a token that was thrown away.
EXAMPLE_TOKEN = "ada read 4f0c1b0f2a2f7a0a4a3b9a0a1b8a55d2a1f8f6c5b1d8ee1b1f3f0c1b7b4c9d11"  # noqa: S105


class AdminSettings(LakeSettings, frozen=True, kw_only=True):
    admin_tokens: Annotated[
        Tokens | None,
        Meta(
            description="Who may use the admin service: lines that `kalshi-data token` makes. Unset: it answers on "
            "this machine alone, to everybody on it.",
            examples=[EXAMPLE_TOKEN],
        ),
    ] = None
    admin_proxy: Annotated[
        Networks | None,
        Meta(
            description="Addresses or networks of the proxies in front of the admin service, with commas between: they "
            "are believed who asks (`X-Forwarded-For`), for which host (`X-Forwarded-Host`) and whether over TLS "
            "(`X-Forwarded-Proto`). Needs tokens. Unset: what a proxy forwards is refused.",
            examples=["127.0.0.1"],
        ),
    ] = None
    gatherer_ops: Annotated[
        Annotated[str, Meta(pattern=rf"^{OPS_PORT}([;\n]{OPS_PORT})*\n?$")] | None,
        Meta(
            description="Where the gatherers' ops ports answer, for their live state in the admin service: `name=url`, "
            "with semicolons or line ends between.",
            examples=["gatherer-1a=http://a.example:9090;gatherer-1b=http://b.example:9090"],
        ),
    ] = None

    def ops_ports(self) -> dict[str, str]:
        """URLs by gatherer."""
        entries = re.findall(OPS_PORT, self.gatherer_ops or "")
        return dict(entry.split("=", 1) for entry in entries)
