# `--out FILE` of train and lens where something else than a plain file stands, always in the scratch folder.

# A safetensors file with `tokens`, 4 x 12 numbers of 64 bits
tokens() {
    local header='{"tokens":{"dtype":"F64","shape":[4,12],"data_offsets":[0,384]}}'
    printf "\\$(printf %o ${#header})\\0\\0\\0\\0\\0\\0\\0%s" "$header"
    for i in $(seq 16); do
        # 1, -0.5 and a number between
        printf '\0\0\0\0\0\0\360\077\0\0\0\0\0\0\340\277'
        printf "\\0\\0\\0\\0\\0\\$(printf %o $((i * 7)))\\327\\077"
    done
}

train() {
    icl train --task linear --steps 2 --batch 16 --n-test 16 --test-every 2 --out "$1"
}

lens() {
    icl lens --tokens "$work/x" --weights "$work/w" --out "$1"
}

# Both commands on one kind of place; `wanted` holds what each writes to a plain file
each() {
    work=$PWD
    tokens >x
    exits 0 train w
    local command
    for command in train lens; do
        exits 0 $command "wanted"
        mkdir $command
        (cd $command && "$1" $command)
        [ -z "$(find $command -name '.icl-*')" ] || fail "$command left a temporary file"
        rm "wanted"
    done
}

holds() {
    cmp "$1" "$work/wanted" || fail "$1: not what was to be written"
}

null_device() {
    mknod nul c 1 3
    exits 0 "$1" nul
    [ -c nul ] || fail "$1 replaced the device"
}

full_device() {
    mknod full c 1 7
    exits 2 "$1" full
    [ -c full ] || fail "$1 replaced the device"
}

test_device_null() {
    mknod probe c 1 3 2>/dev/null && : 2>/dev/null >probe || skip "device nodes need root and a file system that allows them"
    each null_device
    each_again full_device
}

# A second kind of place in the same test
each_again() {
    rm -rf train lens
    each "$1"
}

pipe() {
    mkfifo pipe
    cat pipe >got &
    exits 0 "$1" pipe
    wait
    [ -p pipe ] || fail "$1 replaced the pipe"
    holds got
}

test_device_pipe() {
    each pipe
}

standard_output() {
    local name
    for name in /dev/stdout /proc/self/fd/1 /dev/fd/1; do
        "$1" "$name" 2>error | cat >got
        [ "${PIPESTATUS[0]}" = 0 ] || { cat error; fail "$1 --out $name: cannot write"; }
        head -c "$(stat -c %s "$work/wanted")" got >start
        holds start
        cmp got start || fail "$1 --out $name: something follows the tensors"
    done
}

test_device_standard_output() {
    each standard_output
}

link() {
    echo old >file
    ln -s file link
    exits 0 "$1" link
    [ -L link ] || fail "$1 replaced the link"
    holds file
    mkdir folder
    ln -s folder/made dangling
    exits 0 "$1" dangling
    [ -L dangling ] || fail "$1 replaced the dangling link"
    holds folder/made
    ln -s around around
    exits 2 "$1" around
    [ -L around ] || fail "$1 replaced the circle"
}

test_device_links() {
    each link
}

hard_link() {
    echo old >one
    ln one two
    exits 0 "$1" one
    [ "$(stat -c %i one)" = "$(stat -c %i two)" ] || fail "$1 parted two names of a file"
    holds two
}

test_device_hard_link() {
    each hard_link
}

read_only() {
    echo old >file
    chmod 444 file
    if [ "$(id -u)" = 0 ]; then
        # root may write it; it must stay read-only
        exits 0 "$1" file
        holds file
    else
        exits 2 "$1" file
        [ "$(cat file)" = old ] || fail "$1 changed a read-only file"
    fi
    [ "$(stat -c %a file)" = 444 ] || fail "$1 changed the permissions"
}

test_device_read_only() {
    each read_only
}

folder() {
    mkdir folder
    exits 2 "$1" folder
    exits 2 "$1" no/such/folder
    [ -d folder ] && [ ! -e no ] || fail "$1 made or replaced a folder"
}

test_device_folder() {
    each folder
}

mounted() {
    echo old >file
    echo far >far
    mount --bind far file
    exits 0 "$1" file
    mountpoint -q file || grep -q " $PWD/file " /proc/self/mounts || fail "the mount is gone"
    umount file
    holds far
    [ "$(cat file)" = old ] || fail "$1 wrote below the mount"
}

test_device_mounted_file() {
    needs_mounts
    each mounted
}
