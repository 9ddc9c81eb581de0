# Several processes, hosts and containers on one folder.

# all_end_well: every process in $processes ends with 0; their output is in said.*
all_end_well() {
    local process code bad=0
    for process in $processes; do
        code=0
        wait "$process" || code=$?
        [ "$code" = 0 ] || { echo "process $process: exit code $code"; bad=1; }
    done
    [ "$bad" = 0 ] || { tail -n 3 said.*; fail "not all exit codes are 0"; }
}

# many N: N processes compute everything at once
many() {
    processes=
    for i in $(seq "$1"); do
        icl run --all --profile smoke --out out >"said.$i" 2>&1 &
        processes="$processes $!"
    done
    all_end_well
    same_root out
    same_names out
    exits 0 icl verify out
}

test_parallel_two() {
    many 2
}

test_parallel_ten() {
    many 10
}

# Each process has items of its own; together they are all
test_parallel_items() {
    processes=
    local k
    for k in 0 1 2 3; do
        # shellcheck disable=SC2046 # words are ids
        smoke --out out $(find "$scratch/workspace/experiments" -name '*.toml' -printf '%f\n' | sort |
            sed 's/\.toml$//' | awk -v k="$k" 'NR % 4 == k') >"said.$k" 2>&1 &
        processes="$processes $!"
    done
    all_end_well
    same_root out
    same_names out
    exits 0 icl verify out
}

# Process numbers of one container mean nothing in another
test_parallel_namespaces() {
    needs_mounts
    unshare -pf --mount-proc true || skip "no process namespaces"
    finished out
    local round
    for round in $(seq "${NAMESPACE_ROUNDS:-6}"); do
        export -f icl smoke
        export scratch
        unshare -pf --mount-proc bash -c 'smoke fig1-dual-scheme fig2-representation-lens --fresh --out out' >said.a 2>&1 &
        processes=$!
        unshare -pf bash -c 'smoke fig4-transformer-layer-scheme --fresh --out out' >said.b 2>&1 &
        processes="$processes $!"
        unshare -pf --mount-proc bash -c 'smoke fig1-dual-scheme --fresh --shard 1/2 --out out' >said.c 2>&1 &
        processes="$processes $!"
        smoke --all --out out >said.d 2>&1 &
        processes="$processes $!"
        all_end_well
        same_root out
        same_names out
    done
    exits 0 icl verify out
}
