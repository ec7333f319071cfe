"""All measurements: ``python -m bench``."""

from bench import creation, guests, night, one, plan, plan_size, schedule, service_level, start, validate

if __name__ == "__main__":  # not in the processes that some of them start, which load this module, too
    for measurement in (
        start,
        validate,
        plan_size,
        plan,
        one,
        creation,
        schedule,
        night,
        guests,
        service_level,
    ):
        measurement.main()
