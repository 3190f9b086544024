# The agent's image (and the command line's, which is in it). The context holds this file; wheels/: ksnap's own wheel and
# those of its dependencies, made outside; and ksnap-runc, built from runtime/ (CGO_ENABLED=0 go build). No package index
# is reached in here.
#   docker build --build-arg BASE=<image with python3 (3.11 or newer) and pip> .
ARG BASE=docker.io/library/python:3.13-slim

FROM ${BASE} AS build
COPY wheels/ /wheels/
# Compiled here, since nothing can be written later. The files are nobody's to change.
RUN python3 -m pip install --no-index --find-links=/wheels --no-cache-dir --disable-pip-version-check \
        --root-user-action=ignore --target=/opt/ksnap 'ksnap[agent]' \
    && find /opt/ksnap -type d -name tests -prune -exec rm -rf {} + \
    && chmod -R a-w,a+rX /opt/ksnap

FROM ${BASE}
COPY --from=build /opt/ksnap /opt/ksnap
# For the nodes: the chart's node set-up copies it there.
COPY ksnap-runc /opt/ksnap/bin/ksnap-runc
ENV PYTHONPATH=/opt/ksnap PATH=/opt/ksnap/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2
# The chart runs the agent as root without any capability: the kubelet's archives are root's, mode 0600.
USER 65534:65534
ENTRYPOINT ["ksnap"]
CMD ["agent"]
