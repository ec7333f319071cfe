"""A small Proxmox-compatible test bed over real QEMU guests; `orchestrator` knows nothing of it."""
