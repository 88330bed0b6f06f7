# The images of docker-compose.yaml. They only need Docker, and build with BuildKit and with the older builder.

FROM rust:1.95.0-bookworm AS module
WORKDIR /portcullis
COPY . .
RUN make module
# This label finds images that a build leaves behind: docker image prune --filter label=portcullis.stage
ARG STAGE=module
LABEL portcullis.stage=$STAGE

FROM envoyproxy/envoy:v1.40.0 AS gate
ARG STAGE=gate
LABEL portcullis.stage=$STAGE
# The configuration refers to the module by its path relative to this directory.
WORKDIR /portcullis
COPY --from=module /portcullis/target/portcullis.wasm target/portcullis.wasm
COPY envoy/compose.yaml /etc/envoy/envoy.yaml
# The network `inside` of docker-compose.yaml, without its last byte: the policy trusts the upper half of it.
ARG INSIDE=172.30.2
RUN grep -q '172\.30\.2\.128/25' /etc/envoy/envoy.yaml \
 && sed -i "s|172\.30\.2\.128/25|$INSIDE.128/25|" /etc/envoy/envoy.yaml \
 && chmod -R a+rX /etc/envoy /portcullis
# The official image starts as root and then changes to this user. Starting as this user needs no capability.
USER envoy
CMD ["envoy", "--disable-hot-restart", "-c", "/etc/envoy/envoy.yaml"]

FROM module AS programs
RUN cargo build --release --locked -p portcullis-backend

FROM debian:bookworm-slim AS backend
LABEL portcullis.stage=backend
COPY --from=programs /portcullis/target/release/portcullis-backend /usr/local/bin/
USER nobody
CMD ["portcullis-backend", "--listen", "0.0.0.0:8081"]
