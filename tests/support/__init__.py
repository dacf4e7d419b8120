"""What several tests share: real servers, gates, builders. Nothing here stands in for Redis or Celery."""
