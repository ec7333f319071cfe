"""All measurements: ``python -m bench``."""

from bench import night, plan, schedule, start, validate

for measurement in (start, validate, plan, schedule, night):
    measurement.main()
