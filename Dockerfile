# The four images; `make image` builds them. The programs are linked statically (`make static`), so an image contains
# one file and no shell. The build context is target/x86_64-unknown-linux-gnu, or target/aarch64-unknown-linux-gnu for
# arm64.
ARG VERSION=unknown
ARG REVISION=unknown

FROM scratch AS sidecar
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="pushscale-sidecar" \
      org.opencontainers.image.description="Scrapes TorchServe's local ports and pushes readings to the aggregator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY sidecar/pushscale-sidecar /pushscale-sidecar
USER 65532:65532
EXPOSE 8492
ENTRYPOINT ["/pushscale-sidecar"]

FROM scratch AS aggregator
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="pushscale-aggregator" \
      org.opencontainers.image.description="Receives readings, decides, and writes replica counts" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY release/pushscale-aggregator /pushscale-aggregator
USER 65532:65532
EXPOSE 8490 8491
ENTRYPOINT ["/pushscale-aggregator"]

FROM scratch AS certificates
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="pushscale-certificates" \
      org.opencontainers.image.description="Issues and renews certificates, and publishes their CA" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY release/pushscale-certificates /pushscale-certificates
USER 65532:65532
EXPOSE 8495
ENTRYPOINT ["/pushscale-certificates"]

FROM scratch AS injector
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="pushscale-injector" \
      org.opencontainers.image.description="Mutating webhook that adds the sidecar to pods" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY release/pushscale-injector /pushscale-injector
USER 65532:65532
EXPOSE 8493 8494
ENTRYPOINT ["/pushscale-injector"]
