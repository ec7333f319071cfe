"""The steps of a night, in the order of the work, and in the order in which the report tells of them.

A new step is one file (:mod:`orchestrator.nightly.step`) and its place here.
"""

from __future__ import annotations

from orchestrator.nightly.archive_step import ForeignArchiveStep, ReadArchivesStep
from orchestrator.nightly.backup_step import BackupLineStep, BackupsAfterUpdatesStep, BackupStep
from orchestrator.nightly.clock_step import ClockAgainStep, ClockStep
from orchestrator.nightly.contract_running import StillRunningStep
from orchestrator.nightly.contract_step import ContractStep
from orchestrator.nightly.contract_takings import TakingStep
from orchestrator.nightly.drift_step import DriftInsideStep, DriftStep
from orchestrator.nightly.ending_step import EndingStep
from orchestrator.nightly.file_step import FileStep
from orchestrator.nightly.inspection_step import InspectionStep
from orchestrator.nightly.machine_step import MachineStep
from orchestrator.nightly.missing import UnreadMachineStep
from orchestrator.nightly.observation_step import ObservationStep
from orchestrator.nightly.procedure_step import ProcedureStep
from orchestrator.nightly.restart_step import BeginRestartsStep, RestartStep
from orchestrator.nightly.restore_test_step import RestoreTestStep
from orchestrator.nightly.retention_step import RetentionStep
from orchestrator.nightly.second_copy_step import SecondCopyStep
from orchestrator.nightly.snapshot_step import ExpiryStep, ForeignSnapshotStep, SnapshotStep
from orchestrator.nightly.step import Step
from orchestrator.nightly.storage_step import StorageStep
from orchestrator.nightly.update_step import LookStep, UpdateStep
from orchestrator.nightly.waiting_snapshot_step import WaitingSnapshotStep

STEPS: tuple[type[Step], ...] = (
    ClockStep,
    DriftStep,
    SnapshotStep,
    ExpiryStep,
    LookStep,
    BeginRestartsStep,
    BackupStep,
    SecondCopyStep,
    ReadArchivesStep,
    ClockAgainStep,
    RetentionStep,
    RestoreTestStep,
    BackupsAfterUpdatesStep,
    SecondCopyStep,
    UpdateStep,
    RestartStep,
    ClockAgainStep,
    ExpiryStep,
    ReadArchivesStep,
    StorageStep,
    ForeignSnapshotStep,
    ContractStep,
    StillRunningStep,
    TakingStep,
    BackupLineStep,
    InspectionStep,
    DriftInsideStep,
    MachineStep,
    ObservationStep,
    ForeignArchiveStep,
    UnreadMachineStep,
    WaitingSnapshotStep,
    EndingStep,
    ProcedureStep,
    FileStep,
)
"""The work. Each decides once, before the first begins; one that stands here twice runs twice."""

REPORT: tuple[type[Step], ...] = (
    BackupStep,
    SecondCopyStep,
    StorageStep,
    StillRunningStep,
    ContractStep,
    TakingStep,
    EndingStep,
    ProcedureStep,
    FileStep,
    UpdateStep,
    RestartStep,
    InspectionStep,
    RestoreTestStep,
    SnapshotStep,
    RetentionStep,
    DriftStep,
    MachineStep,
    ObservationStep,
    ForeignArchiveStep,
)
"""The report: failures of one urgency, facts and sections, in this order."""
