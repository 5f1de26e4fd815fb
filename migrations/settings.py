"""Everything reembed is told by its environment: variables named ``REEMBED_…``.

Nothing is read when this module is imported; :func:`get_settings` reads the
environment and, for what is not set there, a ``.env`` file in the working
directory. Provider keys are never held here, only the names of the variables
they are in, so that no settings object can leak them.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from migrations.model.bots import Role
from migrations.model.config import MAX_BATCH_SIZE, MAX_TIMEOUT_SECONDS
from migrations.model.gates import Gates
from migrations.model.notifications import WORTH_A_MESSAGE, NotificationType
from migrations.model.roles import PLAIN, Roles, TextRole

#: Characters of the key that signs the page's cookies.
_SHORTEST_KEY = 16
#: Of an endpoint, as logs and messages call it.
EndpointName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class ModelSettings(BaseModel):
    """What is known of one model of a provider."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    dimension: int = Field(gt=0, description="Of its vectors, when no other is asked for")
    max_input_tokens: int | None = Field(
        default=None, gt=0, description="The longest text it takes; 8192 is assumed if not said"
    )
    document_role: TextRole | None = Field(
        default=None,
        description="How it wants documents: prefix, suffix, parameters; what is known of its name"
        " if neither role is said",
    )
    query_role: TextRole | None = Field(default=None, description="How it wants queries")

    @property
    def roles(self) -> Roles | None:
        """None where neither is said; one that is not said beside the other is plain."""
        if self.document_role is None and self.query_role is None:
            return None
        return Roles(self.document_role or PLAIN, self.query_role or PLAIN)


class ProviderSettings(BaseModel):
    """One OpenAI-compatible embedding provider, named by the user."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: str = Field(description="Where its /embeddings lives, up to and including /v1")
    api_key_env: str = Field(description="Name of the environment variable that holds its key")
    dimensions_supported: bool = Field(
        default=False, description="Whether its models take the request parameter 'dimensions'"
    )
    max_inputs_per_request: int = Field(
        default=2048, gt=0, description="Most texts it takes in one request"
    )
    max_tokens_per_request: int = Field(
        default=300_000, gt=0, description="Most tokens it takes in one request"
    )
    headers: dict[str, str | None] = Field(
        default_factory=dict,
        description="Sent with every request; {key} stands for the key, null leaves one out",
    )
    query: dict[str, str] = Field(
        default_factory=dict, description="Parameters of the URL, such as Azure's api-version"
    )
    body: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Further fields of a request, such as NIM's input_type; null leaves one out",
    )
    encoding_format: Literal["base64", "float", "none", "auto"] = Field(
        default="auto",
        description="How vectors are asked for: none does not say, auto is base64 unless refused",
    )
    requests_per_minute: float | None = Field(
        default=None, gt=0, description="Its limit; learned from its answers when left out"
    )
    tokens_per_minute: float | None = Field(
        default=None, gt=0, description="Its limit; learned from its answers when left out"
    )
    models: dict[str, ModelSettings] = Field(
        default_factory=dict,
        description="Known models: their dimension, or an object of dimension and"
        " max_input_tokens; others are found by asking the provider",
    )

    @field_validator("models", mode="before")
    @classmethod
    def _dimension_alone(cls, models: Any) -> Any:
        if not isinstance(models, dict):
            return models
        return {
            name: {"dimension": said} if isinstance(said, int) else said
            for name, said in models.items()
        }


class ReceiverSettings(BaseModel):
    """Somebody outside, of the operator's choosing: nothing is sent to others."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: SecretStr = Field(description="Where it is; shown nowhere, as it may hold a secret")
    owner: str | None = Field(
        default=None, description="Whose bots it is about; everybody's where it is left out"
    )

    def is_about(self, owner: str) -> bool:
        return self.owner is None or self.owner == owner


