"""Template 9000 of a node, made of the guest image as a provider would make it: through the API."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from lab.api.access import ROOT_TOKEN, Credentials
from lab.certificates import Certificates
from lab.daemon import LabError
from lab.image import DEFAULT_CACHE
from lab.inventory import BRIDGE, TEMPLATE
from lab.kvm import kvm_works
from lab.qemu import EMULATED_CPU
from lab.settings import LabSettings, SiteSettings

VMID = 9000
_SECONDS = 300.0
_IMPORTED = "debian-12.qcow2"


def ensure_templates(settings: LabSettings, image: Path) -> None:
    """Give every node template 9000, where it has none.

    Raises:
        LabError: a node refused.
    """
    emulated = {} if asyncio.run(kvm_works(DEFAULT_CACHE)) else {"kvm": 0, "cpu": EMULATED_CPU}
    for site in settings.sites:
        with Api(settings, site) as api:
            if not _is_template(api):
                _remove_unfinished(api)
                _make(api, settings, image, emulated)


def import_folder(settings: LabSettings, site: SiteSettings) -> Path:
    """Where a site's storage `local` keeps images to import."""
    return settings.site_dir(site) / "local" / "import"


class Api:
    """A node's API, called as root's token; a context manager over one kept connection."""

    def __init__(self, settings: LabSettings, site: SiteSettings) -> None:
        trust = ssl.create_default_context(cafile=str(Certificates(settings.state_dir).ca))
        self._connection = http.client.HTTPSConnection(
            settings.address, site.port, context=trust, timeout=_SECONDS
        )
        secret = Credentials(settings.state_dir).root_token_file.read_text()
        self._authorization = f"PVEAPIToken={ROOT_TOKEN}={secret}"
        self.site = site

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, method: str, path: str, **parameters: object) -> Any:
        """Make one call and return its `data`.

        Raises:
            LabError: it was refused.
        """
        body = urlencode(parameters) if method in ("POST", "PUT") else None
        headers = {"Authorization": self._authorization}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, f"/api2/json{quote(path)}", body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != http.client.OK:
            raise LabError(
                f"{self.site.node}: {method} {path}: {answer.status} {answer.reason} {content.decode()}"
            )
        return json.loads(content)["data"]

    def run(self, method: str, path: str, **parameters: object) -> None:
        """Make a call that starts a task, and wait for the task's end.

        Raises:
            LabError: the call was refused, or the task failed.
        """
        upid = self.call(method, path, **parameters)
        deadline = time.monotonic() + _SECONDS
        while True:
            status = self.call("GET", f"/nodes/{self.site.node}/tasks/{upid}/status")
            if status["status"] == "stopped":
                break
            if time.monotonic() > deadline:
                raise LabError(f"{self.site.node}: {upid} did not end within {_SECONDS:.0f} s")
            time.sleep(0.1)
        if status["exitstatus"] != "OK":
            raise LabError(f"{self.site.node}: {method} {path}: {status['exitstatus']}")


def _is_template(api: Api) -> bool:
    listed = api.call("GET", "/cluster/resources")
    return any(item.get("vmid") == VMID and item.get("template") == 1 for item in listed)


def _remove_unfinished(api: Api) -> None:
    """Take away what a start that was killed has left of the template."""
    with suppress(LabError):
        api.run("DELETE", f"/nodes/{api.site.node}/qemu/{VMID}")


def _make(api: Api, settings: LabSettings, image: Path, emulated: dict[str, object]) -> None:
    folder = import_folder(settings, api.site)
    folder.mkdir(parents=True, exist_ok=True)
    imported = folder / _IMPORTED
    imported.unlink(missing_ok=True)
    try:
        os.link(image, imported)
    except OSError:  # another file system
        shutil.copyfile(image, imported)
    path = f"/nodes/{api.site.node}/qemu"
    api.run(
        "POST",
        path,
        vmid=VMID,
        name=TEMPLATE,
        tags="image",
        ostype="l26",
        memory=512,
        cores=1,
        scsihw="virtio-scsi-pci",
        scsi0=f"local:0,import-from=local:import/{_IMPORTED},format=qcow2",
        boot="order=scsi0",
        net0=f"virtio,bridge={BRIDGE}",
        agent="enabled=1",
        serial0="socket",
        vga="serial0",
        **emulated,
    )
    api.run("POST", f"{path}/{VMID}/template")
    imported.unlink()
