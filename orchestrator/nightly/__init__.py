"""The night: snapshots, backups, retention, restore tests and the report of it all."""
