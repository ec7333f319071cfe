"""All measurements: ``python -m bench``."""

from bench import plan, schedule, start, validate

for measurement in (start, validate, plan, schedule):
    measurement.main()
