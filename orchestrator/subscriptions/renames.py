"""What a file may not say of former names (``was``): a name is that of one machine, at one time.

``was`` names what is there under another name. A name that the same file still uses is there as itself: two machines
that swap their names, or follow one another, have no moment at which each name is that of one machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.subscriptions.model import Machine, Subscription
from orchestrator.yaml_reader.checking import Finding
from orchestrator.yaml_reader.places import YamlPath


def a_client_was_not_called_as_it_is(subscription: Subscription) -> Iterator[Finding]:
    """``was`` of the client is another name than its own."""
    if subscription.was == subscription.client:
        found = f"was is {subscription.was}, which is the client's own name"
        yield Finding(("was",), found, "take was out, or name what the client was called before")


def former_names_are_free(subscription: Subscription) -> Iterator[Finding]:
    """``was`` of a machine is the former name of no other, and the name of none."""
    machines = [
        (("services", number, "machines", index), machine)
        for number, service in enumerate(subscription.services)
        for index, machine in enumerate(service.machines)
    ]
    by_name = {machine.name: (path, machine) for path, machine in reversed(machines)}
    first: dict[str, str] = {}
    for path, machine in machines:
        if machine.was is None:
            continue
        place: YamlPath = (*path, "was")
        if machine.was == machine.name:
            found = f"was is {machine.was}, which is the machine's own name"
            yield Finding(place, found, "take was out, or name what the machine was called before")
            continue
        if machine.was in first:
            found = f"{machine.was} is the former name of {first[machine.was]} already"
            yield Finding(place, found, "one machine had that name: take was out of one of the two")
        first.setdefault(machine.was, machine.name)
        if machine.was in by_name:
            other_path, other = by_name[machine.was]
            yield Finding(
                place,
                f"{machine.was}, which {machine.name} was, is the name of a machine of this file",
                _instead(machine, other),
                relies_on=((*other_path, "name"),),
            )


def _instead(machine: Machine, other: Machine) -> str:
    """What to do about a former name that another machine of the file has."""
    if other.was == machine.name:
        return (
            f"two machines cannot swap their names at once: rename {machine.name} to a name that is free and apply, "
            "then the other one, then the first again"
        )
    if other.was is not None:
        return (
            f"rename one after the other: {other.was} to {other.name} only once {machine.was} was renamed to "
            f"{machine.name} and that is applied. If it is, take was out of {machine.name}"
        )
    return f"if it was renamed before, take was out; else take the machine {machine.was} out of the file"
