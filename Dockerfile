# The server in a small image: docker build -t zkdns . && docker run --rm zkdns --version

# trixie: its cargo (1.85) builds the native engine; bookworm's does not. Any base of Debian's with Python 3.11
# or newer and its venv will do.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils cargo gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python3 -m venv /opt/zkdns
COPY constraints.txt pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY native native
COPY zkdns zkdns
# -P: the package that was installed, not the source that lies here. An image without the engine is none.
RUN ZKDNS_BUILD=native /opt/zkdns/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt . \
    && /opt/zkdns/bin/python -P -c "import zkdns._native" \
    && /opt/zkdns/bin/pip uninstall --yes --quiet pip
COPY deploy/image.py ./
RUN python3 image.py /opt/zkdns /image

# Nothing but Python, zkdns and the libraries that they load: no shell, no package manager.
FROM scratch
LABEL org.opencontainers.image.title="zkdns" \
      org.opencontainers.image.description="ZooKeeper registrations as DNS" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image /
ENV PATH=/opt/zkdns/bin PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /var/lib/zkdns
VOLUME /var/lib/zkdns
EXPOSE 53/udp 53/tcp 8053/tcp
# Lives, not ready: whoever restarts what is unhealthy must not do so while ZooKeeper is away.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8053/health', timeout=2)"]
ENTRYPOINT ["zkdns"]
# Port 53 needs no right of its own where net.ipv4.ip_unprivileged_port_start is 0, as Docker sets it.
CMD ["serve", "--listen", "0.0.0.0:53", "--http", "0.0.0.0:8053", "--state", "/var/lib/zkdns"]
