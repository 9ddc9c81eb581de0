# Random bits of random files: each flip is found and its file named.

# Flips bit $3 of the byte at offset $2 of file $1
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\$(printf %o $((byte ^ (1 << $3))))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# Lines `size path` of what verify must watch, by kind: store, outputs, lists, expected tables, expected lists
watched() {
    local kind=$1
    case $kind in
        0) find out/store -type f ;;
        1) find out/smoke/data out/smoke/figures -type f ;;
        2) find out/smoke -maxdepth 1 -type f ;;
        3) find workspace/data/smoke -type f ;;
        4) find workspace/figures/smoke -type f ;;
    esac | sort | xargs stat -c '%s %n' | grep -v '^0 '
}

# `path offset bit` for each of $1 flips, equally often of every kind; the seed is fixed
chosen() {
    for kind in 0 1 2 3 4; do
        watched $kind | sed "s/^/$kind /"
    done | awk -v n="$1" '
        { n_of = count[$1]++; path[$1, n_of] = $3; size[$1, n_of] = $2 }
        END {
            srand(20260)
            for (i = 0; i < n; i++) {
                kind = i % 5
                file = int(rand() * count[kind])
                print path[kind, file], int(rand() * size[kind, file]), int(rand() * 8)
            }
        }'
}

test_flips() {
    finished out
    cp -r "$scratch/workspace" workspace
    local missed=0 path offset bit name code
    chosen "${FLIPS:-1000}" >flips
    while read -r path offset bit; do
        flip "$path" "$offset" "$bit"
        code=0
        "$ICL" --root workspace verify --sample 0 out >said 2>&1 </dev/null || code=$?
        name=$(basename "$path")
        # an entry of the store is two files of one key; which of them is wrong cannot always be told
        case $path in out/store/*) name=${name%.*} ;; esac
        if [ "$code" = 0 ]; then
            echo "not found: bit $bit at $offset of $path"
            missed=$((missed + 1))
        elif ! grep -qF "$name" said; then
            echo "not named: bit $bit at $offset of $path"
            missed=$((missed + 1))
        fi
        flip "$path" "$offset" "$bit"
    done <flips
    [ "$missed" = 0 ] || fail "$missed of ${FLIPS:-1000} flips were missed"
    exits 0 "$ICL" --root workspace verify --sample 0 out
}
