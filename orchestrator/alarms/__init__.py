"""Alarms of supervision (article 3.8.1): from Alertmanager's webhook to one record per event, and what is done then."""
