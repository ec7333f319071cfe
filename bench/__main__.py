"""All measurements, one after the other: ``python -m bench``.

It takes about half an hour on two cores that have nothing else to do: a whole night is among them, and a plan of 10,000
machines against several modelled nodes. Each begins with its name and ends with the time that it took.
"""

import time

from bench import (
    creation,
    estate,
    guests,
    night,
    one,
    plan,
    plan_size,
    records_pages,
    schedule,
    service_level,
    start,
    validate,
    watch,
)


def main() -> None:
    """Measure and print."""
    measurements = (
        start,
        validate,
        plan_size,
        plan,
        one,
        creation,
        estate,
        schedule,
        night,
        watch,
        service_level,
        records_pages,
        guests,
    )
    for measurement in measurements:
        name = measurement.__name__
        print(f"== {name}", flush=True)
        started = time.monotonic()
        measurement.main()
        print(f"== {name} took {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":  # not in the processes that some of them start, which load this module, too
    main()
