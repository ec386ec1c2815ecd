# Locust and what it needs to speak to Shortlist: a tool for trying things out, not for production.
FROM python:3.11-slim-bookworm
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /load
COPY constraints.txt ./
RUN pip install -c constraints.txt grpcio locust protobuf
COPY protos protos
COPY loadtest/locust loadtest/locust
USER 65532:65532
ENV PYTHONPATH=/load
EXPOSE 8089
ENTRYPOINT ["locust", "--locustfile", "loadtest/locust/locustfile.py"]
