# A long training that is killed, and how much of it is lost.

# long_item STEPS: a stack of two layers as a user's own item: plain, one modification, and the curve
long_item() {
    awk -v steps="$1" '
        /^\[/ { name = $0 }
        /^smoke = / && name == "[steps]" { print "smoke = " steps; next }
        /^smoke = / && name == "[seeds]" { print "smoke = 1"; next }
        /^  \{ title = "(augmented|negative)"/ { next }
        /^  \{ title = "regularised"/ { print "  { title = \"regularised\", modifications = [\"regularised:alpha=1\"] },"; next }
        { print }' "$scratch/workspace/experiments/fig14-two-layers.toml" >"$scratch/workspace/experiments/long.toml"
}

# run_long DIR: what its exit code says of expected files, of which there are none, is not the question here
run_long() {
    icl run long --profile smoke --jobs 1 --out "$1" >said 2>&1 || true
    [ -f "$1/smoke/SHA256SUMS" ] || { tail -n 5 said; fail "$1: no outputs"; }
}

# Milliseconds since the epoch
now() {
    date +%s%3N
}

# SIGKILL in the middle of trainings: the next run goes on from the checkpoint, to the same bits, and what it trains
# again is at most a twentieth of a cell
test_checkpoint() {
    local begin cell killed newest lost
    long_item "${STEPS:-60000}"
    begin=$(now)
    run_long whole
    # three cells of the same training
    cell=$((($(now) - begin) / 3))
    [ "$cell" -ge 20000 ] || fail "a cell took $cell ms, expected 20000 and more; raise STEPS"
    for share in 40 130 220; do
        rm -rf out
        background run long --profile smoke --jobs 1 --out out
        sleep "$(awk -v ms="$cell" -v share="$share" 'BEGIN { print ms * share / 100000 }')"
        kill -9 "$run" 2>/dev/null || fail "the run had ended at $share %"
        killed=$(now)
        wait "$run" 2>/dev/null || true
        newest=$(find out/store -name '*.checkpoint' -printf '%T@\n' | sort -n | tail -n 1)
        [ -n "$newest" ] || fail "no checkpoint at $share % of a cell"
        lost=$(awk -v killed="$killed" -v at="$newest" 'BEGIN { printf "%d", killed - 1000 * at }')
        echo "killed at $share % of a cell: $lost ms of $cell ms since the last checkpoint"
        [ "$((lost * 20))" -le "$cell" ] || fail "$lost ms of a cell of $cell ms are lost"
        run_long out
        cmp whole/smoke/SHA256SUMS out/smoke/SHA256SUMS || fail "other bits after a kill at $share %"
        [ -z "$(find out/store -name '*.checkpoint')" ] || fail "a checkpoint is left"
    done
    rm "$scratch/workspace/experiments/long.toml"
}
