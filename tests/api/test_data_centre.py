"""The data centre of Cloud VM Essentiel: one, which the site file names and the client is told (article 3.3)."""

from __future__ import annotations

import datetime as dt

from orchestrator.contract.calendar import PARIS
from tests.api.desk import Desk, machine, subscription
from tests.unit.report_readers import markdown_tables, plain

_NAME = "DC Paris 3, Saint-Denis"


def test_3_3_the_data_centre_of_essentiel_is_named_by_the_site_file_and_told(desk: Desk) -> None:
    inventory = ("--inventory", str(desk.folder / "sites.yaml"))
    file = subscription("martin", [machine("shop-1")], offer="cloud-vm-essential")
    desk.write(file)
    unnamed = desk.run("validate", *inventory)
    assert unnamed.code == 0 and "site paris does not name it (art. 3.3)" in unnamed.out, unnamed
    desk.sites["paris"]["data_centre"] = _NAME
    desk.write_sites()
    assert "no errors in 1 file" in desk.run("validate", *inventory).out
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    assert f"located    {_NAME}" in desk.run("show", "martin/shop-1").out
    notice = dt.datetime.now(PARIS).date() - dt.timedelta(days=3)
    ending = {"notice": notice.isoformat(), "reference": "LRAR-2026-131"}
    file["contract"] |= {"status": "terminated", "termination": ending}
    desk.write(file)
    _, machines, _ = markdown_tables(desk.run("reversibility", "martin").out)
    assert plain(machines[1][1]) == f"paris, {_NAME}"


def test_a_machine_of_essentiel_on_a_node_in_another_data_centre_is_a_notice(desk: Desk) -> None:
    desk.write(subscription("martin", [machine("shop-1")], offer="cloud-vm-essential"))
    assert desk.apply().code == 0
    node = desk.machines()["shop-1"]["node"]
    desk.sites["paris"]["second_sites"] = {"lille": {"nodes": [node]}}
    desk.write_sites()
    (item,) = desk.plan()["machines"]
    (notice,) = [change for change in item["changes"] if change["what"] == "data centre"]
    assert (
        notice["kind"] == "notice"
        and "cloud-vm-essential is in one single data centre (art. 3.3)" in notice["why"]
    )
    assert "located    lille" in desk.run("show", "martin/shop-1").out
