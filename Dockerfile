# The server in a small image: docker build -t zkdns . && docker run --rm zkdns --version

# trixie: its cargo (1.85) builds the native engine; bookworm's does not.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends cargo libc6-dev gcc libcap2-bin \
    && rm -rf /var/lib/apt/lists/*
# --copies: the capability below goes to a Python of zkdns' own, not to the system's.
RUN python -m venv --copies /opt/zkdns
WORKDIR /src
COPY constraints.txt pyproject.toml MANIFEST.in README.md LICENSE ./
COPY native native
COPY zkdns zkdns
RUN /opt/zkdns/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt . \
    && /opt/zkdns/bin/python -c "import zkdns._native" \
    && /opt/zkdns/bin/pip uninstall --yes --quiet pip

FROM ${BASE}
LABEL org.opencontainers.image.title="zkdns" \
      org.opencontainers.image.description="ZooKeeper registrations as DNS" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/zkdns /opt/zkdns
# Port 53 without root. Set in this layer: a copy from another stage may lose the attribute.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libcap2-bin \
    && setcap cap_net_bind_service=+ep /opt/zkdns/bin/python \
    && apt-get purge -y --auto-remove libcap2-bin \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65532 -g 65532 /var/lib/zkdns
ENV PATH=/opt/zkdns/bin:$PATH PYTHONUNBUFFERED=1
USER 65532:65532
VOLUME /var/lib/zkdns
EXPOSE 53/udp 53/tcp 8053/tcp
# Lives, not ready: whoever restarts what is unhealthy must not do so while ZooKeeper is away.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8053/health', timeout=2)"]
ENTRYPOINT ["zkdns"]
CMD ["serve", "--listen", "0.0.0.0:53", "--http", "0.0.0.0:8053", "--state", "/var/lib/zkdns"]
