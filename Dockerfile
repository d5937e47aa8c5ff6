# syntax=docker/dockerfile:1
# Two stages on one base: what it takes to install stays behind; what runs is Debian slim, an environment and the models.
#
# Pin the base by digest where you build, so that the same commit makes the same image:
#   docker build --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:... .
# (`docker buildx imagetools inspect python:3.11-slim-bookworm` shows the digest of the day.)
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
# What MediaPipe and OpenCV link against (adapters/sandbox/linux.py); building the models imports both, too.
# libturbojpeg0 reads and writes every JPEG (adapters/imaging/native/libturbojpeg.py).
# Their versions are Debian's security team's business, the base image's digest ours.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl1 libgles2 libgl1 libglib2.0-0 libturbojpeg0 \
    && rm -rf /var/lib/apt/lists/*

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/tryon
ENV PATH=/opt/tryon/bin:$PATH
WORKDIR /src
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY domain domain
COPY application application
COPY adapters adapters
COPY entrypoints entrypoints
COPY examples examples
# The models are checked byte by byte against the digests in adapters/vision/models.py.
RUN pip install --no-deps --no-build-isolation . \
    && TRYON_MODEL_DIR=/opt/models tryon-images models install

FROM base
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin tryon \
    && install -d -o tryon -g tryon -m 0700 /data
COPY --from=build /opt/tryon /opt/tryon
COPY --from=build /opt/models /opt/models
# Nothing is written but to /data (SQLite, photos, signing key; unused with PostgreSQL and a bucket) and /tmp.
# MALLOC_ARENA_MAX: glibc keeps an arena for each thread and gives none back.
ENV PATH=/opt/tryon/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2 \
    TRYON_HOST=0.0.0.0 \
    TRYON_DATA_DIR=/data \
    TRYON_MODEL_DIR=/opt/models
USER 10001:10001
VOLUME /data
WORKDIR /
EXPOSE 8000
STOPSIGNAL SIGTERM
# By http.client, which knows no proxy, whatever http_proxy says.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('TRYON_PORT') or 8000), timeout=4); c.request('GET', '/health/ready'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["tryon-images"]
CMD ["serve"]
