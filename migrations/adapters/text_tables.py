"""Users' own tables, read with SQLAlchemy: whatever database it speaks to.

Names come from callers, so they are only ever given to SQLAlchemy as names, which quotes them.
Addresses hold passwords and are said nowhere: neither in a message nor in what caused it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnClause,
    Engine,
    Integer,
    String,
    column,
    create_engine,
    inspect,
    make_url,
    select,
    table,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchTableError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.types import TypeEngine

from migrations.model.errors import InvalidConfiguration, TextsUnavailable
from migrations.model.texts import SqlRecipe

#: Keys that are asked for at once; some databases take no more.
KEYS_AT_ONCE = 1_000
CONNECT_SECONDS = 5
POOL_SIZE, POOL_OVERFLOW, POOL_SECONDS = 2, 8, 10
#: What drivers call the time to connect.
_CONNECT_TIMEOUTS = {
    "postgresql": "connect_timeout",
    "mysql": "connect_timeout",
    "mariadb": "connect_timeout",
    "sqlite": "timeout",
}

_Kinds = Mapping[str, TypeEngine[Any]]


class SqlTextTables:
    """Implements :class:`migrations.ports.text_tables.TextTables`; safe for threads and forks."""

    def __init__(self) -> None:
        self._engines: dict[tuple[int, str], Engine] = {}
        #: Of the columns of tables that were looked at.
        self._kinds: dict[tuple[Engine, str | None, str], _Kinds] = {}

    def texts_of(self, recipe: SqlRecipe, keys: Sequence[Any]) -> dict[str, str]:
        engine = self._engine(recipe.sql)
        with _faults(recipe):
            kind = self._kind_of_keys(engine, recipe)
            wanted: defaultdict[Any, list[str]] = defaultdict(list)
            for key in keys:
                for asked in _as_asked(key, kind):
                    wanted[asked].append(str(key))
            return dict(_found(engine, recipe, wanted))

    def _engine(self, variable: str) -> Engine:
        address = os.environ.get(variable, "").strip()
        if not address:
            raise InvalidConfiguration(
                f"Set {variable} in the environment of the API and the workers: it says where the "
                "database with the texts is."
            )
        which = (os.getpid(), address)
        engine = self._engines.get(which)
        if engine is None:
            engine = self._engines.setdefault(which, _made(variable, address))
        return engine

    def _kind_of_keys(self, engine: Engine, recipe: SqlRecipe) -> TypeEngine[Any]:
        which = (engine, recipe.table_schema, recipe.table)
        kinds = self._kinds.get(which)
        if kinds is None:
            found = inspect(engine).get_columns(recipe.table, schema=recipe.table_schema)
            kinds = self._kinds[which] = {each["name"]: each["type"] for each in found}
        for name in (recipe.key, recipe.column):
            if name not in kinds:
                del self._kinds[which]  # it may be added
                raise InvalidConfiguration(
                    f"The table {recipe.table!r} by {recipe.sql} has no column {name!r}; it has: "
                    f"{', '.join(kinds)}."
                )
        return kinds[recipe.key]


def _made(variable: str, address: str) -> Engine:
    """Connects nowhere yet."""
    try:
        url = _with_driver(make_url(address))
        _require_file(variable, url)
        limit = _CONNECT_TIMEOUTS.get(url.get_backend_name())
        return create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW,
            pool_timeout=POOL_SECONDS,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={limit: CONNECT_SECONDS} if limit else {},
        )
    except (ArgumentError, ImportError):  # what they say holds the address
        raise InvalidConfiguration(
            f"{variable} is no address of a database in SQLAlchemy's form, such as "
            "postgresql://user:password@host/name, or its driver is not installed."
        ) from None


def _with_driver(url: URL) -> URL:
    """The one that is there, where none is named."""
    if url.drivername in {"postgres", "postgresql"}:
        return url.set(drivername="postgresql+psycopg2")
    return url


def _require_file(variable: str, url: URL) -> None:
    """SQLite would make an empty one."""
    if url.get_backend_name() != "sqlite" or (url.database or "").startswith("file:"):
        return
    if not url.database or not Path(url.database).exists():
        raise InvalidConfiguration(f"The SQLite file that {variable} names is not there.")


def _as_asked(key: Any, kind: TypeEngine[Any]) -> list[Any]:
    """The key as the column has it, none where it can stand in no such column."""
    if isinstance(kind, Integer):
        if isinstance(key, int):
            return [key]
        text = str(key).strip()
        return [int(text)] if text.removeprefix("-").isdecimal() else []
    return [str(key)] if isinstance(kind, String) or not isinstance(key, int) else [key]


def _found(
    engine: Engine, recipe: SqlRecipe, wanted: Mapping[Any, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    key: ColumnClause[Any] = column(recipe.key)
    text: ColumnClause[Any] = column(recipe.column)
    rows = select(key, text).select_from(table(recipe.table, key, text, schema=recipe.table_schema))
    asked, told, seen = list(wanted), {str(one): names for one, names in wanted.items()}, set()
    with engine.connect() as connection:
        if not asked:
            connection.execute(rows.limit(0))
        for start in range(0, len(asked), KEYS_AT_ONCE):
            part = asked[start : start + KEYS_AT_ONCE]
            for value, said in connection.execute(rows.where(key.in_(part))):
                if str(value) in seen:
                    raise InvalidConfiguration(
                        f"In the table {recipe.table!r} by {recipe.sql}, {recipe.key!r} holds a "
                        "value more than once, so a key tells no row; name one that does."
                    )
                seen.add(str(value))
                if said is not None:
                    yield from ((name, _as_text(recipe, said)) for name in told[str(value)])


def _as_text(recipe: SqlRecipe, said: Any) -> str:
    if isinstance(said, bytes | memoryview):
        raise InvalidConfiguration(
            f"The column {recipe.column!r} of the table {recipe.table!r} by {recipe.sql} holds "
            "bytes, not text."
        )
    return str(said)


@contextmanager
def _faults(recipe: SqlRecipe) -> Iterator[None]:
    where = f"The database by {recipe.sql}, where texts of the collection stand,"
    try:
        yield
    except NoSuchTableError:
        within = f" in the schema {recipe.table_schema!r}" if recipe.table_schema else ""
        raise InvalidConfiguration(
            f"The database by {recipe.sql} has no table {recipe.table!r}{within}."
        ) from None
    except (OperationalError, InterfaceError, PoolTimeout):
        raise TextsUnavailable(f"{where} does not answer, or refuses the connection.") from None
    except DBAPIError as error:
        if error.connection_invalidated:
            raise TextsUnavailable(f"{where} has ended the connection.") from None
        raise _not_readable(recipe, error) from None
    except SQLAlchemyError as error:
        raise _not_readable(recipe, error) from None


def _not_readable(recipe: SqlRecipe, error: SQLAlchemyError) -> InvalidConfiguration:
    kind = type(getattr(error, "orig", None) or error).__name__
    return InvalidConfiguration(
        f"The columns {recipe.key!r} and {recipe.column!r} of the table {recipe.table!r} by "
        f"{recipe.sql} cannot be read ({kind}); the user of that address needs to be allowed to."
    )
