# One image for CPU and GPU: the torch wheel carries CUDA. Build: docker build -t tingxie .
ARG PYTHON_VERSION=3.11.14

FROM python:${PYTHON_VERSION}-slim-trixie AS tools
ARG UV_VERSION=0.13.9
RUN pip install --no-cache-dir "uv==${UV_VERSION}"

# The part of the lock that is torch and CUDA. Its text seldom changes, so its layer of several GB is seldom made anew.
FROM tools AS locks
COPY requirements.lock /locks/all.lock
RUN awk '/^[a-z0-9]/ { keep = /^(torch|triton)==|^(nvidia|cuda)-/ } keep && !/^ *#/' /locks/all.lock > /locks/torch.lock

FROM tools AS wheel
WORKDIR /src
COPY LICENSE README.md pyproject.toml ./
COPY consumer consumer
RUN uv build --wheel --out-dir /wheel

FROM python:${PYTHON_VERSION}-slim-trixie
LABEL org.opencontainers.image.title="tingxie" \
      org.opencontainers.image.description="Recordings land in a bucket, transcripts come out of a Kafka topic" \
      org.opencontainers.image.licenses="Apache-2.0"

# Nothing can be compiled later: the root filesystem is read-only and its files belong to root.
ENV PATH=/opt/tingxie/bin:$PATH \
    VIRTUAL_ENV=/opt/tingxie \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# Layers from what changes least to what changes most; uv and its cache are mounted and leave nothing behind.
RUN --mount=from=tools,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    --mount=from=locks,source=/locks/torch.lock,target=/locks/torch.lock \
    --mount=type=cache,target=/root/.cache/uv \
    uv venv --python /usr/local/bin/python3 "$VIRTUAL_ENV" \
    && uv pip install --no-deps --require-hashes -r /locks/torch.lock
RUN --mount=from=tools,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    --mount=from=locks,source=/locks/all.lock,target=/locks/all.lock \
    --mount=type=cache,target=/root/.cache/uv \
    uv pip sync --require-hashes /locks/all.lock
RUN --mount=from=tools,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    --mount=from=wheel,source=/wheel,target=/wheel \
    uv pip install --no-cache --no-deps /wheel/*.whl \
    && install -d -o 10001 -g 10001 /models /spool

# HOME and numba's cache: libraries write there, and a read-only root leaves them nowhere else to.
ENV HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba \
    MODELSCOPE_CACHE=/models \
    TINGXIE_LIMITS__SPOOL_DIR=/spool \
    TINGXIE_TELEMETRY__PORT=9464 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /tmp
VOLUME ["/models", "/spool"]
EXPOSE 9464

# The first start downloads the models before there is anything to ask.
HEALTHCHECK --interval=15s --timeout=5s --start-period=15m --retries=4 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['TINGXIE_TELEMETRY__PORT'] + '/live', timeout=4)"]

ENTRYPOINT ["tingxie"]
CMD ["run"]
