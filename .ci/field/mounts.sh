# Folders of outputs that cannot be exchanged as a whole.

# overlay LOWER MERGED: mounts LOWER below a fresh upper layer
overlay() {
    mkdir -p "$2" upper-layer
    mount -t tmpfs tmpfs upper-layer
    mkdir upper-layer/u upper-layer/w
    mount -t overlay overlay -o "lowerdir=$1,upperdir=upper-layer/u,workdir=upper-layer/w" "$2" ||
        skip "no overlay file system"
}

# replaced OUT: runs replace what stands in OUT/smoke, damaged or not
replaced() {
    exits 0 smoke --all --out "$1"
    same_root "$1"
    exits 0 smoke fig1-dual-scheme --fresh --out "$1"
    same_root "$1"
    exits 0 icl verify "$1"
    echo damage >>"$1/smoke/data/fig1-dual-scheme/claims.json"
    exits 2 icl verify "$1"
    exits 0 smoke --all --out "$1"
    same_root "$1"
    same_names "$1"
    exits 0 icl verify "$1"
}

test_overlay_run() {
    needs_mounts
    finished lower
    overlay lower out
    replaced out
}

test_overlay_bless() {
    needs_mounts
    cp -r "$scratch/workspace" lower
    # expected files of an earlier version: a table more, a number less
    rm -r lower/data/smoke/fig2-representation-lens
    for table in lower/data/smoke/fig1-dual-scheme/*.csv; do sed -i '$d' "$table"; done
    overlay lower workspace
    finished out
    exits 0 "$ICL" --root workspace bless --reason test --profile smoke --out out
    diff -r "$scratch/workspace/data" workspace/data || fail "other expected files than without a layer"
    exits 0 "$ICL" --root workspace verify out
}

test_mount_point() {
    needs_mounts
    finished out
    mkdir elsewhere
    cp -r out/smoke/. elsewhere
    mount --bind elsewhere out/smoke
    replaced out
    mountpoint -q out/smoke || fail "the mount point is gone"
    [ -f elsewhere/run.json ] || fail "the mounted folder was not written"
}

test_mount_empty() {
    needs_mounts
    finished out
    rm -r out/smoke/*
    mount -t tmpfs tmpfs out/smoke
    replaced out
}

test_link_to_other_file_system() {
    needs_mounts
    finished out
    mkdir far
    mount -t tmpfs tmpfs far
    mv out/smoke far/smoke
    ln -s ../far/smoke out/smoke
    exits 0 smoke fig1-dual-scheme --fresh --out out
    same_root out
    exits 0 icl verify out
    echo damage >>out/smoke/data/fig1-dual-scheme/claims.json
    exits 0 smoke --all --out out
    same_root out
    [ -L out/smoke ] || fail "the link was replaced"
    exits 0 icl verify out
    mountpoint -q far || fail "the other file system is gone"
}

# A kill in the middle of a replacement file by file leaves a marker that the next run completes
test_marker() {
    needs_mounts
    finished out
    mkdir elsewhere
    cp -r out/smoke/. elsewhere
    mount --bind elsewhere out/smoke
    local marker=out/smoke/.icl-replacing.json attempt
    for attempt in 1 2 3 4 5; do
        find out/smoke/data out/smoke/figures -type f -delete
        background run --all --profile smoke --out out
        until [ -e $marker ] || ! kill -0 "$run" 2>/dev/null; do :; done
        kill -9 "$run" 2>/dev/null || true
        wait "$run" 2>/dev/null || true
        if [ -e $marker ]; then
            exits 2 icl verify out
            grep -q icl-replacing said || fail "verify does not name the marker"
            exits 0 smoke --all --out out
            [ ! -e $marker ] || fail "the marker stays"
            same_root out
            same_names out
            exits 0 icl verify out
            return
        fi
    done
    fail "no kill hit a replacement in $attempt attempts"
}
