# What CI runs; `just check` before a commit.

check: fmt lint docs test

fmt:
    cargo fmt-check

lint:
    cargo lint

docs:
    RUSTDOCFLAGS="-D warnings" cargo docs

test:
    cargo test --release

demo:
    cargo demo

# Recall and speed of the graph beside the exact scan.
bench:
    cargo bench -p unprompt-benches

# Licenses and advisories; needs cargo-deny.
deny:
    cargo deny check
