"""The Proxmox VE API: the only place that talks to it."""

from orchestrator.proxmox.agent import Execution, GuestInterface
from orchestrator.proxmox.agent import execute as execute_in_guest
from orchestrator.proxmox.agent import execution as execution_in_guest
from orchestrator.proxmox.agent import interfaces as guest_interfaces
from orchestrator.proxmox.agent import ping as ping_agent
from orchestrator.proxmox.agent import read_file as read_guest_file
from orchestrator.proxmox.archives import (
    ArchiveListing,
    StoredArchive,
    list_archives,
    newest_archives,
    read_archives,
)
from orchestrator.proxmox.client import Cluster, Patience, UnusableCluster
from orchestrator.proxmox.cluster_reading import (
    parse_tags,
    read_cluster,
    read_lists,
    read_node,
    read_state,
    where_is,
)
from orchestrator.proxmox.cluster_state import (
    BadEntry,
    ClusterState,
    NodeSummary,
    StorageSummary,
    VmSummary,
)
from orchestrator.proxmox.errors import (
    AgentNotRunning,
    AlreadyExists,
    AlreadyRunning,
    BadAnswer,
    BadParameters,
    DigestMismatch,
    Locked,
    LockTimeout,
    NoFreeId,
    NotFound,
    NotImplementedByServer,
    NotRunning,
    PermissionDenied,
    Protected,
    ProxmoxError,
    ServerError,
    StorageFull,
    TaskFailed,
    TaskLeft,
    TaskTimeout,
    TlsRefused,
    TokenRefused,
    Uncertain,
    Unreachable,
    Unusable,
)
from orchestrator.proxmox.pools import FREEZE_POOL, frozen_by, read_frozen, read_pool_members, read_pools
from orchestrator.proxmox.privileges import Need, read_version
from orchestrator.proxmox.properties import (
    Disk,
    PropertyString,
    parse_disk,
    parse_disk_bytes,
    parse_property_string,
)
from orchestrator.proxmox.redundancy import (
    Affinity,
    HaResource,
    RedundancySettings,
    ReplicationJob,
    is_ha_managed,
    read_redundancy,
    set_ha_state,
)
from orchestrator.proxmox.side_by_side import side_by_side, understood_beside
from orchestrator.proxmox.snapshots import VmSnapshot, read_snapshots
from orchestrator.proxmox.storage_types import (
    can_snapshot,
    disk_objection,
    newest_only,
    storage_type,
)
from orchestrator.proxmox.tasks import TaskResult, parse_upid
from orchestrator.proxmox.vm_configuration import VmConfig, read_container, read_vm, read_vm_later
