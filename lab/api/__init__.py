"""The Proxmox VE API of the lab: what answers a client, in Proxmox's own names, formats and words."""
