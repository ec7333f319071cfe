"""The first file of a client. No network: only files are read, and one is written."""

from __future__ import annotations

import datetime as dt
import difflib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.offers import Offer
from orchestrator.errors import RequestRefused
from orchestrator.operations.computer import create_file
from orchestrator.operations.events import SILENT, Events
from orchestrator.operations.inventory import DEFAULT_FOLDER, open_provider, site_of
from orchestrator.sites.model import Provider, Site
from orchestrator.subscriptions.contract_rules import STAND_IN
from orchestrator.subscriptions.loading import load
from orchestrator.subscriptions.model import Subscription
from orchestrator.subscriptions.skeleton import Beginning, skeleton
from orchestrator.yaml_reader.files import read_text, yaml_files
from orchestrator.yaml_reader.problems import Problem
from orchestrator.yaml_reader.public_keys import parse_public_key
from orchestrator.yaml_reader.reading import read
from orchestrator.yaml_reader.shape import keys_of
from orchestrator.yaml_reader.values import DnsLabel

_LABEL: TypeAdapter[str] = TypeAdapter(DnsLabel)
_ALIKE = 0.8
"""From which likeness on (0 to 1, as :mod:`difflib` has it) two names may be one of them misspelt."""

_USUAL_IMAGE = "debian-12"


@dataclass(frozen=True, kw_only=True)
class NewClientRequest:
    """Whose file, and what is known already.

    Attributes:
        client: the client's name.
        inventory: where the site file is; None: names of sites, images and networks are not checked.
        site: where the machines are; None: the only site.
        offer: that they run under.
        machines: their names.
        image: that they are cloned from; None: the site's first.
        reference: the contract's number; None: a stand-in.
        starts: the first day of the contract (``YEAR-MONTH-DAY``); None: today.
        ssh_keys: files with public SSH keys, one a line.
        allowed_from: addresses and networks that SSH is open to.
        output: the file; None: CLIENT.yaml in ./subscriptions.
    """

    client: str
    inventory: str | None
    site: str | None = None
    offer: str = Offer.ADVANCED.value
    machines: tuple[str, ...] = ("web-1",)
    image: str | None = None
    reference: str | None = None
    starts: str | None = None
    ssh_keys: tuple[Path, ...] = ()
    allowed_from: tuple[str, ...] = ()
    output: Path | None = None


@dataclass(frozen=True, kw_only=True)
class NewClient:
    """The file that was written.

    Attributes:
        file: where.
        alike: clients whose names are so close that one may be the other misspelt.
        agreed: whether the contract's number was given.
        checked: whether sites, images and networks were checked.
    """

    file: Path
    alike: tuple[str, ...]
    agreed: bool
    checked: bool


def new_client(request: NewClientRequest, events: Events = SILENT) -> NewClient:
    """Write a client's first file.

    Raises:
        OrchestratorError: nothing was written.
    """
    for what, name in [("client", request.client), *(("machine", name) for name in request.machines)]:
        _refuse_bad_name(what, name)
    path = request.output or DEFAULT_FOLDER / f"{request.client}.yaml"
    clients = _clients_of(path.parent)
    if request.client in clients:
        raise RequestRefused(
            f"client {request.client} has a file already: {clients[request.client]}; add machines there"
        )
    provider = open_provider(request.inventory) if request.inventory is not None else None
    text = skeleton(_beginning(request, provider))
    _check(path, text, provider, events)
    try:
        create_file(path, text)
    except FileExistsError:
        raise RequestRefused(f"{path} exists already: name another file with --out, or edit it") from None
    return NewClient(
        file=path,
        alike=tuple(difflib.get_close_matches(request.client, clients, cutoff=_ALIKE)),
        agreed=request.reference is not None,
        checked=provider is not None,
    )


