"""The server's settings: each declared once, explained where it is declared, read once by the entrance.

`docs/reference/settings.md` is made from the texts under the fields; each field is also an environment variable,
`KSNAP_` and its name in capitals. The rest of the program gets a `ServerSettings` as an argument and never looks at
the environment. Lists are separated by commas.
"""

import socket
from base64 import b64decode
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ksnap.errors import InvalidInput

Network = IPv4Network | IPv6Network
CSRF_KEY_BYTES = 256


class ServerSettings(BaseSettings):
    """What `ksnap serve` may be told."""

    model_config = SettingsConfigDict(
        env_prefix="KSNAP_", use_attribute_docstrings=True, frozen=True, extra="ignore", env_ignore_empty=True
    )

    # Where it listens and keeps its things

    host: str = "127.0.0.1"
    """Address to listen on. Only this machine by default, since the server speaks plain HTTP unless it is given a
    certificate."""

    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one, which the log names."""

    tls_cert_file: Path | None = None
    """PEM file of the server's certificate with its chain; goes with `tls_key_file`. None: plain HTTP, for a proxy
    that ends TLS in front."""

    tls_key_file: Path | None = None
    """PEM file of the certificate's private key."""

    data_dir: Path = Field(default_factory=lambda: Path.home() / ".local" / "share" / "ksnap")
    """Folder of the database, the blobs and the keys, made with mode 0700. Back it up as a whole: without its
    `encryption.key` the stored credentials are lost."""

    database_url: SecretStr = SecretStr("")
    """SQLAlchemy URL: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`. Empty: `ksnap.db` in `data_dir`,
    which serves one server process; several need PostgreSQL. Secret, as it may hold a password."""

    blob_store_url: str = ""
    """Where archives go that no registry takes: `file:///FOLDER`, `s3://BUCKET/PREFIX`, `gs://...` or `az://...`.
    Cloud credentials come from the cloud's usual environment variables. Empty: `blobs` in `data_dir`. Give a bucket a
    lifecycle rule that aborts incomplete multipart uploads after a day: a server that is killed may leave one."""

    # Who may log in

    admin_password: SecretStr | None = None
    """Password of the first administrator, `admin`, at the very first start. None (and no file): a one-time random one
    is shown once on standard error and must be changed at the first login."""

    admin_password_file: Path | None = None
    """File whose first line is that password, for secrets that are mounted. `admin_password` wins over it."""

    token_life_s: int = Field(default=3600, ge=60)
    """Seconds that a login lasts. An hour bounds the use of a stolen token and spares most people a second login."""

    token_key_file: Path | None = None
    """PEM file of the RSA key that signs tokens, for several servers that share their logins. None: a key is made in
    `data_dir`, mode 0600."""

    password_min_length: int = Field(default=8, ge=8)
    """Characters that a password has at least. Eight is the floor of NIST SP 800-63B."""

    password_needs_classes: bool = False
    """Also ask for an upper-case letter, a lower-case one, a digit and another character. Off: length protects
    better, and such rules are met by `Password1!`."""

    lockout_failures: int = Field(default=5, ge=1)
    """Failed logins in a row, per user and address, after which further ones are refused unread."""

    lockout_s: int = Field(default=900, ge=1)
    """Seconds that this lasts, from the last failure. A quarter of an hour makes guessing hopeless and is bearable
    for the one who mistyped."""

    agent_namespace: str = "ksnap"
    """Namespace in which the chart installs the agents, in every cluster."""

    agent_service_account: str = "ksnap-agent"
    """Name of the agents' service account there: the only one whose tokens get the role agent."""

    # Dashboard

    default_cluster: str = ""
    """Name of the configured cluster that `/api/v1/...` is about. Empty: the one named `default`, else the only one.
    The others are at `/clusters/NAME/api/v1/...`."""

    disable_csrf: bool = Field(
        default=False,
        validation_alias=AliasChoices("disable_csrf", "KSNAP_DISABLE_CSRF", "KSNAP_DISABLE_CSRF_PROTECTION"),
    )
    """Take POST requests on the dashboard's paths without a token of `/api/v1/csrftoken/{action}`. Only for callers
    that are no browsers."""

    csrf_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("csrf_key", "KSNAP_CSRF_KEY", "CSRF_KEY")
    )
    """The key of those tokens: 256 bytes in base64, as the Kubernetes Dashboard has it. None: made of the key that
    signs logins, so that servers which share that one share this one, too."""

    metrics_provider: Literal["auto", "sidecar", "metrics.k8s.io", "prometheus", "kubelet", "none"] = "auto"
    """Where the dashboard's figures of cpu and memory come from: one source, or `auto` (the Kubernetes Dashboard's
    word for it is `sidecar`): `metrics.k8s.io`, else Prometheus if its address is set, else the kubelets' summaries,
    for which ksnap's account needs the right `get nodes/proxy`. `none`: no figures."""

    metric_client_check_period_s: float = Field(default=30.0, ge=1)
    """Seconds between two looks at whether that source works: one that fails is left by then, and one that is back
    taken up again."""

    prometheus_urls: Annotated[tuple[str, ...], NoDecode] = ()
    """Address of a Prometheus that scrapes the kubelets: `URL` for all clusters, `NAME=URL` for one. `{cluster}` in
    it stands for the cluster's name."""

    prometheus_matchers: str = ""
    """Label matchers for all that is asked of Prometheus, where it has several clusters' metrics: such as
    `cluster="{cluster}"`."""

    prometheus_ca_file: Path | None = None
    """PEM file of the authority that signed Prometheus' certificate. None: the system's. It is always verified."""

    prometheus_token_file: Path | None = None
    """File with a bearer token for Prometheus, read again for each request. It needs an https address."""

    watch_idle_s: float = Field(default=300.0, gt=0)
    """Seconds after which a cluster's resource that nobody has listed is no longer watched. Its next list then waits
    for the first fill again: a second for every few thousand objects."""

    watch_fill_s: float = Field(default=20.0, gt=0)
    """Seconds that a list may wait for that first fill."""

    watch_stale_s: float = Field(default=60.0, gt=0)
    """Seconds for which lists are still answered while the API server is away, with a `Warning` that says how old they
    are. After that they fail."""
    system_banner: str = Field(default="", max_length=2000)
    """A line that the dashboard's page shows to everyone, also before they log in. Empty: none."""

    system_banner_severity: Literal["INFO", "WARNING", "ERROR"] = "INFO"
    """How that line looks: its colour and its sign."""

    dashboard_log_level: Literal["NONE", "INFO", "DEBUG"] = "NONE"
    """Whether each request and answer on the dashboard's paths is logged as the Kubernetes Dashboard does it, with the
    bodies that cannot hold a secret (INFO), or with all bodies, tokens and passwords too (DEBUG: for finding a fault,
    never for long). NONE: the server's own line per request, which has no body and no query, is all."""

    # Jobs

    dump_timeout_s: float = Field(default=600.0, gt=0, le=86400)
    """Seconds that freezing one container may take; its transfer is bounded by its own progress."""

    keep_jobs_days: int = Field(default=30, ge=1, le=36500)
    """Days for which ended jobs and their progress are remembered. The jobs that made the images of a checkpoint are
    kept with it, since its deletion goes by them."""

    retention_interval_s: int = Field(default=3600, ge=10)
    """Seconds between two rounds of retention, at full multiples of it on the clock. Without a policy
    (`ksnap retention set`) they delete nothing."""

    watcher_retry_s: float = Field(default=15.0, gt=0, le=3600)
    """Seconds before a watcher's second try to freeze a container; twice as long before the third, the last one."""

    watcher_lease_s: float = Field(default=10.0, ge=2, le=600)
    """Where several servers share a database: seconds after which another server acts for the watchers of a dead
    one."""

    server_id: str = ""
    """Name of this server among those that share a PostgreSQL database: it takes up at once the jobs that it left
    itself, and after some seconds those of others that are dead. Two live ones of one name are refused. Empty: the
    host's name there, a fixed one with SQLite."""

    # Admission hooks (SnapHook)

    hook_host: str = "0.0.0.0"
    """Address on which new pods are asked about, by TLS, while a hook runs."""

    hook_port: int = Field(default=8443, ge=1, le=65535)
    """Port of that. It is the server's own; the API's port is another."""

    hook_address: str = ""
    """Host name or address, with `:PORT` if it is another than `hook_port`, by which API servers reach that port. A
    hook without a `webhook_url` of its own gets one of it. Empty: each hook must name its URL."""

    hook_certificate_life_s: int = Field(default=0, ge=0, le=3650 * 86400)
    """Seconds that a hook's certificate lasts, for trying its renewal. 0: as many days as the hook says."""

    hook_follow_tags: bool = True
    """Ask the registries each minute which images the tags of frozen workloads name, so that no pod starts from the
    memory of another image than it would run. Registries that are not configured are asked without an account. Off, or
    where a registry does not answer, the workload's template decides alone."""

    # How secrets are kept

    encryption_key: SecretStr | None = None
    """Fernet keys for the stored credentials, the newest first: it encrypts, all decrypt, so that keys can be rotated.
    None (and no file): a key is made in `data_dir`, mode 0600."""

    encryption_key_file: Path | None = None
    """File with those keys, one a line. `encryption_key` wins over it."""

    signing_key_file: Path | None = None
    """PEM file of the key (EC on P-256, unencrypted) that signs checkpoint images, for several servers that share a
    database, or to keep one key over installations. None: a key is made in `data_dir`, mode 0600. Before another one
    is given, let the nodes trust its public key beside the old one's: what is signed by a key they lack starts cold."""

    # Limits

    rate_limit_user: int = Field(default=1000, ge=1)
    """Requests per clock hour of one user, as the API reference has it."""

    rate_limit_address: int = Field(default=100, ge=1)
    """Requests per clock hour without a valid token from one client address, as the API reference has it."""

    rate_limit_agent: int = Field(default=600, ge=1)
    """Requests per clock hour of one node's agent: ten times the report a minute that it sends."""

    rate_limit_dashboard: int = Field(default=100_000, ge=1)
    """Requests per clock hour on the dashboard's paths (`/api/v1/...`), of one user, and from one address for those who
    bring a Kubernetes token or none: a page asks for some lists every few seconds, in each of many tabs."""

    progress_connections_user: int = Field(default=20, ge=1)
    """Connections on which one user may follow progress (`/ws/progress`, `/progress/events`) at a time: a page in
    each of many tabs."""

    progress_connections: int = Field(default=1000, ge=1)
    """Such connections of all users to one server process."""

    progress_patience_s: float = Field(default=10.0, gt=0)
    """Seconds that a reader of progress, or of a log that is followed, may leave what was sent to it unread, once the
    buffers between are full, before it is dropped. It can come back with the last id that it saw."""

    log_connections_user: int = Field(default=20, ge=1)
    """Connections on which one caller may follow logs (`/api/v1/log/follow/...`) at a time. Each holds one to the
    API server for each container."""

    log_connections: int = Field(default=500, ge=1)
    """Such connections of all callers to one server process."""

    live_connections_user: int = Field(default=50, ge=1)
    """Connections on which one caller may follow lists (`/api/v1/live/...`) at a time: some in each of many tabs."""

    live_connections: int = Field(default=500, ge=1)
    """Such connections of all callers to one server process. All together take a quarter of a core, by looking less
    often the more there are."""

    terminal_sessions_token: int = Field(default=10, ge=1)
    """Terminals that one token may have open at a time."""

    terminal_sessions: int = Field(default=200, ge=1)
    """Terminals of all users in one server process."""

    body_limit_bytes: int = Field(default=1 << 20, ge=1024)
    """Bytes that a request's body may have; the largest that makes sense, a kubeconfig with certificates, has some
    tens of thousands. On the dashboard's paths it is 3 MiB at least, as much as an API server takes for an object."""

    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    """Networks whose `X-Forwarded-For` is believed, and in the dashboard's log also `X-Original-Forwarded-For` and
    `X-Real-Ip`. None by default: anyone could choose their own address otherwise."""

    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins (`https://host[:port]`) whose pages may call the API from a browser. None by default: our own page is
    of the same origin."""

    metrics_public: bool = False
    """Serve `/metrics` without a token. Off: the figures tell who works with what; a scraper gets a token of the role
    viewer."""

    # Terminals

    terminal_idle_s: float = Field(default=1800.0, ge=0)
    """Seconds without a key after which a terminal is closed, a minute after a warning. 0: never."""

    terminal_shells: Annotated[tuple[str, ...], NoDecode] = ()
    """Shells to try in containers that have none of bash, sh, powershell and cmd: `ash,zsh,pwsh`."""

    terminal_debug_image: str = ""
    """Image of the debug container that a terminal is given on request where an image has no shell at all; the request
    may name another. Its own command should be a shell. Empty: the request must name one."""

    # Waiting

    database_timeout_s: float = Field(default=10.0, gt=0)
    """Seconds to wait for a connection to the database or for another writer of SQLite before answering
    SERVICE_UNAVAILABLE."""

    registry_timeout_s: float = Field(default=15.0, gt=0)
    """Seconds that a test of a registry's credentials may take."""

    shutdown_grace_s: int = Field(default=20, ge=0)
    """Seconds that requests in flight get when the server is told to stop; within Kubernetes' 30."""

    # Logs

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log line that is written."""

    log_format: Literal["json", "console"] = "json"
    """One JSON object a line, for a log collector; or `console`, for eyes."""

    @field_validator("csrf_key")
    @classmethod
    def _csrf_key_is_whole(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(decoded_csrf_key(value)) != CSRF_KEY_BYTES:
            raise ValueError(f"csrf_key holds {CSRF_KEY_BYTES} bytes in base64")
        return value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return tuple(ip_network(each, strict=False) for each in _split(value)) if isinstance(value, str) else value

    @field_validator("allowed_origins", "prometheus_urls", "terminal_shells", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        return _split(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together: set both or neither")
        return self

    @property
    def resolved_database_url(self) -> str:
        """The database's URL with the driver that ksnap uses."""
        given = self.database_url.get_secret_value() or f"sqlite:///{self.data_dir / 'ksnap.db'}"
        scheme, separator, rest = given.partition("://")
        drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
        return drivers.get(scheme, scheme) + separator + rest

    @property
    def uses_postgresql(self) -> bool:
        """Whether several servers may share the database."""
        return self.resolved_database_url.startswith("postgresql")

    @property
    def resolved_jobs_database_url(self) -> str:
        """Where the durable jobs' engine keeps its notes: a schema of its own in PostgreSQL, a file of its own beside
        SQLite's, so that neither waits for the other's lock."""
        url = self.resolved_database_url
        return url if self.uses_postgresql else f"sqlite:///{(self.data_dir / 'jobs.db').absolute()}"

    @property
    def resolved_server_id(self) -> str:
        """This server's name; a fixed one where no other can share the database."""
        if self.server_id:
            return self.server_id
        return socket.gethostname() if self.uses_postgresql else "ksnap"

    @property
    def resolved_blob_store_url(self) -> str:
        """The blob store's URL; its folder is absolute."""
        return self.blob_store_url or (self.data_dir / "blobs").absolute().as_uri()

    def first_password(self) -> SecretStr | None:
        """The first administrator's password, if one was given. Blocking: it may be in a file."""
        if self.admin_password is not None or self.admin_password_file is None:
            return self.admin_password
        try:
            first_line = self.admin_password_file.read_text().splitlines()[:1]
        except OSError as error:
            raise InvalidInput(
                "The administrator's password file cannot be read",
                details=f"{self.admin_password_file}: {error.strerror}",
                hint="Correct KSNAP_ADMIN_PASSWORD_FILE",
            ) from error
        return SecretStr("".join(first_line))


def decoded_csrf_key(key: SecretStr) -> bytes:
    """The key's bytes; none where it is not base64."""
    try:
        return b64decode(key.get_secret_value(), validate=True)
    except ValueError:
        return b""


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
