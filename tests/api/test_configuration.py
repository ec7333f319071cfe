"""The configuration file in a night and an apply: its inventory, its history, its folder and language of reports."""

from __future__ import annotations

from tests.api.desk import Desk, machine, subscription


def test_a_file_names_sites_history_language_and_reports(desk: Desk) -> None:
    folder = desk.folder / "config" / "orchestrator"
    folder.mkdir(parents=True)
    (desk.folder / "sites.yaml").rename(folder / "sites.yaml")
    (folder / "config.yaml").write_text(
        "inventory: sites.yaml\nhistory: records.db\nreports: ../../nights\nlanguage: en\n"
    )
    (folder / "config.yaml").chmod(0o600)
    desk.write(subscription("dupont", [machine("web-1")]))
    environment = {"XDG_CONFIG_HOME": str(folder.parent), "ORCHESTRATOR_INVENTORY": ""}
    applied = desk.run("apply", "--yes", "--no-guests", environment=environment)
    assert applied.code == 0 and (folder / "records.db").is_file(), applied
    assert not (desk.folder / "state" / "orchestrator" / "history.db").exists()
    night = desk.run("nightly", "--in-working-hours", environment=environment)
    (report,) = (desk.folder / "nights").glob("*.md")
    assert "Night of " in report.read_text(), night
    french = desk.run("nightly", "--in-working-hours", "--language", "fr", environment=environment)
    texts = [path.read_text() for path in (desk.folder / "nights").glob("*.md")]
    assert any("Nuit du " in text for text in texts), french
