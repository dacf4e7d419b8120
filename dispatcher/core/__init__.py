"""The pure core: values and decisions. Knows neither Redis nor Celery nor the wall clock."""
