# The basis service alone: no PyTorch, not root, nothing to write to but the data volume.
FROM python:3.11-slim AS build
WORKDIR /source
RUN python -m venv /opt/sparsegrad && /opt/sparsegrad/bin/pip install --no-cache-dir --upgrade pip
COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY server server
COPY client client
RUN /opt/sparsegrad/bin/pip install --no-cache-dir '.[cluster]'

FROM python:3.11-slim
# A fixed number, so that the owner of the volume's files is known outside the container too.
RUN groupadd --gid 10001 sparsegrad \
 && useradd --uid 10001 --gid sparsegrad --no-create-home --shell /usr/sbin/nologin sparsegrad \
 && install --directory --owner sparsegrad --group sparsegrad --mode 0700 /data /certificates
COPY --from=build /opt/sparsegrad /opt/sparsegrad
ENV PATH=/opt/sparsegrad/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SPARSEGRAD_DATA=/data
USER 10001:10001
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["sparsegrad-server"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
