"""All measurements: ``python -m bench``."""

from bench import creation, guests, night, one, plan, plan_size, schedule, start, validate

for measurement in (start, validate, plan_size, plan, one, creation, schedule, night, guests):
    measurement.main()
