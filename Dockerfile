# syntax=docker/dockerfile:1
# keyswap as a container: the proxy, the Secret API, or both. No key is inside; /data and /certs are volumes. No shell, no package
# manager, no root: Node, the libraries it is linked to, keyswap. `npm run image:check` builds and runs the same without an engine.

FROM node:26-bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY package.json package-lock.json ./
COPY tools tools
# The image brings its own Node: the workspace that carries one for development is left out.
RUN npm ci --workspaces=false --include-workspace-root --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev --workspaces=false --include-workspace-root --ignore-scripts
COPY deploy/image/assemble deploy/image/assemble
RUN deploy/image/assemble "$(command -v node)" /src /rootfs

FROM scratch
LABEL org.opencontainers.image.title="keyswap" \
      org.opencontainers.image.description="An egress substitution proxy" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /rootfs /
WORKDIR /app
ENV NODE_ENV=production \
    KEYSWAP_DATA_DIR=/data \
    KEYSWAP_CERTS_DIR=/certs \
    KEYSWAP_PROXY_LISTEN=0.0.0.0:8080 \
    KEYSWAP_API_LISTEN=0.0.0.0:8181 \
    KEYSWAP_ADMIN_LISTEN=0.0.0.0:8182
USER 65532:65532
VOLUME ["/data", "/certs"]
EXPOSE 8080 8181 8182
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["/usr/bin/node", "-e", "fetch('http://127.0.0.1:8182/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["/usr/bin/node", "/app/dist/main.js"]
CMD ["start"]
