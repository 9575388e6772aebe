# One image for the sidecar and the control plane; the verb says which:
#   docker run fetchmesh control --listen 0.0.0.0:15010
#   docker run fetchmesh sidecar --service orders --app 127.0.0.1:8080 ...
FROM node:26-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
# Install scripts are off: they fetch runtimes for development, which the image does not need.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json mod.ts ./
COPY scripts/build ./scripts/build
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM oven/bun:1.4.5-slim
WORKDIR /app
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY LICENSE ./
COPY bin ./bin
# The context (CA, certificates, last good configuration) lives here: mount a volume to keep it.
RUN mkdir /data && chown bun:bun /data
ENV FETCHMESH_RUNTIME=bun FETCHMESH_DIR=/data
VOLUME /data
USER bun
# outbound, inbound, inbound h2, health, control. The admin port stays on loopback.
EXPOSE 15001 15006 15008 15021 15010
ENTRYPOINT ["/app/bin/fetchmesh"]
CMD ["--help"]
