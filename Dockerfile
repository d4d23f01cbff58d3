# syntax=docker/dockerfile:1
# docker build -t tunegate .                                    CPU
# docker build -t tunegate --build-arg TORCH_VARIANT=cu130 .    CUDA 13.0
ARG PYTHON=3.11-slim

FROM python:${PYTHON} AS build
ARG TORCH_VARIANT=cpu
# Of pyproject.toml: postgres, and s3, gs or az for the object store.
ARG EXTRAS=postgres
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
RUN python -m venv .venv
# Dependencies alone first: they change far less often than the code. The variant's
# own index comes beside the usual one; its wheels (2.13.0+cpu) win over the plain ones.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN .venv/bin/pip install -c constraints.txt pip \
    && .venv/bin/pip install -c constraints.txt torch==2.13.0 \
        --extra-index-url "https://download.pytorch.org/whl/${TORCH_VARIANT}" \
    && mkdir detectors trial service benchmark \
    && .venv/bin/pip install -c constraints.txt -e ".[${EXTRAS}]"
COPY . .
RUN .venv/bin/pip install --no-deps -c constraints.txt -e . \
    && .venv/bin/python -m compileall -q detectors trial service

FROM python:${PYTHON}
# OpenMP is what torch and scikit-learn compute with.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --shell /usr/sbin/nologin tunegate \
    && install -d -o tunegate /data
COPY --from=build /app /app
WORKDIR /app
# Where the demo writes; everything else under /app is read-only to the service.
RUN install -d -o tunegate reports
ENV PATH=/app/.venv/bin:$PATH \
    HF_HUB_OFFLINE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TOKENIZERS_PARALLELISM=false \
    TUNEGATE_DATA_DIR=/data \
    TUNEGATE_HOST=0.0.0.0 \
    TUNEGATE_PORT=8000
USER tunegate
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['TUNEGATE_PORT'] + '/healthz', timeout=4)"]
CMD ["tunegate", "serve"]
