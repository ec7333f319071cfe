"""A first inventory: questions about each site, with what its cluster has as proposals, and one file at the end."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.doctor.certificate import shake_hands
from orchestrator.errors import OrchestratorError, RequestRefused
from orchestrator.operations.computer import create_file, home_path, replace_file
from orchestrator.operations.events import SILENT, Events
from orchestrator.operations.questions import Ask, Question, value_of
from orchestrator.operations.site_look import SiteLook, certificate_authority, look_at_site
from orchestrator.operations.site_questions import Reached, ask_site, read_names, token_secret
from orchestrator.proxmox.answers import NoAnswer
from orchestrator.proxmox.presented import parse_fingerprint, presented
from orchestrator.sites.access import SecretReference
from orchestrator.sites.loading import FILE_NAME, load_provider
from orchestrator.sites.model import Api, Management
from orchestrator.sites.secrets import SecretUnavailable, resolve
from orchestrator.sites.skeleton import InventoryBeginning, SiteBeginning, inventory_skeleton
from orchestrator.yaml_reader.problems import ProblemsFound
from orchestrator.yaml_reader.public_keys import parse_public_key

_CONNECT_SECONDS = 10.0
_LARGEST_KEY = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Administrator:
    """Who may look at the clusters before the orchestrator's own token is made.

    Attributes:
        token_id: ``USER@REALM!TOKEN``.
        secret: called for its secret, which is kept nowhere.
    """

    token_id: str
    secret: Callable[[], str]


@dataclass(frozen=True, kw_only=True)
class InventoryRequest:
    """Where the inventory goes, and of which sites it is.

    Attributes:
        folder: where; a name without a slash is below ./inventories.
        sites: the sites' URLs, by their names.
        administrator: who looks at the clusters; None: the orchestrator's own token, if it works already.
        look: whether the clusters are looked at.
        overwrite: replace a site file that is there.
    """

    folder: str
    sites: Mapping[str, str]
    administrator: Administrator | None = None
    look: bool = True
    overwrite: bool = False

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder) if "/" in self.folder else Path("inventories") / self.folder


@dataclass(frozen=True, kw_only=True)
class Begun:
    """The inventory that was written.

    Attributes:
        file: the site file.
        name: how `--inventory` finds it from here.
        sites: the sites, each with where its token's secret is looked for.
        ready: sites whose token works already.
        without_backups: sites without a storage for backups.
    """

    file: Path
    name: str
    sites: Mapping[str, tuple[str, str]]
    ready: tuple[str, ...]
    without_backups: tuple[str, ...]


def begin_inventory(request: InventoryRequest, ask: Ask, events: Events = SILENT) -> Begun:
    """Ask what has to be known, and write the inventory. Until then nothing is written.

    Raises:
        OrchestratorError: nothing was written.
    """
    file = request.path / FILE_NAME
    refuse_existing(request)
    if not request.sites:
        raise RequestRefused("no site: name at least one with --site NAME=https://HOST:8006")
    for name, url in request.sites.items():
        read_site(f"{name}={url}")
    files: dict[str, str] = {}
    ready: list[str] = []
    sites: list[SiteBeginning] = []
    for name, url in request.sites.items():
        reached, look = _reach(name, url, request, ask, events, files, ready)
        sites.append(ask_site(name, url, reached, look, [*request.sites], ask))
    beginning = _management(request, ask, sites)
    ask.complete()
    text = inventory_skeleton(beginning)
    _check(text, file, files)
    _write(request, file, text, files)
    return Begun(
        file=file,
        name=request.folder,
        sites={site.name: site.token_secret for site in sites},
        ready=tuple(ready),
        without_backups=tuple(site.name for site in sites if not site.backup_storages),
    )


def refuse_existing(request: InventoryRequest) -> None:
    """Refuse to begin where a site file is already, before anybody answers a question.

    Raises:
        RequestRefused: it is there, and is not to be replaced.
    """
    file = request.path / FILE_NAME
    if (file.exists() or file.is_symlink()) and not request.overwrite:
        raise RequestRefused(f"{file} exists already: name another folder, or pass --force to replace it")


def read_site(text: str) -> tuple[str, str]:
    """Read ``NAME=https://HOST:PORT``.

    Raises:
        RequestRefused: it is not.
    """
    name, sign, url = text.partition("=")
    if not sign:
        raise RequestRefused(
            f"--site {text}: write NAME=https://HOST:8006, such as paris=https://pve.example.net:8006"
        )
    try:
        read_names(name)
    except ValueError as error:
        raise RequestRefused(f"--site {text}: {name!r} is not a name for a site: {error}") from None
    try:
        return name, value_of(Api, "url")(url)
    except ValueError as error:
        raise RequestRefused(f"--site {text}: {error}") from None


def _reach(
    name: str,
    url: str,
    request: InventoryRequest,
    ask: Ask,
    events: Events,
    files: dict[str, str],
    ready: list[str],
) -> tuple[Reached, SiteLook | None]:
    """Find out whom to trust at a site, and look at its cluster, where that may be.

    Args:
        files: gets the certificates that go beside the site file, by name.
        ready: gets the site, if the orchestrator's own token works there.
    """
    token_id = ask(
        Question(
            key="token-id",
            site=name,
            text="Name of the orchestrator's API token",
            default="orchestrator@pve!apply",
            example="orchestrator@pve!apply",
        ),
        value_of(Api, "token_id"),
    )
    source = token_secret(name, ask)
    ca_file = ask(
        Question(
            key="ca-file",
            site=name,
            text="File with the certificates to trust",
            default="",
            example="pve-root-ca.pem",
            asked=False,
        ),
        _existing_file,
    )
    reached = Reached(token_id=token_id, token_secret=source, ca_file=ca_file)
    if not request.look:
        return reached, None
    pem = "" if ca_file else _confirmed(name, url, ask, events)
    if pem is None:
        return reached, None
    with tempfile.TemporaryDirectory() as folder:
        trusted = _kept(Path(folder) / "trusted.pem", pem) if pem else (Path(ca_file) if ca_file else None)
        look = _look(
            name, Api.model_construct(url=url, token_id=token_id, ca_file=trusted), source, request, events
        )
        if look.found is not None and look.own:
            ready.append(name)
        if not pem:
            return reached, look.found
        authority = _authority(name, url, Path(folder), look)
    kept = f"{name}-ca.pem" if authority else f"{name}-certificate.pem"
    files[kept] = authority or pem
    return replace(reached, ca_file=kept), look.found


def _kept(path: Path, pem: str) -> Path:
    path.write_text(pem, encoding="ascii")
    return path


def _confirmed(name: str, url: str, ask: Ask, events: Events) -> str | None:
    """Make sure who answers, before any token is sent.

    Returns:
        The certificate that was confirmed (PEM); empty where the system trusts it; None where nobody answers.

    Raises:
        RequestRefused: it is not the one that was named, or nobody confirms it.
    """
    if shake_hands(url, None, timeout_seconds=_CONNECT_SECONDS).expires is not None:
        return ""
    try:
        shown = presented(url, timeout_seconds=_CONNECT_SECONDS)
    except NoAnswer as error:
        events.notice(f"{name}: not looked at: {error.text}")
        return None
    given = ask(
        Question(
            key="fingerprint",
            site=name,
            text="SHA-256 fingerprint of the server's certificate",
            default="",
            example="AB:CD:…",
            asked=False,
        ),
        lambda text: parse_fingerprint(text) if text else "",
    )
    if given and given != shown.fingerprint:
        raise RequestRefused(
            f"{name}: {url} has a certificate with the fingerprint {shown.fingerprint}, not {given}: nothing was "
            "sent; find out who answers at this address"
        )
    if not given and not ask.agrees(
        f"The certificate of {url} is not signed by anybody whom this computer trusts. Its SHA-256 fingerprint is\n"
        f"  {shown.fingerprint}\n"
        "`pvenode cert info` on the node shows the right one. Are they the same?"
    ):
        raise RequestRefused(
            f"{name}: the certificate of {url} is not trusted; its fingerprint is {shown.fingerprint}: compare it with "
            "`pvenode cert info` on the node and pass it with --fingerprint, or name the cluster's CA with --ca-file"
        )
    return shown.pem


@dataclass(frozen=True, kw_only=True)
class _Looked:
    """How a look went: what was found; with which API and secret; whether by the orchestrator's own token."""

    found: SiteLook | None = None
    api: Api | None = None
    secret: str = ""
    own: bool = False


