# Files of others in our folders: they stay, and stop nothing.

ITEM=fig1-dual-scheme

test_editor_files() {
    cp -r "$scratch/workspace" workspace
    printf '\0\005\026\007\0\002\0\0Mac OS X        \0\002\260' >workspace/experiments/._fig3-linear.toml
    ln -s me@host.1:1 workspace/experiments/.#fig3-linear.toml
    echo text >workspace/experiments/fig3-linear.toml~
    echo text >'workspace/experiments/#fig3-linear.toml#'
    mkdir workspace/experiments/x.toml
    # the estimated minutes change from call to call
    icl list | awk '{ print $1 }' >wanted
    "$ICL" --root workspace list | awk '{ print $1 }' >found
    diff wanted found || fail "items of an editor are listed"
    finished out
    exits 0 "$ICL" --root workspace run --all --profile smoke --out out
    exits 0 "$ICL" --root workspace verify out
}

# Names that look like ours are not
test_part_files() {
    mkdir -p out/dl/.cache.part out/store/ab far
    for path in out/dl/.movie.part out/dl/.backup.tar.part out/dl/.cache.part/f out/.icl-1-2.part \
        out/store/ab/.download.part out/store/notes.part far/.book.part; do
        echo precious >"$path"
    done
    ln -s ../far out/link
    find out far -type f | sort >before
    exits 0 smoke $ITEM --out out
    while read -r path; do
        [ "$(cat "$path")" = precious ] || fail "$path is gone or changed"
    done <before
}

test_probe_files() {
    local name
    for name in layer.probe layer.part layer.tmp .layer.safetensors.part probe; do echo precious >$name; done
    exits 0 icl train --task linear --steps 2 --batch 16 --n-test 16 --test-every 2 --out layer.safetensors
    mkdir r
    echo precious >r/probe
    icl doctor --out r >said 2>&1 || true
    for name in layer.probe layer.part layer.tmp .layer.safetensors.part probe r/probe; do
        [ "$(cat $name)" = precious ] || fail "$name is gone or changed"
    done
    [ "$(ls -A r)" = probe ] || fail "doctor left something"
}

test_symlink_cycle() {
    mkdir -p out/store
    ln -s . out/a
    ln -s . out/b
    ln -s . out/store/c
    ln -s .. out/store/d
    LIMIT=120
    exits 0 smoke $ITEM --out out
    exits 1 icl verify out
    grep -q 'store/c' said || fail "verify does not name the foreign link"
}

# Foreign files among outputs stay; one in the way is refused, by name
test_foreign_outputs() {
    finished out
    echo mine >out/smoke/notes.txt
    echo mine >out/smoke/data/$ITEM/notes.txt
    smoke fig2-representation-lens --fresh --out out >said 2>&1 || true
    [ "$(cat out/smoke/notes.txt out/smoke/data/$ITEM/notes.txt)" = "mine
mine" ] || fail "a foreign file is gone"
    code=0
    icl verify out >said 2>&1 || code=$?
    [ "$code" = 1 ] || fail "verify: exit code $code"
    grep -q "data/$ITEM/notes.txt" said || fail "verify does not name it"
}
