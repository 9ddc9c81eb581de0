# Runs that are ended at random moments, and what they leave.

# SIGKILL again and again; the next run takes over, and the last one ends as if nothing had happened
test_kills() {
    local kills=${KILLS:-100} done=0 code
    RANDOM=1
    while [ "$done" -lt "$kills" ]; do
        background run --all --profile smoke --out out
        pause "${KILL_WITHIN_MS:-6000}"
        if kill -9 "$run" 2>/dev/null; then done=$((done + 1)); fi
        code=0
        wait "$run" 2>/dev/null || code=$?
        if [ "$code" = 0 ]; then
            same_root out
            same_names out
            rm -rf out
        elif [ "$code" != 137 ]; then
            tail -n 5 said
            fail "exit code $code after $done kills"
        fi
    done
    exits 0 icl run --all --profile smoke --out out
    same_root out
    same_names out
    exits 0 icl verify out
}

# ended SIGNAL CODE: ends runs by the signal
ended() {
    local code i=0
    while [ $i -lt "${ROUNDS:-10}" ]; do
        background run --all --profile smoke --out out
        until [ -d out/store ] || ! kill -0 "$run" 2>/dev/null; do sleep 0.02; done
        pause "${KILL_WITHIN_MS:-6000}"
        kill -"$1" "$run" 2>/dev/null || true
        code=0
        wait "$run" 2>/dev/null || code=$?
        if [ "$code" = 0 ]; then
            rm -rf out
            continue
        fi
        i=$((i + 1))
        [ "$code" = "$2" ] || fail "$1: exit code $code, expected $2"
        find out -name '.icl-*' -o -name '*.lease' -o -name '*.part' >left
        [ ! -s left ] || { cat left; fail "$1 left temporary files"; }
    done
}

test_signal_int() {
    RANDOM=2
    ended INT 130
}

test_signal_term() {
    RANDOM=3
    ended TERM 143
}
