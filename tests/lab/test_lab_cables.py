"""An unplugged network card sends nothing, from the start or from the moment on that it is unplugged."""

from __future__ import annotations

from tests.lab.backups import tell_qemu, until
from tests.lab.lab_handle import Client, Lab
from tests.lab.test_lab_disks import VM


def announce(lab: Lab) -> None:
    """Let the guest's card send a packet: QEMU does it for the guest, as after a migration."""
    tell_qemu(lab, "announce-self", initial=10, max=10, rounds=1, step=1)


def sent(api: Client) -> int:
    """Bytes that came out of the guest."""
    return int(api.get(f"{VM}/status/current")["netout"])


def plug(api: Client, down: int) -> None:
    """Plug the cable in or out."""
    card = api.get(f"{VM}/config")["net0"].partition(",link_down")[0]
    api.put(f"{VM}/config", net0=f"{card},link_down={down}")
    waiting = [entry for entry in api.get(f"{VM}/pending") if entry["key"] == "net0" and "pending" in entry]
    assert waiting == []


def test_card_that_is_unplugged_at_the_start_sends_nothing_until_it_is_plugged_in(
    lab: Lab, api: Client
) -> None:
    plug(api, down=1)
    api.run("POST", f"{VM}/status/start")
    assert tell_qemu(lab, "query-status")["status"] == "running"
    announce(lab)
    assert sent(api) == 0
    plug(api, down=0)
    announce(lab)
    until(lambda: sent(api) > 0)


def test_card_of_a_running_machine_is_unplugged_at_once(lab: Lab, api: Client) -> None:
    api.run("POST", f"{VM}/status/start")
    announce(lab)
    until(lambda: sent(api) > 0)
    plug(api, down=1)
    before = sent(api)
    announce(lab)
    assert sent(api) == before


def test_other_changes_of_a_card_wait_for_the_next_start(api: Client) -> None:
    api.run("POST", f"{VM}/status/start")
    api.put(f"{VM}/config", net0="virtio=BC:24:11:00:00:99,bridge=vmbr0,link_down=1")
    pending = {entry["key"]: entry.get("pending") for entry in api.get(f"{VM}/pending")}
    assert pending["net0"] == "virtio=BC:24:11:00:00:99,bridge=vmbr0,link_down=1"


def test_current_parent_is_in_the_configuration(api: Client) -> None:
    api.run("POST", f"{VM}/snapshot", snapname="one")
    api.run("POST", f"{VM}/snapshot", snapname="two")
    assert api.get(f"{VM}/config")["parent"] == "two"
    api.run("POST", f"{VM}/snapshot/one/rollback")
    assert api.get(f"{VM}/config")["parent"] == "one"
    assert {"key": "parent", "value": "one"} in api.get(f"{VM}/pending")
