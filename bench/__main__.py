"""All measurements: ``python -m bench``."""

from bench import guests, night, plan, plan_size, schedule, start, validate

for measurement in (start, validate, plan, plan_size, schedule, night, guests):
    measurement.main()
