"""Hosting subscriptions as code on Proxmox VE."""