def _look(name: str, api: Api, source: tuple[str, str], request: InventoryRequest, events: Events) -> _Looked:
    administrator = request.administrator
    try:
        if administrator is not None:
            api = api.model_copy(update={"token_id": administrator.token_id})
            secret = administrator.secret()
        else:
            secret = resolve(SecretReference.model_validate(dict([source])))
    except SecretUnavailable as error:
        events.notice(f"{name}: not looked at, the questions have no proposals: {error}")
        return _Looked()
    try:
        found = look_at_site(name, api, secret)
    except (OrchestratorError, ValueError) as error:
        events.notice(f"{name}: could not be looked at, the questions have no proposals: {error}")
        return _Looked()
    return _Looked(found=found, api=api, secret=secret, own=administrator is None)


def _authority(name: str, url: str, folder: Path, look: _Looked) -> str:
    """The cluster's own CA, if a node tells it and it signed the certificate that was confirmed; else nothing."""
    if look.api is None:
        return ""
    pem = certificate_authority(name, look.api, look.secret)
    if not pem or len(pem) > _LARGEST_KEY or not pem.isascii():
        return ""
    shaken = shake_hands(url, _kept(folder / "authority.pem", pem), timeout_seconds=_CONNECT_SECONDS)
    return pem if shaken.expires is not None else ""


