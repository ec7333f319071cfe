"""Parameters that many calls share."""

from __future__ import annotations

from lab.api import formats
from lab.api.values import REQUIRED_NODE, Property, lacking

NODE = {"node": REQUIRED_NODE}
VM = NODE | {"vmid": Property("integer", optional=False, minimum=100, maximum=999999999)}
SNAPSHOT_NAME = Property(optional=False, check=formats.configuration_id, max_length=40)
SNAPSHOT = VM | {"snapname": SNAPSHOT_NAME}
STORAGE = NODE | {"storage": Property(optional=False, check=formats.storage_id)}
SKIPLOCK = {"skiplock": Property("boolean")}
TIMEOUT = {"timeout": Property("integer", minimum=0)}
DIGEST = {"digest": Property(max_length=40)}
BWLIMIT = lacking("bwlimit")
VMID = Property(optional=False, check=formats.vmid)
"""A VM number that is a parameter and not part of the path."""
