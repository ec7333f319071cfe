"""The Proxmox VE API: the only place that talks to it."""

from orchestrator.proxmox.agent import GuestInterface
from orchestrator.proxmox.agent import interfaces as guest_interfaces
from orchestrator.proxmox.agent import ping as ping_agent
from orchestrator.proxmox.agent import read_file as read_guest_file
from orchestrator.proxmox.archives import StoredArchive, read_archives
from orchestrator.proxmox.client import Cluster, Patience
from orchestrator.proxmox.errors import (
    AgentNotRunning,
    AlreadyExists,
    AlreadyRunning,
    BadParameters,
    DigestMismatch,
    Locked,
    LockTimeout,
    NotFound,
    NotImplementedByServer,
    NotRunning,
    PermissionDenied,
    Protected,
    ProxmoxError,
    ServerError,
    StorageFull,
    TaskFailed,
    TaskTimeout,
    TlsRefused,
    TokenRefused,
    Uncertain,
    Unreachable,
)
from orchestrator.proxmox.reading import (
    ClusterState,
    NodeSummary,
    StorageSummary,
    VmConfig,
    VmSummary,
    check_privileges,
    parse_tags,
    read_cluster,
    read_vm,
)
from orchestrator.proxmox.snapshots import VmSnapshot, can_snapshot, read_snapshots
from orchestrator.proxmox.tasks import TaskResult
from orchestrator.proxmox.values import Disk, parse_disk, parse_disk_bytes, parse_property_string

__all__ = [
    "AgentNotRunning",
    "AlreadyExists",
    "AlreadyRunning",
    "BadParameters",
    "Cluster",
    "ClusterState",
    "DigestMismatch",
    "Disk",
    "GuestInterface",
    "LockTimeout",
    "Locked",
    "NodeSummary",
    "NotFound",
    "NotImplementedByServer",
    "NotRunning",
    "Patience",
    "PermissionDenied",
    "Protected",
    "ProxmoxError",
    "ServerError",
    "StorageFull",
    "StorageSummary",
    "StoredArchive",
    "TaskFailed",
    "TaskResult",
    "TaskTimeout",
    "TlsRefused",
    "TokenRefused",
    "Uncertain",
    "Unreachable",
    "VmConfig",
    "VmSnapshot",
    "VmSummary",
    "can_snapshot",
    "check_privileges",
    "guest_interfaces",
    "parse_disk",
    "parse_disk_bytes",
    "parse_property_string",
    "parse_tags",
    "ping_agent",
    "read_archives",
    "read_cluster",
    "read_guest_file",
    "read_snapshots",
    "read_vm",
]
