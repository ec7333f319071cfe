"""The tables of what was observed, in the database of the history.

Only changes are written: the interval in which a machine is has no end, and goes on for as long as its site is observed
(``until``). So a round in which nothing happens writes one row, whatever the number of machines.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

SITES = sa.Table(
    "observed_sites",
    METADATA,
    sa.Column("site", sa.Text, primary_key=True),
    sa.Column("until", sa.BigInteger),
    sa.Column("listed", sa.BigInteger),
    sa.Column("guests", sa.Integer, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("trouble", sa.Text, nullable=False),
)
MACHINES = sa.Table(
    "observed_machines",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("site", sa.Text, nullable=False),
    sa.Column("vmid", sa.Integer, nullable=False),
    sa.Column("client", sa.Text, nullable=False),
    sa.Column("machine", sa.Text, nullable=False),
    sa.Column("node", sa.Text, nullable=False),
    sa.Column("gone", sa.Boolean, nullable=False),
    sa.UniqueConstraint("site", "vmid", "client", "machine"),
    sa.Index("observed_machines_of_a_client", "client", "machine"),
)
SPANS = sa.Table(
    "observed_intervals",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("end", sa.BigInteger),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("confirmed", sa.Boolean, nullable=False),
    sa.Column("settled", sa.SmallInteger, nullable=False),
    sa.Column("claimed", sa.BigInteger),
    sqlite_with_rowid=False,
)
sa.Index(
    "observed_intervals_open",
    SPANS.c.id,
    sqlite_where=SPANS.c.end.is_(None),
    postgresql_where=SPANS.c.end.is_(None),
)
_TO_SETTLE = (SPANS.c.state == "down") & SPANS.c.confirmed & (SPANS.c.settled < 2)
sa.Index("observed_intervals_to_settle", SPANS.c.id, sqlite_where=_TO_SETTLE, postgresql_where=_TO_SETTLE)
GAPS = sa.Table(
    "observed_gaps",
    METADATA,
    sa.Column("site", sa.Text, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("end", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
