"""Executing a plan: every step safe to repeat, as parallel as Proxmox tolerates, recorded in the history."""