def _existing_file(text: str) -> str:
    if not text:
        return ""
    path = home_path(text).absolute()
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    return str(path)


def _management(request: InventoryRequest, ask: Ask, sites: list[SiteBeginning]) -> InventoryBeginning:
    here = _address_towards(next(iter(request.sites.values())))
    read = value_of(Management, "addresses")

    def addresses(text: str) -> list[str]:
        found = [part for part in text.replace(",", " ").split() if part]
        if not found:
            raise ValueError("name at least one address or network")
        return [_one(read, part) for part in found]

    chosen = ask(
        Question(
            key="management-address",
            text="Where you connect to machines from (addresses and networks; no firewall ever blocks them)",
            default=here,
            example="192.0.2.10/32",
        ),
        addresses,
    )
    user = ask(
        Question(key="user", text="Your account in every machine", default="admin", example="admin"),
        value_of(Management, "user"),
    )
    private, public = ask(
        Question(
            key="ssh-key",
            text="Your private SSH key for the machines",
            default="~/.ssh/id_ed25519",
            example="~/.ssh/id_ed25519",
        ),
        _key_pair,
    )
    return InventoryBeginning(
        addresses=chosen, user=user, ssh_private_key=private, ssh_public_key=public, sites=sites
    )


def _one(read: Callable[[str], str], text: str) -> str:
    from orchestrator.yaml_reader.values import parse_network

    parse_network(text)
    return text


def _address_towards(url: str) -> str | None:
    """The address that this computer has towards a host, as a network of one; None if there is no way."""
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 8006, socket.AF_INET, socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(found[0][4])
            return f"{probe.getsockname()[0]}/32"
    except (OSError, UnicodeError):
        return None


def _key_pair(text: str) -> tuple[str, str]:
    """A private key's path as it was written, and its public half."""
    path = home_path(text)
    if not path.is_file():
        raise ValueError(f"{path} does not exist: make it with `ssh-keygen -t ed25519 -f {path}`")
    beside = path.with_name(path.name + ".pub")
    try:
        with beside.open(encoding="utf-8") as stream:
            public = parse_public_key(stream.read(_LARGEST_KEY).strip()).line
    except (OSError, ValueError):
        raise ValueError(
            f"{beside} holds no public key: write it with `ssh-keygen -y -f {path} > {beside}`"
        ) from None
    return text if text.startswith("~") else str(path.absolute()), public


def _check(text: str, file: Path, files: Mapping[str, str]) -> None:
    """Make sure that the inventory loads.

    Raises:
        ProblemsFound: it does not.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_text(content, encoding="ascii")
        trial = Path(folder) / FILE_NAME
        trial.write_text(text, encoding="utf-8")
        try:
            load_provider(trial)
        except ProblemsFound as error:
            raise ProblemsFound([replace(problem, file=str(file)) for problem in error.problems]) from None


def _write(request: InventoryRequest, file: Path, text: str, files: Mapping[str, str]) -> None:
    """Write the certificates, then the site file; what was written before an error or Ctrl-C is taken away again."""
    made: list[Path] = []
    folders = [folder for folder in (file.parent, *file.parent.parents) if not folder.exists()]
    try:
        for name, content in files.items():
            path = file.with_name(name)
            if not path.exists():
                made.append(path)
            replace_file(path, content, mode=0o644)
        if request.overwrite:
            replace_file(file, text)
        else:
            create_file(file, text)
    except BaseException as error:
        for path in made:
            path.unlink(missing_ok=True)
        for folder in folders:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, FileExistsError):
            refuse_existing(request)
        raise
