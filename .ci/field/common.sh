# What the field tests share. `$scratch/workspace` is a copy of the workspace whose expected files are those of
# `$scratch/reference`, an undisturbed run of the smoke profile.

SKIPPED=77

fail() {
    echo "$*"
    exit 1
}

skip() {
    echo "$*"
    exit "$SKIPPED"
}

# Runs the program on the copied workspace; whoever hangs ends with 124
icl() {
    timeout "${LIMIT:-3600}" "$ICL" --root "$scratch/workspace" "$@"
}

smoke() {
    icl run --profile smoke "$@"
}

# exits CODE COMMAND...: fails unless the command ends with the code
exits() {
    local wanted=$1 code=0
    shift
    "$@" >said 2>&1 || code=$?
    if [ "$code" != "$wanted" ]; then
        tail -n 5 said
        fail "exit code $code, expected $wanted: $*"
    fi
}

# same_root DIR: fails unless DIR/smoke has the root of the undisturbed run
same_root() {
    cmp "$1/smoke/SHA256SUMS" "$scratch/reference/smoke/SHA256SUMS" || fail "$1: another root"
}

# Names below a folder, sorted
listing() {
    (cd "$1" && find . | sort)
}

# same_names DIR: fails unless DIR holds the same names as the undisturbed run
same_names() {
    diff <(listing "$scratch/reference") <(listing "$1") || fail "$1: other files than an undisturbed run"
}

# finished DIR: a copy of the undisturbed run
finished() {
    cp -r "$scratch/reference" "$1"
}

needs_mounts() {
    [ "$(id -u)" = 0 ] || skip "mounts need root"
    mkdir -p probe
    mount -t tmpfs tmpfs probe 2>/dev/null || skip "this machine lets nobody mount"
    umount probe
    rmdir probe
}

needs() {
    command -v "$1" >/dev/null 2>&1 || skip "no $1 on the PATH"
}

# background COMMAND...: the program itself, not a shell around it, so that a signal meets it; $run is its process
background() {
    "$ICL" --root "$scratch/workspace" "$@" >said 2>&1 &
    run=$!
}

# pause LIMIT: sleeps a random time up to LIMIT milliseconds
pause() {
    local ms=$(((RANDOM * 32768 + RANDOM) % $1))
    sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

# prepare ROOT SCRATCH: the copied workspace and the undisturbed run
prepare() {
    scratch=$2
    mkdir "$scratch/workspace"
    (
        cd "$1"
        cp -r --parents Cargo.toml rust-toolchain.toml CHANGELOG.md experiments data/smoke figures/smoke "$scratch/workspace"
    )
    smoke --all --out "$scratch/reference" >"$scratch/log" 2>&1 || true
    icl bless --reason "field test" --profile smoke --out "$scratch/reference" >>"$scratch/log" 2>&1 ||
        { tail -n 5 "$scratch/log"; fail "no reference run"; }
    smoke --all --out "$scratch/reference" >>"$scratch/log" 2>&1 ||
        { tail -n 5 "$scratch/log"; fail "no reference run"; }
}
