"""Plan and apply by their commands, over HTTPS, as an engineer runs them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from orchestrator.applying.apply import apply_plan
from orchestrator.applying.journal import Journal
from orchestrator.guests.keys import fingerprint
from orchestrator.history import open_history
from orchestrator.planning.plan import make_plan
from orchestrator.resources.change import Effect
from orchestrator.resources.desired import desired_machines
from orchestrator.resources.notes import read_mark
from orchestrator.resources.observing import observe
from orchestrator.sites import load_provider
from orchestrator.subscriptions import load
from tests.api.desk import CLIENT_KEY, Desk, machine, subscription
from tests.api.fakepve_handle import FakePve


def test_apply_creates_what_the_file_asks_for_and_then_nothing_is_left_to_create(desk: Desk) -> None:
    disks = [{"name": "system", "size": "6GiB"}, {"name": "data", "size": "10GiB"}]
    desk.write(
        subscription("dupont", [machine("web-1", vcpus=2, memory="4GiB", disks=disks), machine("db-1")]),
        subscription("martin", [machine("shop-1")], offer="cloud-vm-essential"),
    )
    answer = desk.apply()
    assert answer.code == 0, answer
    machines = desk.machines()
    assert set(machines) == {"web-1", "db-1", "shop-1"}
    config = machines["web-1"]["config"]
    assert (str(config["cores"]), str(config["memory"])) == ("2", "4096")
    assert "size=6G" in config["scsi0"] and "size=10G" in config["scsi2"]
    assert "cloudinit" in config["scsi1"] and config["ciuser"] == "admin" and str(config["ciupgrade"]) == "0"
    assert set(config["tags"].split(";")) == {"client-dupont", "orchestrator"}
    assert str(config["protection"]) == "1" and str(config["onboot"]) == "1"
    addresses = sorted(vm["config"]["ipconfig0"] for vm in machines.values())
    assert addresses == [f"ip=203.0.113.{n}/24,gw=203.0.113.1" for n in (10, 11, 12)]
    assert {vm["status"] for vm in machines.values()} == {"running"}
    assert machines["web-1"]["pool"] == "client-dupont" and machines["shop-1"]["pool"] == "client-martin"
    left = {change["what"] for item in desk.plan()["machines"] for change in item["changes"]}
    assert left == {"firewall"}, "only what happens in the guests, which were left alone"


def test_3_6_a_plan_tells_what_comes_in_and_what_goes_out_one_rule_a_line(desk: Desk) -> None:
    rules = {
        "open": [{"protocol": "esp", "from": ["203.0.113.9"]}],
        "outgoing": [
            {"port": 443, "protocol": "tcp", "to": "any"},
            {"port": 25, "protocol": "tcp", "to": ["10.0.0.25"]},
        ],
    }
    desk.write(subscription("dupont", [machine("web-1", firewall=rules)]))
    answer = desk.run("plan")
    lines = [line.strip() for line in answer.out.splitlines()]
    for told in (
        "+ esp from 203.0.113.9",
        "+ outgoing limited to what is listed, and what the machine needs",
        "+ outgoing tcp 443 to any",
        "+ outgoing tcp 25 to 10.0.0.25",
    ):
        assert any(line.endswith(told) for line in lines), (told, answer)


def test_a_second_apply_makes_no_write(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    desk.fakes["paris"].control("reset_calls")
    assert desk.apply().code == 0
    assert [call for call in desk.fakes["paris"].calls() if not call.startswith("GET ")] == []


def test_memory_of_a_running_machine_waits_for_its_window(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    desk.write(subscription("dupont", [machine("web-1", memory="2GiB")]))
    text = desk.run("plan").out
    assert "1GiB → 2GiB" in text and "restart not planned (no maintenance window agreed)" in text
    assert desk.apply().code == 0
    desk.fakes["paris"].control("reset_calls")
    changes = {c["what"]: c for item in desk.plan()["machines"] for c in item["changes"]}
    assert changes["restart"]["kind"] == "waiting" and "memory 2048" in changes["restart"]["after"]
    answer = desk.apply("--restart-now")
    assert answer.code == 0, answer
    assert any(call.endswith("/status/reboot") for call in desk.fakes["paris"].calls("POST"))
    assert str(desk.machines()["web-1"]["config"]["memory"]) == "2048"
    assert {c["what"] for item in desk.plan()["machines"] for c in item["changes"]} == {"firewall"}


def test_an_address_edit_waits_for_a_restart_also_where_proxmox_keeps_nothing_pending(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    desk.write(subscription("dupont", [machine("web-1", address="203.0.113.99")]))
    assert desk.apply().code == 0
    vm = desk.machines()["web-1"]
    desk.fakes["paris"].control("settle_pending", vmid=vm["vmid"])
    changes = {c["what"]: c for item in desk.plan()["machines"] for c in item["changes"]}
    assert (changes["restart"]["kind"], changes["restart"]["after"]) == ("waiting", "settings of cloud-init")
    assert changes["firewall"]["kind"] == "waiting", (
        "the guest cannot be reached at an address it does not have yet"
    )
    assert desk.apply("--restart-now").code == 0
    assert any(call.endswith("/status/reboot") for call in desk.fakes["paris"].calls("POST"))
    assert {c["what"] for item in desk.plan()["machines"] for c in item["changes"]} == {"firewall"}


def test_a_window_that_closed_meanwhile_is_not_used(desk: Desk, tmp_path: Path) -> None:
    """The plan is made in the window; whoever is asked answers after it."""
    window = {
        "level": "supervision",
        "maintenance_window": {"days": ["tuesday"], "from": "22:00", "to": "23:30"},
    }
    desk.write(subscription("dupont", [machine("web-1")], managed_services=window))
    assert desk.apply().code == 0
    desk.write(subscription("dupont", [machine("web-1", memory="2GiB")], managed_services=window))
    provider = load_provider(desk.folder / "sites.yaml")
    loaded = load([desk.folder / "subscriptions"], provider)
    desired = desired_machines([item.subscription for item in loaded.subscriptions], provider)
    cluster = desk.fakes["paris"].cluster()
    observed = {"paris": observe(cluster, "paris", names={"web-1"})}
    plan = make_plan(desired, observed, dt.datetime(2026, 11, 24, 22, 29, tzinfo=dt.UTC))  # 23:29 in Paris
    assert plan.count(Effect.RESTART) == 1
    with open_history(tmp_path / "h.db") as history:
        journal = Journal(history=history, who="test", why="test", run="r")
        late = dt.datetime(2026, 11, 24, 22, 31, tzinfo=dt.UTC)
        apply_plan(plan, {"paris": cluster}, observed, journal, ssh=None, clock=lambda: late)
        assert not any(call.endswith("/status/reboot") for call in desk.fakes["paris"].calls("POST"))
        assert desk.machines()["web-1"]["pending"]
        observed = {"paris": observe(cluster, "paris", names={"web-1"})}
        in_time = dt.datetime(2026, 11, 24, 22, 29, tzinfo=dt.UTC)
        plan = make_plan(desired, observed, in_time)
        apply_plan(plan, {"paris": cluster}, observed, journal, ssh=None, clock=lambda: in_time)
    assert any(call.endswith("/status/reboot") for call in desk.fakes["paris"].calls("POST"))


def test_the_command_that_restarts_outside_the_window_is_told_whole(desk: Desk) -> None:
    """What takes up new settings at once has to be allowed by name: what the plan names works as it stands there."""
    closed = f"{dt.datetime.now(dt.UTC) + dt.timedelta(days=3):%A}".lower()
    window = {
        "level": "supervision",
        "maintenance_window": {"days": [closed], "from": "10:00", "to": "11:00"},
    }
    for memory in ("1GiB", "2GiB"):
        desk.write(subscription("dupont", [machine("web-1", memory=memory)], managed_services=window))
        assert desk.apply().code == 0
    changes = {c["what"]: c for item in desk.plan()["machines"] for c in item["changes"]}
    why = changes["restart"]["why"]
    assert "`orchestrator apply --only dupont/web-1 --restart-now --allow outside-window:dupont/web-1`" in why
    _, *arguments = why.partition("`")[2].partition("`")[0].split()
    assert desk.run(*arguments, "--yes", "--no-guests").code == 0
    assert str(desk.machines()["web-1"]["config"]["memory"]) == "2048"


def test_disks_grow_and_are_added_in_place(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    vmid = desk.machines()["web-1"]["vmid"]
    disks = [{"name": "system", "size": "8GiB"}, {"name": "logs", "size": "2GiB"}]
    desk.write(subscription("dupont", [machine("web-1", disks=disks)]))
    assert desk.apply().code == 0
    found = desk.machines()["web-1"]
    assert found["vmid"] == vmid
    assert "size=8G" in found["config"]["scsi0"] and "size=2G" in found["config"]["scsi2"]


@pytest.mark.parametrize(
    ("edit", "what", "way_out"),
    [
        ({"disks": [{"name": "system", "size": "3GiB"}]}, "disk system", "cannot shrink"),
        ({"image": "debian-13"}, "image", "never replaced"),
    ],
)
def test_what_cannot_be_done_in_place_is_refused_with_the_way_out(
    desk: Desk, edit: dict[str, object], what: str, way_out: str
) -> None:
    desk.write(subscription("dupont", [machine("web-1"), machine("db-1")]))
    assert desk.apply().code == 0
    before = desk.machines()
    desk.write(subscription("dupont", [machine("web-1", vcpus=4, **edit), machine("db-1", vcpus=2)]))
    planned = desk.run("plan")
    assert planned.code == 1 and way_out in planned.out and f"✗ {what} web-1" in planned.out
    answer = desk.apply()
    assert answer.code == 1
    after = desk.machines()
    assert after["web-1"]["config"] == before["web-1"]["config"], "nothing half-done"
    assert after["db-1"]["pending"] or str(after["db-1"]["config"]["cores"]) == "2", "the others go on"


def test_a_machine_taken_out_of_its_file_is_stopped_and_kept(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1"), machine("old-1")]))
    assert desk.apply().code == 0
    desk.write(subscription("dupont", [machine("web-1")]))
    planned = desk.plan()
    assert planned["summary"]["retire"] == 1 and planned["summary"]["erase"] == 0
    assert desk.apply().code == 0
    old = desk.machines()["old-1"]
    assert old["status"] == "stopped" and "retired" in old["config"]["tags"]
    assert not desk.fakes["paris"].calls("DELETE")
    assert all(item["machine"] != "old-1" or not item["changes"] for item in desk.plan()["machines"])
    desk.write(subscription("dupont", [machine("web-1"), machine("old-1")]))
    assert desk.apply().code == 0
    back = desk.machines()["old-1"]
    assert (back["vmid"], back["status"]) == (old["vmid"], "running")
    assert "retired" not in back["config"]["tags"]


def test_the_day_of_a_retirement_is_the_day_in_paris(desk: Desk, tmp_path: Path) -> None:
    desk.write(subscription("dupont", [machine("web-1"), machine("old-1")]))
    assert desk.apply().code == 0
    desk.write(subscription("dupont", [machine("web-1")]))
    loaded = load([desk.folder / "subscriptions"]).subscriptions
    desired = desired_machines(
        [item.subscription for item in loaded], load_provider(desk.folder / "sites.yaml")
    )
    cluster = desk.fakes["paris"].cluster()
    observed = {"paris": observe(cluster, "paris", names={"web-1"})}
    reviewed = dt.datetime(2026, 11, 23, 22, 50, tzinfo=dt.UTC)  # 23:50 in Paris, on the 23rd
    past_midnight = dt.datetime(2026, 11, 23, 23, 30, tzinfo=dt.UTC)  # 00:30 in Paris, on the 24th
    plan = make_plan(desired, observed, reviewed)
    with open_history(tmp_path / "h.db") as history:
        journal = Journal(history=history, who="test", why="test", run="r")
        apply_plan(plan, {"paris": cluster}, observed, journal, ssh=None, clock=lambda: past_midnight)
    mark = read_mark(desk.machines()["old-1"]["config"]["description"])
    assert mark is not None and mark.retired == dt.date(2026, 11, 24)


def test_a_client_whose_file_is_missing_is_left_alone(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]), subscription("martin", [machine("shop-1")]))
    assert desk.apply().code == 0
    desk.write(subscription("dupont", [machine("web-1")]))
    assert [item["client"] for item in desk.plan()["machines"]] == ["dupont"]


def test_a_machine_of_the_same_name_that_is_not_ours_is_never_touched(desk: Desk) -> None:
    desk.fakes["paris"].control("add_vms", vms=[{"vmid": 300, "name": "web-1", "config": {"memory": "512"}}])
    desk.write(subscription("dupont", [machine("web-1"), machine("db-1")]))
    answer = desk.apply()
    assert answer.code == 1
    assert "VM 300" in answer.out and "not ours" in answer.out and "rename" in answer.out
    vms = desk.fakes["paris"].dump()["vms"]
    assert sorted(vm["name"] for vm in vms.values()) == ["db-1", "debian-12", "web-1"]
    assert vms["300"]["config"].get("tags") is None


def test_an_address_that_a_stranger_has_is_not_given_away(desk: Desk) -> None:
    strangers = [{"vmid": 300, "name": "other", "config": {"ipconfig0": "ip=203.0.113.10/24"}}]
    desk.fakes["paris"].control("add_vms", vms=strangers)
    desk.write(
        subscription("dupont", [machine("web-1")]),
        subscription("martin", [machine("m", address="203.0.113.10")]),
    )
    answer = desk.apply()
    assert answer.code == 1 and "other (VM 300) is configured with 203.0.113.10" in answer.out
    assert desk.machines()["web-1"]["config"]["ipconfig0"].startswith("ip=203.0.113.11/")
    assert "m" not in desk.machines()


def test_drift_is_named_and_set_back(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1", vcpus=2)]))
    assert desk.apply().code == 0
    vm = desk.machines()["web-1"]
    notes = vm["config"]["description"].replace('"slots"', '"ready":true,"slots"')
    desk.fakes["paris"].control("set_config", vmid=vm["vmid"], cores=1, description=notes)
    changes = {c["what"]: c for item in desk.plan()["machines"] for c in item["changes"]}
    assert changes["vCPU"]["drift"] and (changes["vCPU"]["before"], changes["vCPU"]["after"]) == ("1", "2")


def test_what_others_set_beside_ours_in_one_setting_stays(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    fake, vm = desk.fakes["paris"], desk.machines()["web-1"]
    mac = vm["config"]["net0"].split(",")[0]
    six = "ip6=2001:db8::10/64,gw6=2001:db8::1"
    fake.control("set_config", vmid=vm["vmid"], ipconfig0=f"{six},{vm['config']['ipconfig0']}")
    assert "no changes" in desk.run("plan").out, "an IPv6 address beside ours is no difference"
    fake.control(
        "set_config",
        vmid=vm["vmid"],
        net0=f"{mac},bridge=vmbr9,firewall=1,mtu=1400,queues=4,rate=10,tag=9,trunks=2;3",
        ipconfig0=f"{six},ip=203.0.113.10/24,gw=203.0.113.254",
        agent="0,fstrim_cloned_disks=1,type=virtio",
    )
    changes = {c["what"]: (c["before"], c["after"]) for m in desk.plan()["machines"] for c in m["changes"]}
    assert changes["address"] == (
        "203.0.113.10/24 via 203.0.113.254",
        "203.0.113.10/24 via 203.0.113.1",
    ), "the sides of a change never read the same"
    assert desk.apply().code == 0
    vm = desk.machines()["web-1"]
    config = {**vm["config"], **vm["pending"]}
    assert config["net0"] == f"{mac},bridge=vmbr0,firewall=1,mtu=1400,queues=4,rate=10,trunks=2;3"
    assert config["ipconfig0"] == f"{six},ip=203.0.113.10/24,gw=203.0.113.1"
    assert config["agent"] == "1,fstrim_cloned_disks=1,type=virtio"


def test_a_key_exchanged_under_the_same_comment_is_seen(desk: Desk) -> None:
    file = subscription("dupont", [machine("web-1")])
    desk.write(file)
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    old = CLIENT_KEY
    new = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKURtZCucXETzzcQIDs1+Vtfi1dn37SdGSoJus4g4ca4 admin@client"
    file["administration"]["ssh_keys"] = [new]
    desk.write(file)
    (change,) = [c for item in desk.plan()["machines"] for c in item["changes"] if c["what"] == "SSH keys"]
    assert change["before"] == f"admin@client ({fingerprint(old)[:19]}), provider@example"
    assert change["after"] == f"admin@client ({fingerprint(new)[:19]}), provider@example"


def test_a_copy_made_by_hand_is_noticed_instead_of_confused_with_the_original(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    copy = desk.machines()["web-1"]
    desk.fakes["paris"].control("add_vms", vms=[{"vmid": 400, "name": "copy", "config": copy["config"]}])
    answer = desk.run("plan")
    assert answer.code == 1 and "VM 400" in answer.out and "carry the mark" in answer.out


def test_only_limits_plan_and_apply_to_one_machine(desk: Desk) -> None:
    desk.write(
        subscription("dupont", [machine("web-1"), machine("db-1")]), subscription("martin", [machine("m")])
    )
    assert desk.apply("--only", "dupont/db-1").code == 0
    assert set(desk.machines()) == {"db-1"}
    assert desk.run("plan", "--only", "nobody").code == 1
    mistyped = desk.run("plan", "--only", "dupont/bd-1")
    assert mistyped.code == 1 and "has no machine bd-1" in mistyped.err


def test_exit_codes_tell_nothing_changes_and_error_apart(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1", power="stopped")]))
    assert desk.run("plan").code == 0
    assert desk.run("plan", "--detailed-exitcode").code == 2
    assert desk.apply().code == 0
    answer = desk.run("plan", "--detailed-exitcode")
    assert answer.code == 0 and "no changes" in answer.out, answer
    desk.fakes["paris"].control("listen", listening=False)
    assert desk.run("plan", "--detailed-exitcode").code == 1


def test_apply_asks_and_without_an_answer_changes_nothing(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    answer = desk.run("apply")
    assert answer.code == 1 and "--yes" in answer.err
    assert desk.machines() == {}


def test_every_step_is_in_the_history_with_its_task(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1", disks=[{"name": "system", "size": "6GiB"}])]))
    assert desk.apply("--reason", "ticket 4711").code == 0
    answer = desk.run("history", "dupont/web-1")
    lines = answer.out.splitlines()
    for action in ("clone", "configure", "resize scsi0", "start"):
        assert any(action in line and "ticket 4711" in line for line in lines), (action, answer)
    assert sum("UPID:pve1:" in line for line in lines) == 3
    assert desk.run("history", "verify").code == 0
    shown = desk.run("show", "dupont/web-1")
    assert shown.code == 0 and "203.0.113.10" in shown.out and "start" in shown.out


def test_secrets_are_in_no_output_and_in_no_history(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    answer = desk.apply()
    secret = desk.fakes["paris"].token_secret
    told = answer.out + answer.err + desk.run("history", "--format", "json").out + desk.run("plan").out
    assert secret not in told
    stored = b"".join(path.read_bytes() for path in (desk.folder / "state").rglob("*") if path.is_file())
    assert secret.encode() not in stored


def test_new_machines_get_numbers_of_the_sites_range(desk: Desk, fakepve: FakePve) -> None:
    desk.sites["paris"]["vmids"] = "70000-70002"
    desk.write_sites()
    fakepve.add_vms(1, first=70000)
    desk.write(subscription("dupont", [machine("web-1"), machine("web-2")]))
    answer = desk.apply()
    assert answer.code == 0, answer
    made = desk.machines()
    assert {made[name]["vmid"] for name in ("web-1", "web-2")} == {70001, 70002}
    desk.write(subscription("dupont", [machine("web-1"), machine("web-2"), machine("web-3")]))
    answer = desk.apply()
    assert answer.code == 1 and "no VM id is free in 70000-70002" in answer.out + answer.err
    assert "web-3" not in desk.machines()


def test_on_a_node_without_kvm_machines_are_emulated(desk: Desk) -> None:
    desk.sites["paris"]["virtualization"] = "emulated"
    desk.write_sites()
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    assert desk.machines()["web-1"]["config"]["kvm"] in (0, "0")
    desk.put_in_service(firewall=True)
    assert desk.run("plan", "--detailed-exitcode").code == 0


def test_host_keys_that_a_first_boot_makes_late_are_waited_for(desk: Desk, fakepve: FakePve) -> None:
    """The agent answers before cloud-init has made the keys: nobody is trusted until they are there."""
    fakepve.control("guest_agent", answers={})
    sites = desk.folder / "sites.yaml"  # no packet leaves this computer
    sites.write_text(sites.read_text().replace("management:", "management:\n  ssh_proxy_command: 'false'", 1))
    desk.write(subscription("dupont", [machine("web-1")]))
    process = desk.start("apply", "--yes")
    asked = "GET /nodes/pve1/qemu/100/agent/file-read"
    while fakepve.calls().get(asked, 0) < 6:  # twice for each of three kinds of key
        assert process.poll() is None, process.communicate()
    key = {"/etc/ssh/ssh_host_ed25519_key.pub": CLIENT_KEY}
    fakepve.control("guest_agent", answers={"files": key})
    assert process.stdout is not None
    said = next((line for line in process.stdout if "SSH" in line or "failed" in line), "")
    process.kill()
    process.communicate()
    assert "wait for SSH" in said, said


def test_the_examples_are_applied_as_they_are(tmp_path: Path, fakepve: FakePve) -> None:
    """What the README's first command does, but for the guests: nothing is refused, nothing is left to do."""
    with FakePve(site="lyon") as lyon:
        fakes = {"paris": fakepve, "lyon": lyon}
        for fake in fakes.values():
            fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(tmp_path, fakes)
        for number, site in enumerate(("paris", "lyon"), 1):
            net = f"10.77.{number}"
            desk.sites[site]["networks"][0] |= {
                "subnet": f"{net}.0/24",
                "gateway": f"{net}.1",
                "range": f"{net}.20-{net}.200",
            }
        fakepve.add_storage("backup-lyon", content="backup", shared=True)
        desk.sites["paris"]["backup_storages"] = [{"name": "backup-lyon", "site": "lyon"}]
        desk.write_sites()
        examples = str(Path(__file__).parents[2] / "examples")
        answer = desk.run("apply", "--yes", "--no-guests", examples)
        assert answer.code == 0, answer
        made = {*desk.machines("paris"), *desk.machines("lyon")}
        assert made == {"web-1", "db-1", "shop-1"}
