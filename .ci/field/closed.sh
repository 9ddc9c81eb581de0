# Readers that go away, and standard output that is full.

# readers COMMAND...: the exit code is the same whether somebody reads or not, and there is no panic
readers() {
    local wanted=0
    "$@" >said 2>&1 || wanted=$?
    "$@" 2>error | true
    check_code "${PIPESTATUS[0]}" "$wanted" "$*"
    "$@" 2>error | head -n 1 >/dev/null
    check_code "${PIPESTATUS[0]}" "$wanted" "$*"
    "$@" 2>&1 | true
    check_code "${PIPESTATUS[0]}" "$wanted" "$* (both streams)"
    "$@" 2>&1 | head -n 1 >/dev/null
    check_code "${PIPESTATUS[0]}" "$wanted" "$* (both streams)"
    local code=0
    "$@" >/dev/full 2>error || code=$?
    check_code "$code" 2 "$* (full disk)"
}

check_code() {
    if [ "$1" != "$2" ] || grep -qi panicked error; then
        cat error
        fail "exit code $1, expected $2: $3"
    fi
}

test_closed_pipes() {
    set +e
    finished out
    : >error
    readers icl list
    readers icl list --json
    readers icl show fig3-linear
    readers icl verify out
    readers icl verify --json out
    readers icl doctor --out out
    readers smoke --all --out out
    readers smoke fig1-dual-scheme --fresh --out out
    same_root out
}
