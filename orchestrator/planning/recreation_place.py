"""How a machine is reached that comes back from its archive: as before where that can be, else as its new site has it.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING

from orchestrator.errors import RequestRefused
from orchestrator.planning.recreation import Place
from orchestrator.resources.attributes import network_of
from orchestrator.resources.observed import addresses_unknown
from orchestrator.resources.static_addresses import addresses_in
from orchestrator.sites.unused_addresses import free_addresses

if TYPE_CHECKING:
    from orchestrator.proxmox import VmConfig
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedSite
    from orchestrator.sites.model import Site, SiteNetwork


@dataclass(frozen=True, kw_only=True)
class PlaceChoice:
    """Chooses how a machine is reached that comes back from its archive.

    Attributes:
        site: where it comes back.
        observed: the same, with the addresses of everybody.
        desired: what its file would ask for there; None if no file says.
        mark: the mark inside the archive.
        inside: the configuration inside it.
        elsewhere: whether it was at another site.
        network, address: what somebody named; the address may be ``auto``. None: nothing.
    """

    site: Site
    observed: ObservedSite
    desired: DesiredMachine | None
    mark: Mark
    inside: VmConfig
    elsewhere: bool
    network: str | None = None
    address: str | None = None

    @property
    def _had(self) -> IPv4Address | None:
        return next(iter(addresses_in(self.inside)), None)

    @property
    def _networks(self) -> dict[str, SiteNetwork]:
        return {network.name: network for network in self.site.networks}

    def choose(self) -> Place | None:
        """Its network and its address; None if they stay.

        Raises:
            RequestRefused: the ones that it had, or that were named, cannot be.
        """
        network = self._network()
        if network is None or self._stays(network):
            return None
        if self.mark.adopted:
            raise RequestRefused(
                f"it was taken over as it is: its address {self.mark.adopted} is set inside its guest and cannot "
                f"be changed from here, and {self.observed.site} does not have it. Restore it in Proxmox, and set "
                "the address in its console"
            )
        return Place(network=network, address=self._address(network), elsewhere=self.elsewhere)

    def _stays(self, network: SiteNetwork) -> bool:
        if self.address is not None or self.network is not None:
            return False
        fits = network_of(self.inside) == (network.bridge, network.vlan)
        address = self.mark.adopted or self._had
        if not fits or (address is not None and address not in network.subnet):
            return False
        if address is not None and (owner := self.observed.register.get(address)):
            raise RequestRefused(
                f"its address {address} is that of {owner} now: give it another one, "
                "--address ADDRESS or --address auto"
            )
        return True

    def _network(self) -> SiteNetwork | None:
        if name := self.network:
            if name not in self._networks:
                raise RequestRefused(
                    f"{self.observed.site} has no network {name}: there are {', '.join(self._networks)}"
                )
            return self._networks[name]
        if self.desired is not None and (self.elsewhere or self.address):
            return self.desired.network
        same = [
            network
            for network in self._networks.values()
            if network_of(self.inside) == (network.bridge, network.vlan)
        ]
        if same or not self.elsewhere:
            return next((item for item in same if self._had is None or self._had in item.subnet), None) or (
                same[0] if same else None
            )
        if len(self._networks) > 1:
            raise RequestRefused(
                f"which network of {self.observed.site}? Name one with --network: {', '.join(self._networks)}"
            )
        return next(iter(self._networks.values()))

    def _address(self, network: SiteNetwork) -> IPv4Address:
        asked = self.address
        named = self.desired.address if self.desired and asked is None else None
        if asked not in (None, "auto"):
            try:
                named = IPv4Address(asked or "")
            except AddressValueError:
                raise RequestRefused(f"--address {asked} is no IPv4 address, and not auto") from None
        taken = self.observed.register
        if named is not None:
            if named not in network.subnet:
                raise RequestRefused(
                    f"{named} is not in the network {network.name} of {self.observed.site} ({network.subnet}): name "
                    "one that is, --address ADDRESS or --address auto"
                )
            if owner := taken.get(named):
                raise RequestRefused(
                    f"{named} is the address of {owner}: name another one, --address ADDRESS"
                )
            return named
        if unknown := addresses_unknown(self.observed):
            raise RequestRefused(
                f"no address of {self.observed.site} is known to be free while these could not be read: "
                f"{', '.join(unknown[:5])}: name one, --address ADDRESS"
            )
        free = next(free_addresses(network, set(taken)), None)
        if free is None:
            raise RequestRefused(
                f"the network {network.name} of {self.observed.site} has no free address left"
            )
        return free
