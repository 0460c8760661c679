# The image of `lockkeeper serve`; it also runs review and explain.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches benches
RUN cargo build --release --locked --bin lockkeeper

# libc, libm and libgcc_s are all that the binary links.
FROM debian:bookworm-slim
COPY --from=build /src/target/release/lockkeeper /usr/local/bin/lockkeeper
USER 65532:65532
EXPOSE 9443 8080
ENTRYPOINT ["/usr/local/bin/lockkeeper"]
