"""Updates in machines that really run, from a repository that this test builds: waves, restarts, the way back.

One lab and one set of machines for the whole module; the tests run in their order and each leaves the machines as the
next one finds them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest

from lab.network import inside
from tests.api.desk import CLIENT_KEY, machine, subscription
from tests.lab.namespace_guest import eventually
from tests.lab.package_repository import PackageRepository, serving
from tests.lab.stage import CLIENT, PARIS, Stage

UNIT = """[Unit]
Description=A service of the tests
[Service]
ExecStart=/usr/sbin/service-lab
[Install]
WantedBy=multi-user.target
"""
SERVES = "#!/bin/sh\nexec nc -lk 8080\n"
BROKEN = "#!/bin/sh\nexit 1\n"
ENABLE = "systemctl daemon-reload; systemctl enable --quiet service-lab; systemctl restart service-lab"


REBOOT = "touch /run/reboot-required; echo hello-lab >>/run/reboot-required.pkgs"
NO_BOOT = f"ln -sf /lib/systemd/system/emergency.target /etc/systemd/system/default.target; {REBOOT}"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("updates"))
    opened = {"open": [{"port": 8080, "protocol": "tcp", "from": "any"}]}
    machines = [
        machine("web-1", memory="512MiB", firewall=opened, apart_from=["web-2"]),
        machine("web-2", memory="512MiB", firewall=opened, updates={"exclude": ["kept-*"]}),
    ]
    made.files = {"dupont": subscription("dupont", machines)}
    made.files["dupont"]["administration"] = {
        "ssh_keys": [CLIENT_KEY],
        "allowed_from": [f"{PARIS}{CLIENT}/32"],
    }
    days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    made.files["dupont"]["managed_services"] = {
        "level": "supervision",
        "updates": "automatic",
        "maintenance_window": {"days": days, "from": "12:00", "to": "11:59"},
    }
    made.open()
    try:
        made.write()
        answer = made.run("apply", "--yes")
        assert answer.code == 0, answer
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def repository(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackageRepository]:
    """The repository, and the machines with version 1.0 of its packages."""
    made = PackageRepository(tmp_path_factory.mktemp("repository") / "packages")
    service = {"/lib/systemd/system/service-lab.service": UNIT, "/usr/sbin/service-lab": SERVES}
    packages = [
        made.add("hello-lab", "1.0", part=""),
        made.add("kept-lab", "1.0", part=""),
        made.add("service-lab", "1.0", part="", files=service, scripts={"postinst": ENABLE}),
    ]
    with serving(made.folder, f"{PARIS}.1", inside=inside(stage.lab.name)) as url:
        for name in ("web-1.dupont", "web-2.dupont"):
            host = stage.inside(name)
            fetch = " ".join(f"{url}/{path.relative_to(made.folder)}" for path in packages)
            script = (
                f"rm -rf /etc/apt/sources.list.d; printf '{made.sources(url)}' > /etc/apt/sources.list; cd /tmp; "
                f"for url in {fetch}; do /usr/lib/apt/apt-helper download-file $url ${{url##*/}}; done; dpkg -i *.deb"
            )
            done = host.run(f"sudo sh -ec {shlex.quote(script)}")
            assert done.rc == 0, done
        yield made


def _version(stage: Stage, name: str, package: str) -> str:
    found: str = stage.inside(name).package(package).version
    return found


def _boot(stage: Stage, name: str) -> str:
    found: str = stage.inside(name).run("cat /proc/sys/kernel/random/boot_id").stdout
    return found


def test_what_was_changed_inside_by_hand_is_shown_in_the_plan_and_undone(stage: Stage) -> None:
    web = stage.inside("web-1.dupont")
    assert stage.run("plan", "--guests", "--detailed-exitcode").code == 0, "a second run changes nothing"
    assert web.service("prometheus-node-exporter").is_running
    address = stage.hostvars("web-1.dupont")["ansible_host"]
    assert stage.connects(f"{PARIS}.1", address, 9100)
    assert not stage.connects(PARIS + CLIENT, address, 9100), "the provider's monitoring alone"

    by_hand = "nft insert rule inet orchestrator input tcp dport 3389 accept; systemctl stop prometheus-node-exporter"
    assert web.run(f"sudo sh -ec '{by_hand}; sed -i /client/d /home/admin/.ssh/authorized_keys'").rc == 0
    assert stage.run("plan", "--detailed-exitcode").code == 0, "nothing of it shows from outside"
    document = json.loads(stage.run("plan", "--guests", "--format", "json").out)
    changes = {c["what"]: c for m in document["machines"] for c in m["changes"] if c["drift"]}
    assert changes["firewall"]["before"] == "+ tcp dport 3389 accept"
    assert changes["supervision"]["before"] == "- prometheus-node-exporter.service running"
    assert "admin@client" in changes["SSH keys"]["before"]
    undone = stage.run("apply", "--yes", "--guests")
    assert undone.code == 0 and "drift: changed outside" in undone.out, undone
    assert "3389" not in web.run("sudo nft list table inet orchestrator").stdout
    assert web.service("prometheus-node-exporter").is_running
    assert "admin@client" in web.run("cat /home/admin/.ssh/authorized_keys").stdout


def test_a_night_installs_what_is_due_in_waves_never_both_members_of_a_pair(
    stage: Stage, repository: PackageRepository
) -> None:
    boots = {name: _boot(stage, name) for name in ("web-1.dupont", "web-2.dupont")}
    repository.add("hello-lab", "1.1", part="security", published=1_795_000_000)
    repository.add("kept-lab", "1.1", scripts={"postinst": REBOOT})
    answer = stage.run("nightly", "--in-working-hours", "--report-dir", "reports", "--language", "en")
    assert answer.code == 0, answer
    events = [json.loads(line) for line in answer.out.splitlines() if line.startswith("{")]
    ended = {e["machine"]: e for e in events if e["event"] == "updated"}
    assert [(name, e["wave"], e["packages"]) for name, e in ended.items()] == [
        ("web-1", 1, 2),
        ("web-2", 2, 1),
    ]
    assert ended["web-1"]["restarted"] and not ended["web-2"]["restarted"]
    for name in ("web-1.dupont", "web-2.dupont"):
        assert _version(stage, name, "hello-lab") == "1.1"
    assert _version(stage, "web-1.dupont", "kept-lab") == "1.1"
    assert _version(stage, "web-2.dupont", "kept-lab") == "1.0", "excluded by the file"
    assert _boot(stage, "web-1.dupont") != boots["web-1.dupont"]
    assert _boot(stage, "web-2.dupont") == boots["web-2.dupont"], "nothing asked for a restart there"
    assert "no snapshots" in stage.run("snapshot", "list", "dupont/web-1").out
    shown = stage.run("updates")
    assert shown.code == 0, shown
    assert "dupont/web-1   automatic   up to date" in shown.out
    assert "dupont/web-2   automatic   up to date; 1 stay" in shown.out
    assert "3 packages installed in 2 updates, on average" in shown.out, (
        "measured from what the mirror says of publication"
    )


def test_an_update_whose_run_was_killed_is_finished_by_the_next_one(
    stage: Stage, repository: PackageRepository
) -> None:
    waits = "until test -e /run/go-on; do sleep 0.2; done"
    repository.add("hello-lab", "1.2", scripts={"postinst": waits})
    web = stage.inside("web-2.dupont")
    running = stage.start("update", "dupont/web-2", "--yes")
    try:
        eventually(
            lambda: web.run("pgrep -f hello-lab.postinst").rc == 0, "the package is being installed", 600
        )
    finally:
        running.kill()
        running.communicate()
    assert "before-update-" in stage.run("snapshot", "list", "dupont/web-2").out, "the way back waits"
    assert web.run("sudo touch /run/go-on").rc == 0
    again = stage.run("update", "dupont/web-2", "--yes")
    assert again.code == 0 and "hello-lab 1.1 → 1.2" in again.out, again
    assert _version(stage, "web-2.dupont", "hello-lab") == "1.2"
    assert "no snapshots" in stage.run("snapshot", "list", "dupont/web-2").out
    repository.withdraw("hello-lab")


def test_an_update_that_breaks_a_service_is_undone_and_the_machine_held_back(
    stage: Stage, repository: PackageRepository
) -> None:
    broken = {"/lib/systemd/system/service-lab.service": UNIT, "/usr/sbin/service-lab": BROKEN}
    repository.add("service-lab", "1.1", files=broken, scripts={"postinst": ENABLE})
    answer = stage.run("update", "dupont", "--yes", "--settle-timeout", "3")
    assert answer.code == 1, answer
    told = answer.out
    assert "rolled-back" in told and "service-lab.service does not run any more" in told
    assert "nothing serves TCP 8080 any more" in told
    assert "not-started  dupont/web-2  wave 1 did not end well (dupont/web-1)" in told
    web = stage.inside("web-1.dupont")
    assert web.package("service-lab").version == "1.0" and web.service("service-lab").is_running
    assert "policy drop" in web.run("sudo nft list table inet orchestrator").stdout
    assert _version(stage, "web-2.dupont", "service-lab") == "1.0"
    held = stage.run("update", "dupont/web-1", "--yes")
    assert held.code == 1 and "tried: service-lab 1.1" in held.out and "--release" in held.out, held
    assert "no changes" in stage.run("plan").out
    history = json.loads(stage.run("history", "dupont/web-1", "--format", "json", "--limit", "1").out)
    assert (history[0]["action"], history[0]["result"]) == ("update", "failed")


def test_a_machine_that_does_not_come_back_from_its_restart_is_brought_back(
    stage: Stage, repository: PackageRepository
) -> None:
    repository.withdraw("service-lab")
    assert stage.run("update", "dupont/web-1", "--yes", "--release").code == 0, "somebody has looked"
    assert "held back" not in stage.run("updates", "dupont/web-1", "--no-refresh").out
    repository.add("hello-lab", "1.3", scripts={"postinst": NO_BOOT})
    answer = stage.run("update", "dupont/web-2", "--yes", "--boot-timeout", "40")
    assert answer.code == 1, answer
    assert "it did not come back from its restart" in answer.out and "rolled-back" in answer.out
    assert _version(stage, "web-2.dupont", "hello-lab") == "1.2"
    assert "no snapshots" in stage.run("snapshot", "list", "dupont/web-2").out