class EndpointSettings(ReceiverSettings):
    """Somebody who is told what happens to migrations."""

    events: tuple[str, ...] = Field(
        default=("*",), min_length=1, description="Types it is told of, or patterns of them"
    )

    @field_validator("events")
    @classmethod
    def _are_types(cls, events: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in events:
            if not fnmatch.filter([one.value for one in NotificationType], pattern):
                raise ValueError(f"{pattern!r} fits no type of notification")
        return events

    def wants(self, type_: str, owner: str) -> bool:
        fits = any(fnmatch.fnmatchcase(type_, pattern) for pattern in self.events)
        return fits and self.is_about(owner)


class SignedSettings(ReceiverSettings):
    """A URL whose messages are signed, as Standard Webhooks say."""

    secret: SecretStr | None = Field(
        default=None,
        description="What they are signed with: whsec_ and 24 to 64 bytes in base64; several, apart"
        " by spaces, while one takes the other's place",
    )
    secret_file: Path | None = Field(
        default=None, description="Where that stands, instead of secret; read for each message"
    )

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(url.get_secret_value())
            is_one = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:  # which repeats what it does not understand
            is_one = False
        if not is_one:
            raise ValueError("must begin with https:// or http:// and name a host")
        return url

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("needs either secret or secret_file")
        if self.secret is not None:
            require_secrets(self.secret.get_secret_value())
        return self

    def secrets(self) -> list[str]:
        """All that count now. Raises OSError, ValueError: the file cannot be read, or used."""
        if self.secret is not None:
            return require_secrets(self.secret.get_secret_value())
        assert self.secret_file is not None  # noqa: S101 # one of the two is there
        return require_secrets(self.secret_file.read_text())


class WebhookSettings(EndpointSettings, SignedSettings):
    """A URL that is told what happens to migrations."""


class ChatSettings(EndpointSettings):
    """A chat or a mailbox, as a URL of Apprise."""

    events: tuple[str, ...] = Field(
        default=tuple(one.value for one in WORTH_A_MESSAGE),
        min_length=1,
        description="As of a webhook; left out, what a person wants to hear of",
    )


class HookSettings(SignedSettings):
    """A URL that is asked before a migration switches, and may say no."""

    timeout_seconds: float = Field(
        default=10, gt=0, le=60, description="How long an answer is waited for, tries included"
    )
    if_unreachable: Literal["wait", "go_on"] = Field(
        default="wait",
        description="Without an answer: wait for a person's decision, or switch with a warning",
    )


def require_secrets(told: str) -> list[str]:
    """Each of them. Raises ValueError, which does not repeat them."""
    found = told.split()
    for one in found:
        try:
            length = len(base64.b64decode(one.removeprefix("whsec_") + "==", validate=False))
        except binascii.Error:
            length = 0
        if not 24 <= length <= 64:
            raise ValueError("a secret must be whsec_ and 24 to 64 bytes in base64")
    if not found:
        raise ValueError("a secret must be whsec_ and 24 to 64 bytes in base64")
    return found


class Settings(BaseSettings):
    """The settings of one process; the description of a field is its documentation.

    Raises:
        pydantic.ValidationError: a variable is missing or malformed. The error
        names it and never repeats its value.
    """

    model_config = SettingsConfigDict(
        env_prefix="REEMBED_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",  # a .env also holds provider keys, which are not settings
        frozen=True,
        hide_input_in_errors=True,  # the values are URLs with passwords in them
    )

    # --- services ---
    database_url: SecretStr = Field(
        description="PostgreSQL, the authority on all state: postgresql+psycopg2://user:pw@host/db"
    )
    redis_url: SecretStr = Field(
        description="Redis, broker and checkpoints: redis://host:6379/0 (turn eviction off)"
    )
    milvus_uri: str = Field(description="Milvus, which holds the bots' chunks: http://host:19530")
    milvus_token: SecretStr | None = Field(
        default=None, description="Milvus token, or user:password; empty for none"
    )
    milvus_db: str = Field(
        default="",
        description="Milvus database of collections whose names say none; empty: its default one",
    )
    milvus_timeout_seconds: float = Field(
        default=30, gt=0, description="Longest wait for one answer of Milvus"
    )

    # --- embedding providers ---
    providers: dict[str, ProviderSettings] = Field(
        default_factory=dict,
        description="OpenAI-compatible providers by name, as JSON (see ProviderSettings)",
    )
    prices: dict[str, float] = Field(
        default_factory=dict,
        description="US dollars per million tokens by 'provider/model' or 'provider/*', as JSON;"
        " list prices else",
    )
    openai_base_url: str = Field(
        default="https://api.openai.com/v1", description="Where the provider 'openai' is reached"
    )
    openai_api_key_env: str = Field(
        default="OPENAI_API_KEY",
        description="Name of the environment variable that holds the key of 'openai'",
    )
    openai_requests_per_minute: float | None = Field(
        default=None, gt=0, description="Limit of 'openai'; empty to learn it from its answers"
    )
    openai_tokens_per_minute: float | None = Field(
        default=None, gt=0, description="Limit of 'openai'; empty to learn it from its answers"
    )
    limit_burst_seconds: float = Field(
        default=0.5, gt=0, le=60, description="How much of a provider's limit may be sent at once"
    )
    reserved_query_share: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of a provider's limit migrations leave alone while bots are asked",
    )
    provider_timeout_seconds: float = Field(
        default=60, gt=0, description="Longest wait for one answer of an embedding provider"
    )

    # --- migrations ---
    max_concurrent_migrations: int = Field(
        default=3, gt=0, description="Live migrations allowed at once, over all bots"
    )
    max_migrations_per_owner: int = Field(
        default=2, gt=0, description="Of those, live migrations allowed of one owner's bots"
    )
    max_timeout_seconds: int = Field(
        default=172_800,
        ge=1,
        le=MAX_TIMEOUT_SECONDS,
        description="Longest timeout_seconds that may be asked for",
    )
    default_batch_size: int = Field(
        default=50, ge=1, le=MAX_BATCH_SIZE, description="Chunks in a batch when none is asked for"
    )
    default_timeout_seconds: int = Field(
        default=3600, ge=1, description="Time a migration has until it is rolled back"
    )
    max_retries: int = Field(
        default=3, ge=0, le=20, description="Tries of a failed call beyond the first"
    )
    retry_delay: float = Field(
        default=2.0, ge=0, le=300, description="Seconds before the first retry, doubled each time"
    )
    checkpoint_every_chunks: int = Field(
        default=100, gt=0, description="Progress is recorded at least every so many chunks"
    )
    wave_size: int = Field(default=64, gt=0, description="Batches sent to the broker as one group")
    waves_in_flight: int = Field(default=2, gt=0, description="Such groups open at the same time")
    batches_per_read: int = Field(
        default=20, gt=0, description="Neighbouring batches read from Milvus at once"
    )
    verify_sample: int = Field(
        default=200, gt=0, description="Chunks embedded again to check the stored vectors"
    )
    verify_questions: int = Field(
        default=50,
        gt=0,
        description="Parts of their texts that verification asks both collections with",
    )
    recall_at: int = Field(
        default=10, gt=0, description="Search results looked at when verification asks for a chunk"
    )
    gates: Gates = Field(
        default_factory=Gates,
        description="What verification must at least find; less waits for a person to judge: JSON",
    )
    same_vector_margin: float = Field(
        default=0.001,
        gt=0,
        le=0.05,
        description="How much less alike than a model's own two answers to a text (as a cosine)"
        " a stored vector and an answer may be to count as the same",
    )
    same_vector_floor: float = Field(
        default=0.99,
        ge=0.9,
        lt=1,
        description="Least cosine at which two vectors count as the same, however a model answers",
    )
    unindexed_rows: int = Field(
        default=25_000,
        ge=0,
        description="Rows of a new collection that may be searched before they are indexed;"
        " a larger one is loaded when its index is built",
    )
    compare_concurrency: int = Field(
        default=2, gt=0, description="Key ranges of two collections compared at the same time"
    )
    catch_up_max_passes: int = Field(
        default=10, gt=0, description="Comparisons with the source before giving up on a quiet one"
    )
    catch_up_quiet_chunks: int = Field(
        default=0, ge=0, description="A pass that changed no more chunks than this is quiet"
    )
    retention_hours: float = Field(
        default=72, ge=0, description="How long after the switch a rollback stays possible"
    )
    hold_hours: float = Field(
        default=24, ge=0, description="How long an unused target waits for adoption by a new run"
    )

    alias_drain_seconds: float = Field(
        default=0.15,
        ge=0,
        le=5,
        description="How long an alias stays where it is after a switch, while its readers' "
        "searches with vectors they have been given come to their ends",
    )
    alias_hold_seconds: float = Field(
        default=5,
        ge=0,
        le=60,
        description="How long readers by an alias that is being moved wait for it; then "
        "Milvus is asked where it points",
    )
    keep_up_every_seconds: float = Field(
        default=900,
        gt=0,
        description="How often the target of a postponed switch catches up with its source",
    )
    canary_hours: float = Field(
        default=1,
        ge=0,
        description="How long after a switch the live collection is asked canary questions, "
        "with each sweep; 0 for never",
    )
    canary_questions: int = Field(
        default=20, ge=0, description="Chunks that are asked for by their own text each time"
    )
    sweep_first_seconds: float = Field(
        default=30, ge=0, description="When, after it ended, a run looks for late writes"
    )
    sweep_second_seconds: float = Field(
        default=300, gt=0, description="How long after that it looks again"
    )
    sweep_every_seconds: float = Field(
        default=3600, gt=0, description="How often it looks from then on, until it is retired"
    )

    # --- workers ---
    batch_concurrency: int = Field(
        default=12,
        gt=0,
        description="Threads of a worker that moves batches; more than calls, to read and store",
    )
    provider_concurrency: int = Field(
        default=8, gt=0, description="Calls to a provider that a worker has under way at once"
    )
    control_concurrency: int = Field(
        default=8, gt=0, description="Threads of a worker that runs phases and rollbacks"
    )
    heartbeat_seconds: float = Field(
        default=3, gt=0, description="How often a worker says that it is at a migration"
    )
    stalled_after_seconds: float = Field(
        default=12, gt=0, description="Silence after which a migration is driven again"
    )
    quiesce_seconds: float = Field(
        default=30, ge=0, description="Longest wait for batches in flight before undoing begins"
    )
    watch_every_seconds: float = Field(
        default=2, gt=0, description="How often the watchdog looks for silent migrations"
    )

    # --- writers ---
    journal_most_waiting: int = Field(
        default=100_000,
        ge=1000,
        description="Writes to a bot that may be acknowledged and not applied yet",
    )

    # --- callers ---
    requests_per_minute: int = Field(
        default=6000, ge=0, description="Requests a minute that one token may send; 0 for any"
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        description="Proxies in front of the API whose X-Forwarded-For is believed",
    )
    trail_days: float = Field(
        default=90, gt=0, le=3650, description="How long the trail keeps what was done with a token"
    )
    trail_entries_per_token: int = Field(
        default=10_000, gt=0, description="Newest entries that the trail keeps of each token"
    )

    # --- watching and telling ---
    metrics_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="What Prometheus sends as its bearer token to /metrics; without it an admin's"
        " token is asked for",
    )
    # --- the page ---
    secret_key: SecretStr | None = Field(
        default=None,
        min_length=_SHORTEST_KEY,
        description="Signs the page's cookies, the same for all processes of the API; without one"
        " the page is switched off",
    )
    secret_key_file: Path | None = Field(default=None, description="A file that holds it, instead")
    dashboard_session_hours: float = Field(
        default=12, gt=0, le=720, description="How long a login to the page lasts"
    )
    dashboard_logins_per_minute: int = Field(
        default=20, ge=0, description="Logins that one address may try in a minute; 0 for any"
    )
    dashboard_https: bool = Field(
        default=False,
        description="Whether browsers reach the page by https alone: its cookie is sent no other"
        " way then, and they are told to stay",
    )
    oidc_issuer: str = Field(
        default="",
        description="Identity provider to log in to the page with (OpenID Connect), its issuer as"
        " it calls itself; empty for none",
    )
    oidc_client_id: str = Field(default="reembed", description="What it calls us")
    oidc_client_secret: SecretStr | None = Field(
        default=None, description="What we show it; empty where it asks for none"
    )
    oidc_scope: str = Field(
        default="openid email profile", description="What we ask to be told of who logs in"
    )
    oidc_owner_claim: str = Field(
        default="email", description="The claim that names the owner somebody belongs to"
    )
    oidc_role_claim: str = Field(
        default="groups", description="The claim, a text or a list, that their role is found by"
    )
    oidc_roles: dict[str, Role] = Field(
        default_factory=dict,
        description="Roles by that claim's values, as JSON; who has none of them is not let in",
    )
    flower_url: str = Field(
        default="",
        description="Where browsers reach Flower; empty: on 127.0.0.1, for who is there as well",
    )
    # --- who is told ---
    webhooks: dict[EndpointName, WebhookSettings] = Field(
        default_factory=dict,
        description="URLs that are told what happens to migrations, by name, as JSON"
        " (see WebhookSettings)",
    )
    notify: dict[EndpointName, ChatSettings] = Field(
        default_factory=dict,
        description="Chats and mailboxes that are told, by name, as JSON (see ChatSettings)",
    )
    switch_hooks: dict[EndpointName, HookSettings] = Field(
        default_factory=dict,
        description="URLs that are asked before a switch and may veto it, by name, as JSON"
        " (see HookSettings)",
    )
    way_back_warning_hours: float = Field(
        default=24,
        ge=0,
        description="How long before a way back ends that is told; 0 for never. Not of one that was"
        " open for no longer",
    )

    # --- what is listened on, and logs ---
    host: str = Field(default="127.0.0.1", description="Address the API listens on")
    port: int = Field(default=8000, gt=0, le=65535, description="Port the API listens on")
    api_threads: int = Field(default=16, gt=1, description="Requests the API answers at once")
    api_slow_requests: int = Field(
        default=8, gt=0, description="Of these, such as ask Milvus or a provider, which may hang"
    )
    api_slow_requests_per_owner: int = Field(
        default=4, gt=0, description="Of these, such as one owner has sent"
    )
    api_reader_threads: int = Field(
        default=16,
        gt=0,
        description="Searches of one owner answered at once, beside other requests",
    )
    api_waiting_requests: int = Field(
        default=200,
        ge=0,
        le=400,
        description="Requests that may wait for a bot to change, which takes a connection"
        " and no thread; more are answered at once",
    )
    api_streams: int = Field(
        default=50,
        ge=0,
        le=400,
        description="Streams of events that may be open at once, four fifths of them by one owner,"
        " which takes a connection and no thread; more are refused and have to poll",
    )
    flower_port: int = Field(
        default=5555, gt=0, le=65535, description="Port Flower listens on, on 127.0.0.1"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least severe log entries written: DEBUG to ERROR"
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="console for people, json for log collectors"
    )

    @property
    def api_reader_threads_of_all(self) -> int:
        """A fourth more than one owner's: what is left to others whose provider does not hang."""
        return self.api_reader_threads + max(1, self.api_reader_threads // 4)

    @property
    def page_key(self) -> str | None:
        """What signs the page's cookies.

        Raises:
            OSError: its file cannot be read.
            ValueError: it holds less than a key.
        """
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        if self.secret_key_file is None:
            return None
        key = self.secret_key_file.read_text().strip()
        if len(key) < _SHORTEST_KEY:
            raise ValueError(
                f"REEMBED_SECRET_KEY_FILE must hold at least {_SHORTEST_KEY} characters"
            )
        return key

    @field_validator("flower_url", "oidc_issuer")
    @classmethod
    def _is_a_web_address(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url

    @model_validator(mode="after")
    def _threads_are_left(self) -> Self:
        if self.api_slow_requests >= self.api_threads:
            raise ValueError("REEMBED_API_SLOW_REQUESTS must be less than REEMBED_API_THREADS")
        return self

    @field_validator("prices")
    @classmethod
    def _are_prices(cls, prices: dict[str, float]) -> dict[str, float]:
        for name, price in prices.items():
            provider, _, model = name.partition("/")
            if not provider or not model:
                raise ValueError(f"{name!r} is not 'provider/model' or 'provider/*'")
            if not 0 <= price < 1e6:
                raise ValueError(f"the price of {name!r} is no price in US dollars")
        return prices

    @model_validator(mode="after")
    def _endpoints_have_names_of_their_own(self) -> Self:
        if both := self.webhooks.keys() & self.notify.keys():
            raise ValueError(f"{', '.join(sorted(both))} is in both WEBHOOKS and NOTIFY")
        return self

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith("postgresql+psycopg2://"):
            raise ValueError("must start with postgresql+psycopg2://")
        return url

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return _checked_tls(url)


def _checked_tls(url: SecretStr) -> SecretStr:
    """The URL with what redis-py does by default and Celery wants to be told."""
    plain = url.get_secret_value()
    if not plain.startswith("rediss://") or "ssl_cert_reqs=" in plain:
        return url
    return SecretStr(f"{plain}{'&' if '?' in plain else '?'}ssl_cert_reqs=required")


def get_settings() -> Settings:
    """Read the environment and ``.env`` now; a later change needs another call.

    ``REEMBED_ENV_FILE`` names another file than ``.env``; set but empty, it names none.
    """
    return Settings(_env_file=os.environ.get("REEMBED_ENV_FILE", ".env") or None)
