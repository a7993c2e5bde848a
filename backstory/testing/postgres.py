"""A real PostgreSQL server for tests and benchmarks, without set-up.

`with postgres() as server, server.database() as url:` gives the URL of an empty database. Where the server comes from:
the URL in BACKSTORY_TEST_POSTGRES, else programs of the system, else programs of an installed wheel.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

from backstory.domain.errors import ConfigError
from backstory.testing._postgres_binaries import MINIMUM_VERSION, Source, find_binaries
from backstory.testing._postgres_cluster import ROLE, Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ENVIRONMENT", "MINIMUM_VERSION", "Cluster", "PostgresServer", "Source", "postgres"]

ENVIRONMENT: Final = "BACKSTORY_TEST_POSTGRES"
"""The environment variable with the libpq URL of a server to use instead of one of our own."""


@contextmanager
def postgres(
    *, source: Source = "any", durable: bool = True, settings: Mapping[str, str] | None = None
) -> Iterator[PostgresServer]:
    """Give a running PostgreSQL server; one of our own is stopped and its files removed on the way out, come what may.

    The server that BACKSTORY_TEST_POSTGRES names is used as it is, whatever `durable` and `settings` say, unless
    `source` asks for the programs of the `system` or of a `wheel`. Our own is up in about half a second.

    Raises:
        StoreUnavailableError: no PostgreSQL was found, or it did not start.
        ConfigError: BACKSTORY_TEST_POSTGRES is not a URL.
    """
    named = os.environ.get(ENVIRONMENT) if source == "any" else None
    cluster = None if named else Cluster(find_binaries(source), durable=durable, settings=settings)
    try:
        if cluster is not None:
            cluster.start()
        with PostgresServer(cluster, url=named) as server:
            yield server
    finally:
        if cluster is not None:
            cluster.remove()


class PostgresServer:
    """A server that hands out empty databases. It empties them and uses them again: that is faster than making them."""

    def __init__(self, cluster: Cluster | None, *, url: str | None = None) -> None:
        """Take a running cluster of our own, or the URL of a database of somebody else's server."""
        if url is None and cluster is not None:
            place = f"host={quote(str(cluster.socket_folder), safe='')}&port={cluster.port}"
            url = f"postgresql://{ROLE}@/postgres?{place}"
        if url is None or urlsplit(url).scheme not in {"postgresql", "postgres"}:
            message = f"{ENVIRONMENT} must be a URL of the form postgresql://user@host/database"
            raise ConfigError(message, key=ENVIRONMENT)
        self.url: Final = url
        self.cluster: Final = cluster
        self._free: list[str] = []
        self._made: list[str] = []
        self._prefix = f"backstory_test_{secrets.token_hex(4)}"

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Drop the databases that were made, unless the whole server goes with its files."""
        if self.cluster is None:
            for name in self._made:
                self._drop(name)

    def url_of(self, database: str, *, loopback: bool = False) -> str:
        """Return the URL of a database of this server; with `loopback` by TCP, which only our own servers have."""
        if loopback and self.cluster is not None:
            return f"postgresql://{ROLE}:{self.cluster.password}@127.0.0.1:{self.cluster.port}/{database}"
        return urlsplit(self.url)._replace(path=f"/{database}").geturl()

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of an empty database; afterwards whoever is still connected is cut off and all in it is lost."""
        name = self._free.pop() if self._free else self._create()
        try:
            yield self.url_of(name)
        finally:
            try:
                self._empty(name)
            except psycopg.Error:
                self._drop(name)
            else:
                self._free.append(name)

    def _create(self) -> str:
        name = f"{self._prefix}_{len(self._made)}"
        self._run(self.url, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        self._made.append(name)
        return name

    def _drop(self, name: str) -> None:
        self._run(self.url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _empty(self, name: str) -> None:
        """Bring a database back to how it was made; other databases and the server's settings are not touched."""
        with psycopg.connect(self.url_of(name), autocommit=True) as connection:
            _cut_off_others(connection)
            schemas = [row[0] for row in connection.execute(_SCHEMAS)]
            with connection.transaction():
                for schema in schemas:
                    connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
                connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(name)))
                connection.execute("CREATE SCHEMA public")
                connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")

    @staticmethod
    def _run(url: str, statement: sql.Composed) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)


def _cut_off_others(connection: psycopg.Connection[Any]) -> None:
    """End the other sessions of this database, and return when their transactions and locks are gone.

    The server itself would look for that every 100 ms only, and most sessions are about to end anyway.
    """
    for _ in range(_CUT_OFF_LOOKS):
        if connection.execute(_CUT_OFF).rowcount == 0:
            return
        connection.execute("SELECT pg_sleep(0.001)")


_CUT_OFF_LOOKS: Final = 5000
_CUT_OFF: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_SCHEMAS: Final = r"SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
