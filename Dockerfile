# The three images: `make image`. The programs are static (`make static`) and need nothing beside them, so there is nothing else in them, no shell
# either. The context is target/x86_64-unknown-linux-gnu.
ARG VERSION=unknown
ARG REVISION=unknown

FROM scratch AS sidecar
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="pushscale-sidecar" \
      org.opencontainers.image.description="Reads TorchServe's local ports and pushes what it saw" \
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
      org.opencontainers.image.description="Averages over the pods, decides, and writes the replica count" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY release/pushscale-aggregator /pushscale-aggregator
USER 65532:65532
EXPOSE 8490 8491
ENTRYPOINT ["/pushscale-aggregator"]

FROM scratch AS injector
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="pushscale-injector" \
      org.opencontainers.image.description="Puts the sidecar into pods that ask for it" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY release/pushscale-injector /pushscale-injector
USER 65532:65532
EXPOSE 8493 8494
ENTRYPOINT ["/pushscale-injector"]
