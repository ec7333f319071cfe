"""Is everything as it has to be, before a change or a night finds out? Reads, judges, and changes nothing."""

from orchestrator.doctor.examination import examine_here, examine_site
from orchestrator.doctor.findings import Finding, Severity, worst

__all__ = ["Finding", "Severity", "examine_here", "examine_site", "worst"]
