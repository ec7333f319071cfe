"""Updates in machines that really run, from a repository that this test builds: waves, restarts, the way back.

One lab and one set of machines for the whole module; the tests run in their order and each leaves the machines as the
next one finds them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from lab.network import inside
from tests.api.desk import CLIENT_KEY, machine, subscription
from tests.lab.package_repository import PackageRepository, serving
from tests.lab.stage import CLIENT, PARIS, Stage

pytestmark = pytest.mark.xdist_group("stage")

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
    made.files["dupont"]["managed_services"] = {"level": "supervision"}
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


def test_what_is_due_is_shown_and_installed_in_waves_never_both_members_of_a_pair(
    stage: Stage, repository: PackageRepository
) -> None:
    repository.add("hello-lab", "1.1", part="security", published=1_795_000_000)
    repository.add("kept-lab", "1.1")
    shown = stage.run("updates")
    assert shown.code == 0, shown
    assert "dupont/web-1   on-request   1 security, 1 other" in shown.out
    assert "dupont/web-2   on-request   1 security, 0 other; 1 stay" in shown.out
    answer = stage.run("update", "dupont", "--yes")
    assert answer.code == 0, answer
    assert "wave 1  dupont/web-1  hello-lab 1.0 → 1.1; kept-lab 1.0 → 1.1" in answer.out
    assert "wave 2  dupont/web-2  hello-lab 1.0 → 1.1" in answer.out
    for name in ("web-1.dupont", "web-2.dupont"):
        assert _version(stage, name, "hello-lab") == "1.1"
    assert _version(stage, "web-1.dupont", "kept-lab") == "1.1"
    assert _version(stage, "web-2.dupont", "kept-lab") == "1.0", "excluded by the file"
    assert "no snapshots" in stage.run("snapshot", "list", "dupont/web-1").out
    again = stage.run("update", "dupont", "--check")
    assert again.code == 0 and "dupont/web-1   up to date" in again.out, again
