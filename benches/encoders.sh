#!/bin/sh
# The table of encoders: every encoder, with regression alone, with the vocabulary, and with the
# curriculum on top, over several seeds. Prints nothing; writes a line of JSON a run to OUT/table.jsonl.
#
#   benches/encoders.sh DATA OUT [SEEDS] [EPOCHS]
#
# DATA is a SOURCE of `unprompt train`, as a rule a folder of `unprompt dataset`. A run that is whole is not done again, so that the script may be
# stopped at any time and started anew.
set -eu

data=$1 out=$2 seeds=${3:-"1 2 3"} epochs=${4:-5}
unprompt=${UNPROMPT:-target/release/unprompt}
mkdir -p "$out"

run() { # NAME TRAIN-ARGUMENTS...
    name=$1
    shift
    [ -e "$out/$name/done" ] && return
    resume=
    [ -e "$out/$name/checkpoint.safetensors" ] && resume=--resume
    "$unprompt" train -q --data "$data" --epochs "$epochs" --out "$out/$name" $resume "$@"
    "$unprompt" evaluate -q --predictions --data "$data" --model "$out/$name" --images 2000 --json \
        >>"$out/table.jsonl"
    rm -f "$out/$name/checkpoint.safetensors"
    touch "$out/$name/done"
}

for seed in $seeds; do
    for encoder in vit swin clip unet; do
        base="--encoder $encoder --seed $seed"
        # shellcheck disable=SC2086
        run "$encoder-$seed-regression" $base --no-vocabulary
        # shellcheck disable=SC2086
        run "$encoder-$seed-vocabulary" $base --record-easiness
        # shellcheck disable=SC2086
        run "$encoder-$seed-curriculum" $base --curriculum --easiness "$out/$encoder-$seed-vocabulary"
    done
done
