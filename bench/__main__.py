"""All measurements: ``python -m bench``."""

from bench import guests, night, plan, schedule, start, validate

for measurement in (start, validate, plan, schedule, night, guests):
    measurement.main()
