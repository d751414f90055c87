"""Schema migrations with Alembic, inside a transaction that is already open."""

from __future__ import annotations

from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from forensic.ledger import schema
from forensic.ledger.tally import content_hash


def upgrade(connection: Connection) -> tuple[int, bytes]:
    """Bring a ledger of format version 1, whose chain holds, to the present version.

    Nothing is committed here. Returns the number of entries and the root of their tally.
    """
    connection.exec_driver_sql(schema.STATEMENTS["table", "alembic_version"])
    connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (str(schema.CHAIN),))
    with as_file(files("forensic.ledger") / "migrations") as scripts:
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    connection.exec_driver_sql(f"PRAGMA user_version={schema.USER_VERSION}")
    size = int(connection.exec_driver_sql("SELECT count(*) FROM entries").scalar_one())
    content = connection.exec_driver_sql("SELECT content FROM tally WHERE path = ''").scalar_one()
    return size, content_hash(bytes(content))
