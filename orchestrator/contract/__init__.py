"""The contract's rules about time and data: working hours, nights, how long snapshots and backups live."""
