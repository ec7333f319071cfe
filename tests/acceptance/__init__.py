"""The scenarios of the product against any Proxmox VE. Nothing here knows which one: it is given by an inventory."""
