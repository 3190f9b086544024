"""One registry and the account to use there: a message between server and agent, and the registry client's argument."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr, field_serializer


class RegistryAccess(BaseModel):
    """One registry and the account to use there. `host` is host[:port]; plain http only where `scheme` says so."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: str
    scheme: Literal["https", "http"] = "https"
    username: str = ""
    password: SecretStr = SecretStr("")
    verify_ssl: bool = True
    ca_cert: str = ""
    """PEM of the registry's own certificate authorities; trusted beside the system's."""

    @field_serializer("password", when_used="json")
    def _reveal(self, password: SecretStr) -> str:
        """The one place where the password leaves its wrapper: towards the agent, over TLS."""
        return password.get_secret_value()
