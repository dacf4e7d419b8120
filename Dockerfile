# Routers, workers, Flower and probes of Wake Dispatcher. Holds no configuration and no secret: both come at run time.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY dispatcher ./dispatcher
COPY workers ./workers
RUN python -m venv /opt/wake \
 && /opt/wake/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt ".[flower,http]"

FROM python:3.11-slim
COPY --from=build /opt/wake /opt/wake
ENV PATH=/opt/wake/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WAKE_CONFIG=/srv/wake/wake.toml \
    WAKE_DATA_DIR=/var/lib/wake \
    WAKE_LOGGING_FORMAT=json
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /var/lib/wake wake \
 && install --directory --owner wake --group wake --mode 0700 /var/lib/wake
# A number, so that a platform that refuses root can see that it is none.
USER 10001:10001
WORKDIR /srv/wake
STOPSIGNAL SIGTERM
# Does what runs here live? It asks no server: one that is away is no reason to start everything anew.
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 CMD ["wake", "health", "--live"]
ENTRYPOINT ["wake"]
CMD ["worker"]
