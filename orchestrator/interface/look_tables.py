"""The tables of the last look. What lists filter and sort by are columns; the rest is a document beside them.

Documents stand in tables of their own, so that a list reads small rows only.
"""

from __future__ import annotations

import sqlalchemy as sa

from orchestrator.interface.database import METADATA

SITES = sa.Table(
    "interface_sites",
    METADATA,
    sa.Column("site", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger),
    sa.Column("tried", sa.BigInteger, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    sa.Column("frozen", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)
MACHINES = sa.Table(
    "interface_machines",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("client", "machine", "site")),
    sa.Column("node", sa.Text),
    sa.Column("vmid", sa.Integer),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("contract", "offer", "state")),
    sa.Column("running", sa.Boolean),
    sa.Column("in_file", sa.Boolean),
    sa.Column("vcpus", sa.Integer, nullable=False),
    sa.Column("memory_mib", sa.BigInteger, nullable=False),
    sa.Column("disk_gib", sa.Float(53), nullable=False),
    sa.Column("backup_days", sa.Integer),
    sa.Column("last_backup", sa.BigInteger, nullable=False),  # 0: none is known, the oldest of all
    sa.Column("backups_known", sa.Boolean, nullable=False),
    sa.Column("backups", sa.Integer, nullable=False),
    sa.Column("backup_bytes", sa.BigInteger, nullable=False),
    sa.Column("tested", sa.Text),
    sa.Column("restart", sa.Text, nullable=False),
    sa.Column("restart_since", sa.BigInteger),
    sa.Column("updates_due", sa.Integer),
    sa.Column("held", sa.Text),
    sa.Column("held_from", sa.Text),
    sa.Column("held_since", sa.BigInteger),
    sa.Column("problem", sa.Text, nullable=False),
    sa.Column("address", sa.Text),
    sa.Column("findable", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Index("interface_machines_of_a_client", "client", "machine", "key"),
    sa.Index("interface_machines_of_a_site", "site"),
    sa.Index("interface_machines_in_a_state", "state"),
)
_HELD = MACHINES.c.held.is_not(None)
_BACKED_UP = MACHINES.c.backup_days.is_not(None)
sa.Index(
    "interface_machines_held",
    MACHINES.c.client,
    MACHINES.c.machine,
    sqlite_where=_HELD,
    postgresql_where=_HELD,
)
sa.Index(
    "interface_machines_backed_up",
    MACHINES.c.last_backup,
    sqlite_where=_BACKED_UP,
    postgresql_where=_BACKED_UP,
)
MACHINE_DOCUMENTS = sa.Table(
    "interface_machine_documents",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
)
CLIENTS = sa.Table(
    "interface_clients",
    METADATA,
    sa.Column("client", sa.Text, primary_key=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("contract", "offers", "sites")),
    sa.Column("file", sa.Text),
    sa.Column("standing", sa.Text),
    sa.Column("level", sa.Text),
    sa.Column("free_changes", sa.Integer),
    sa.Column("free_used", sa.Integer),
    *(
        sa.Column(name, sa.Integer, nullable=False)
        for name in (
            "machines",
            "running",
            "vcpus",
            "missing",
            "unreadable",
            "restarts_due",
            "updates_due",
            "held",
        )
    ),
    sa.Column("memory_mib", sa.BigInteger, nullable=False),
    sa.Column("disk_gib", sa.Float(53), nullable=False),
    sa.Column("backup_bytes", sa.BigInteger, nullable=False),
    sa.Column("findable", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)
ENDINGS = sa.Table(
    "interface_endings",
    METADATA,
    sa.Column("client", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("reference", sa.Text, primary_key=True),
    sa.Column("last_day", sa.Text, nullable=False, index=True),
)
TURN = sa.Table(
    "interface_look_turn",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
)
