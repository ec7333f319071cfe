"""The provider's own side: its file, its secrets, its free addresses."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sites import SecretReference, SecretUnavailable, SiteNetwork, free_addresses, load_provider
from orchestrator.sites.secrets import resolve
from orchestrator.yaml_reader import Problem, ProblemsFound, render_problem
from tests.unit.subscription_texts import KEY, marked

SITES = f"""\
management:
  addresses: [192.0.2.10/32]
  ssh_public_key: {KEY}
  ssh_private_key: keys/id_ed25519
sites:
  paris:
    api:
      url: https://pve.example.net:8006
      token_id: orchestrator@pve!apply
      token_secret: {{ env: PVE_PARIS }}
      ca_file: ca.pem
    storage: local
    networks:
      - {{ name: public, bridge: vmbr0, subnet: 203.0.113.0/24, gateway: 203.0.113.1,
           range: 203.0.113.10-203.0.113.200, nameservers: [203.0.113.2] }}
      - {{ name: internal, bridge: vmbr1, vlan: 7, subnet: 10.1.0.0/16, range: 10.1.0.10-10.1.9.200 }}
    images: {{ debian-12: {{ template: debian-12-v3 }} }}
    backup_storages: [{{ name: backup-lyon, site: lyon }}]
    second_sites: {{ lyon: {{ nodes: [pve-l1, pve-l2] }} }}
  lyon:
    api:
      url: https://pve2.example.net:8006/
      token_id: orchestrator@pve!apply
      token_secret: {{ file: secrets/lyon }}
    storage: local
    networks:
      - {{ name: public, bridge: vmbr0, subnet: 198.51.100.0/24, range: 198.51.100.10-198.51.100.20 }}
    images: {{ debian-12: {{ template: debian-12-v3 }} }}
