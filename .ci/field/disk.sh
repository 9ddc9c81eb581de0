# A disk that is full, and paths that lead out of a folder.

test_full_disk() {
    needs_mounts
    mkdir small
    mount -t tmpfs -o size=6m tmpfs small
    exits 2 smoke --all --out small/out
    grep -q 'small/out' said || fail "the message names no file"
    find small -name '.icl-*' -o -name '*.lease' >left
    [ ! -s left ] || { cat left; fail "a full disk leaves temporary files"; }
    mount -o remount,size=200m small
    exits 0 smoke --all --out small/out
    same_root small/out
    same_names small/out
    exits 0 icl verify small/out
}

# Lists of an earlier run that name files elsewhere: those are not ours
test_paths_outside() {
    finished out
    mkdir elsewhere
    echo precious >elsewhere/one
    echo precious >elsewhere/two
    for path in ../../elsewhere/one "$PWD/elsewhere/two"; do
        printf '%064d  %s\n' 0 "$path" >>out/smoke/SHA256SUMS
    done
    # a foreign file has the folder replaced file by file
    echo mine >out/smoke/notes.txt
    smoke --all --out out >said 2>&1 || true
    [ "$(cat elsewhere/one elsewhere/two out/smoke/notes.txt)" = "precious
precious
mine" ] || fail "a file of others is gone"
}

# What stands in the place of an output is judged, not waited for
test_pipe_for_output() {
    finished out
    local output=out/smoke/data/fig1-dual-scheme/claims.json
    rm $output
    mkfifo $output
    local code=0
    LIMIT=60
    icl verify out >said 2>&1 || code=$?
    [ $code = 1 ] || [ $code = 2 ] || fail "verify: exit code $code"
    grep -q claims.json said || fail "verify does not name the pipe"
}

# A folder keeps its permissions when its content is exchanged
test_permissions() {
    finished out
    chmod 2750 out/smoke
    exits 0 smoke fig1-dual-scheme --fresh --out out
    [ "$(stat -c %a out/smoke)" = 2750 ] || fail "permissions 2750 became $(stat -c %a out/smoke)"
}