def _refuse_bad_name(what: str, name: str) -> None:
    try:
        _LABEL.validate_python(name)
    except ValidationError:
        raise RequestRefused(
            f"{name!r} is not a name for a {what}: lower-case letters, digits and '-', a letter first, 63 at most"
        ) from None


def _clients_of(folder: Path) -> dict[str, str]:
    """The clients of all files of a folder, with their files; also of files that have errors elsewhere."""
    found: dict[str, str] = {}
    if not folder.is_dir():
        return found
    for file in yaml_files([folder]):
        text = file if isinstance(file, Problem) else read_text(file)
        if isinstance(text, Problem) or isinstance(file, Problem):
            continue
        data = read(text, file.shown, keys=keys_of(Subscription), kind="subscription file").data
        client = data.get("client") if isinstance(data, dict) else None
        if isinstance(client, str):
            found.setdefault(client, file.shown)
    return found


def _beginning(request: NewClientRequest, provider: Provider | None) -> Beginning:
    name, site = _site(request, provider)
    images = list(site.images) if site else []
    networks = [network.name for network in site.networks] if site else []
    image = request.image or next(iter(images), _USUAL_IMAGE)
    return Beginning(
        client=request.client,
        reference=request.reference if request.reference is not None else f"{STAND_IN}{request.client}",
        agreed=request.reference is not None,
        starts=_day(request.starts),
        site=name,
        offer=_offer(request.offer),
        machines=request.machines,
        image=image,
        network=networks[0] if len(networks) > 1 else None,
        ssh_keys=[key for file in request.ssh_keys for key in _keys(file)],
        allowed_from=request.allowed_from,
        other_images=[other for other in images if other != image],
        other_networks=networks[1:],
    )


def _site(request: NewClientRequest, provider: Provider | None) -> tuple[str, Site | None]:
    if provider is None:
        if request.site is None:
            raise RequestRefused(
                "at which site are the machines? Name the inventory that has the sites (--inventory, "
                "ORCHESTRATOR_INVENTORY), or a site with --site"
            )
        _refuse_bad_name("site", request.site)
        return request.site, None
    if request.site is None and len(provider.sites) > 1:
        raise RequestRefused(f"at which site? --site is one of {', '.join(provider.sites)}")
    name = request.site or next(iter(provider.sites))
    return name, site_of(provider, name)


def _offer(name: str) -> Offer:
    offers = {str(offer): offer for offer in Offer if offer.terms.carried_out}
    if name not in offers:
        raise RequestRefused(f"there is no offer {name!r}: --offer is one of {', '.join(offers)}")
    return offers[name]


def _day(text: str | None) -> dt.date:
    if text is None:
        return day_in_paris(dt.datetime.now(dt.UTC))
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise RequestRefused(f"--starts {text} is not a date: write YEAR-MONTH-DAY") from None


_LARGEST_KEYS = 256 * 1024


def _keys(file: Path) -> Sequence[str]:
    """The public keys of a file such as authorized_keys, one a line."""
    try:
        with file.open(encoding="utf-8") as stream:
            lines = stream.read(_LARGEST_KEYS).splitlines()
        found = [
            parse_public_key(line.strip()).line for line in lines if line.strip() and line.strip()[0] != "#"
        ]
    except (OSError, ValueError) as error:
        raise RequestRefused(f"--ssh-key {file}: there is no public SSH key to read: {error}") from None
    if not found:
        raise RequestRefused(f"--ssh-key {file}: the file holds no key")
    return found


def _check(path: Path, text: str, provider: Provider | None, events: Events) -> None:
    """Make sure that the file reads back without an error.

    Raises:
        RequestRefused: it does not.
    """
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_text(text, encoding="utf-8")
        today = day_in_paris(dt.datetime.now(dt.UTC))
        problems = load([trial], provider, today=today).problems
    errors = [replace(problem, file=str(path)) for problem in problems if problem.severity == "error"]
    if errors:
        events.problems(errors)
        raise RequestRefused("the file would have errors, nothing was written")