"""

ROOT = Path(__file__).parents[2]


def problems_of(folder: Path, text: str) -> tuple[Problem, ...]:
    (folder / "sites.yaml").write_text(text)
    with pytest.raises(ProblemsFound) as caught:
        load_provider(folder)
    return caught.value.problems


def test_an_inventory_is_read_by_its_folder_or_its_file(tmp_path: Path) -> None:
    (tmp_path / "sites.yaml").write_text(SITES)
    provider = load_provider(tmp_path)
    assert provider == load_provider(tmp_path / "sites.yaml")
    assert provider.sites["paris"].images["debian-12"].template == "debian-12-v3"
    assert provider.sites["lyon"].api.url == "https://pve2.example.net:8006"
    assert provider.sites["paris"].networks[1].subnet == IPv4Network("10.1.0.0/16")


def test_paths_in_an_inventory_are_relative_to_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inv").mkdir()
    (tmp_path / "inv" / "sites.yaml").write_text(SITES)
    monkeypatch.chdir(tmp_path)
    provider = load_provider(Path("inv"))
    assert provider.management.ssh_private_key == tmp_path / "inv" / "keys" / "id_ed25519"
    assert provider.sites["paris"].api.ca_file == tmp_path / "inv" / "ca.pem"
    assert provider.sites["lyon"].api.token_secret.file == tmp_path / "inv" / "secrets" / "lyon"


def test_a_path_from_home_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/engineer")
    (tmp_path / "sites.yaml").write_text(SITES.replace("keys/id", "~/.ssh/id"))
    assert load_provider(tmp_path).management.ssh_private_key == Path("/home/engineer/.ssh/id_ed25519")


def test_the_example_inventory_is_good() -> None:
    assert set(load_provider(ROOT / "inventories" / "example").sites) == {"paris", "lyon"}


def test_an_inventory_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ProblemsFound, match="no such file"):
        load_provider(tmp_path / "absent")


SECRET = "5e1f0d4c-2b1a-4c3d-9e8f-000000000000"


@pytest.mark.parametrize(
    "written",
    [
        f'"{SECRET}"',
        SECRET,
        f"{{ value: {SECRET} }}",
        f"{{ env: {SECRET} }}",
        f"[{SECRET}]",
        f"{{ env: [{SECRET}] }}",
        f'{{ command: "{SECRET}" }}',
        f"\n        value: {SECRET}",
        f"\n        {SECRET}",
        f'"{SECRET}',
        f"{{ env: PVE, value: {SECRET}",
        f"*{SECRET}",
        f"!{SECRET} x",
        f"{{ {SECRET}: x }}",
        f"{{ {SECRET}: x, {SECRET}: y }}",
        SECRET[-12:],  # digits with leading zeros: ambiguous to YAML
    ],
)
def test_a_literal_secret_is_refused_at_its_place_and_never_shown(tmp_path: Path, written: str) -> None:
    text = SITES.replace("{ env: PVE_PARIS }", written)
    problems = problems_of(tmp_path, text)
    assert problems[0].line >= 10
    shown = "".join(render_problem(problem) + str(problem.as_json()) for problem in problems)
    assert SECRET[-12:] not in shown + str(ProblemsFound(problems))


def test_a_literal_secret_is_answered_with_the_three_ways(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, SITES.replace("{ env: PVE_PARIS }", SECRET))
    assert problem.message == "token_secret is written in the file"
    assert all(
        way in problem.allowed
        for way in ("{ env: NAME }", "{ file: PATH }", "{ command: [PROGRAM, ARGUMENT] }")
    )


def test_a_password_under_an_unknown_key_is_not_shown_either(tmp_path: Path) -> None:
    text = SITES.replace("    storage: local\n", "    password: hunter2\n    storage: local\n", 1)
    (problem,) = problems_of(tmp_path, text)
    assert problem.message == "unknown key password"
    assert "hunter2" not in render_problem(problem)


EDITS = [
    # What is replaced in the good file, by what (the place marked), part of the message, the article.
    ("site: lyon }", "site: «paris» }", "storage backup-lyon is at paris, where the machines are", "3.5"),
    ("url: https://pve.example.net:8006", "url: «http://pve.example.net:8006»", "url cannot be", None),
    ("https://pve.example.net:8006", "«https://pve.example.net:99999»", "url cannot be", None),
    ("https://pve.example.net:8006", "«https://pve.example.net:0»", "url cannot be", None),
    ("https://pve.example.net:8006", "«https://pve.example.net:80a»", "url cannot be", None),
    ("https://pve.example.net:8006", "«https://2001:db8::1:8006»", "url cannot be", None),
    ("https://pve.example.net:8006", "«https://[2001:db8::x]:8006»", "url cannot be", None),
    ("https://pve.example.net:8006", "«https://[fe80::1%eth0]:8006»", "url cannot be", None),
    ("https://pve.example.net:8006", "«https://root@pve.example.net:8006»", "url cannot be", None),
    ("https://pve.example.net:8006", "«https://pve.example.net:8006?x=y»", "url cannot be", None),
    ("keys/id_ed25519", "«~nobodyhere/.ssh/id_ed25519»", "ssh_private_key cannot be", None),
    ("keys/id_ed25519", '«"keys/\\0id"»', "ssh_private_key cannot be", None),
    ("template: debian-12-v3", "template: «debian_12»", "template cannot be", None),
    ("template: debian-12-v3", "template: «debian..12»", "template cannot be", None),
    ("addresses: [192.0.2.10/32]", "addresses: [«'::ffff:192.0.2.10'»]", "item 1 of addresses", None),
    ("token_id: orchestrator@pve!apply", "token_id: «root»", "token_id cannot be", None),
    ("token_secret: { env: PVE_PARIS }", "«token_secret»: { env: A, file: b }", "do not fit together", None),
    ("{ env: PVE_PARIS }", "{ env: «A-B» }", "env cannot be", None),
    ("keys/id_ed25519", "«'-----BEGIN PRIVATE KEY-----'»", "ssh_private_key is written in the file", None),
    ("gateway: 203.0.113.1", "gateway: «203.0.114.1»", "gateway cannot be", None),
    ("203.0.113.10-203.0.113.200", "«203.0.113.10-203.0.114.9»", "range cannot be", None),
    ("203.0.113.10-203.0.113.200", "«203.0.113.9-203.0.113.8»", "range cannot be", None),
    ("subnet: 203.0.113.0/24", "subnet: «2001:db8::/32»", "subnet cannot be", None),
    ("name: internal", "name: «public»", "two networks are named public", None),
    ("10.1.0.0/16, range: 10.1.0.10-10.1.9.200", "«203.0.113.0/25», range: 203.0.113.3-203.0.113.4",
     "overlaps", None),
    ("vlan: 7", "vlan: «5000»", "vlan cannot be 5000", None),
    ("images: { debian-12", "images: { «Debian»", 'the name "Debian" is not allowed here', None),
    ("ca_file: ca.pem", "verify_tls: «\"no\"»", 'verify_tls is the text "no"', None),
    ("storage: local", "«storages»: local", "unknown key storages", None),
    ("storage: local\n    networks", "storage: local\n    vmids: «9-1»\n    networks", "vmids cannot be", None),
    ("second_sites: { lyon:", "second_sites: { «paris»:", "the second site of paris is paris itself", "3.2"),
    ("pve-l1, pve-l2", "pve-l1, «pve-l1»", "the node pve-l1 is already at lyon", "3.2"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message", "article"), EDITS)
def test_a_mistake_in_an_inventory_has_its_place(
    tmp_path: Path, old: str, new: str, message: str, article: str | None
) -> None:
    text, place = marked(SITES.replace(old, new, 1))
    (problem,) = problems_of(tmp_path, text)
    assert message in problem.message
    assert problem.article == article
    assert (problem.line, problem.column, problem.end_column) == place


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pve.example.net:8006", "[2001:db8::1]:8006"),
        ("pve.example.net:8006", "pve.example.net"),
        ("pve.example.net:8006", "192.0.2.1:65535/"),
        ("template: debian-12", "template: ubuntu-22.04-template"),
        ("template: debian-12", "template: 9000-Debian"),
    ],
)
def test_what_proxmox_allows_is_allowed(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "sites.yaml"
    assert old in SITES
    path.write_text(SITES.replace(old, new, 1))
    load_provider(path)


def test_a_path_below_what_must_not_be_looked_into_is_a_problem(tmp_path: Path) -> None:
    for path in (Path("x" * 5000), tmp_path / "a\0b", Path("/proc/1/root/x") / ("y" * 300)):
        with pytest.raises(ProblemsFound, match=r"cannot be read|no such file"):
            load_provider(path)


# Free addresses

NETWORK = SiteNetwork.model_validate(
    {
        "name": "n",
        "bridge": "vmbr0",
        "subnet": "10.0.0.0/29",
        "gateway": "10.0.0.1",
        "range": "10.0.0.0-10.0.0.7",
        "nameservers": ["10.0.0.2"],
    }
)


def test_free_addresses_are_lowest_first_without_what_is_reserved_or_taken() -> None:
    free = list(free_addresses(NETWORK, {IPv4Address("10.0.0.4")}))
    assert free == [IPv4Address(f"10.0.0.{host}") for host in (3, 5, 6)]


def test_the_two_addresses_of_a_point_to_point_network_are_both_free() -> None:
    pair = SiteNetwork.model_validate(
        {"name": "n", "bridge": "vmbr0", "subnet": "10.0.0.0/31", "range": "10.0.0.0-10.0.0.1"}
    )
    assert len(list(free_addresses(pair, ()))) == 2


@given(st.sets(st.integers(0, 300).map(lambda host: IPv4Address("10.0.0.0") + host)))
def test_a_free_address_is_in_the_range_and_not_taken(taken: set[IPv4Address]) -> None:
    wide = SiteNetwork.model_validate(
        {"name": "n", "bridge": "b0", "subnet": "10.0.0.0/24", "range": "10.0.0.9-10.0.0.99"}
    )
    free = list(free_addresses(wide, taken))
    assert free == sorted(set(free))
    assert not set(free) & taken
    assert len(free) == 91 - len({address for address in taken if wide.range[0] <= address <= wide.range[1]})


# Secrets


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


def refused(reference: SecretReference) -> str:
    with pytest.raises(SecretUnavailable) as caught:
        resolve(reference)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None and (
        caught.value.__suppress_context__ or caught.value.__context__ is None
    )
    return str(caught.value)


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVE_PARIS", f"{SECRET}\n")
    assert resolve(SecretReference(env="PVE_PARIS")) == SECRET


def test_a_variable_that_is_not_set_is_told_from_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PVE_PARIS", raising=False)
    assert "PVE_PARIS is not set: export" in refused(SecretReference(env="PVE_PARIS"))
    monkeypatch.setenv("PVE_PARIS", "")
    assert "PVE_PARIS is empty" in refused(SecretReference(env="PVE_PARIS"))


def test_a_secret_comes_from_a_file(secret_file: Path) -> None:
    assert resolve(SecretReference(file=secret_file)) == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_can_read_is_refused_with_the_remedy(secret_file: Path, mode: int) -> None:
    secret_file.chmod(mode)
    assert f"chmod 600 {secret_file}" in refused(SecretReference(file=secret_file))


def test_a_file_in_a_folder_that_others_can_write_is_refused(secret_file: Path) -> None:
    secret_file.parent.chmod(0o777)
    assert f"chmod go-w {secret_file.parent}" in refused(SecretReference(file=secret_file))
    secret_file.parent.chmod(0o1777)
    assert resolve(SecretReference(file=secret_file)) == SECRET, (
        "a sticky folder lets nobody replace our file"
    )


def test_a_link_is_followed_where_nobody_else_could_have_put_it(secret_file: Path, tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir(mode=0o700)
    (tmp_path / "safe" / "link").symlink_to("../secret")
    assert resolve(SecretReference(file=tmp_path / "safe" / "link")) == SECRET


def test_a_link_that_leads_through_a_folder_open_to_others_is_refused(
    secret_file: Path, tmp_path: Path
) -> None:
    public = tmp_path / "public"
    public.mkdir()
    public.chmod(0o777)
    (public / "step").symlink_to(secret_file)
    link = tmp_path / "link"
    link.symlink_to(public / "step")
    assert f"chmod go-w {public}" in refused(SecretReference(file=link))


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "circle" in refused(SecretReference(file=tmp_path / "a"))


def test_a_file_or_a_link_of_another_user_is_refused(secret_file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(secret_file)
    # Giving a file away takes root, as the lab does.
    os.chown(link, 12345, 12345, follow_symlinks=False)
    assert "made by another user" in refused(SecretReference(file=link))
    os.chown(secret_file, 12345, 12345)
    assert "belongs to user 12345" in refused(SecretReference(file=secret_file))


def _write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_write(b""), "is empty"),
        (_write(b"\n"), "is empty"),
        (_write(f"user\n{SECRET}\n".encode()), "is not one line"),
        (_write(b"\xff\xfe"), "is not UTF-8"),
        (_write(b"x" * 70_000), "more than 64 KiB"),
        (Path.unlink, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_without_a_secret_is_refused(
    secret_file: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(secret_file)
    assert reason in refused(SecretReference(file=secret_file))


def test_a_folder_or_a_pipe_is_no_secret(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    os.mkfifo(tmp_path / "pipe", mode=0o600)
    assert "is not a file" in refused(SecretReference(file=tmp_path / "pipe"))
    (tmp_path / "folder").mkdir(mode=0o700)
    assert "folder" in refused(SecretReference(file=tmp_path / "folder"))


def _python(code: str) -> SecretReference:
    return SecretReference(command=(sys.executable, "-c", code))


def test_a_secret_comes_from_a_command_without_a_shell() -> None:
    assert resolve(_python(f"print('{SECRET}')")) == SECRET
    assert resolve(SecretReference(command=("echo", "$HOME;x"))) == "$HOME;x"


def test_a_command_that_prints_without_end_or_leaves_something_behind_is_ended() -> None:
    assert "more than 64 KiB" in refused(SecretReference(command=("yes",)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("orchestrator.sites.secrets.COMMAND_SECONDS", 0.2)
        assert "took more than" in refused(SecretReference(command=("sh", "-c", "sleep 2 & echo x")))


def test_a_command_that_fails_is_named_and_its_output_is_not(tmp_path: Path) -> None:
    told = refused(_python(f"import sys; print('{SECRET}'); print('{SECRET}', file=sys.stderr); sys.exit(3)"))
    assert "ended with status 3: run it by hand" in told
    assert "cannot be run" in refused(SecretReference(command=(str(tmp_path / "absent"),)))
    assert "is empty" in refused(_python("pass"))
