#!/bin/sh
# The table of encoders: every encoder, with regression alone, with the vocabulary, and with the
# curriculum on top, over several seeds. Writes a line of JSON a run to OUT/RUN/done, and all of
# them to OUT/table.jsonl in the end.
#
#   benches/encoders.sh DATA OUT [SEEDS] [EPOCHS]
#
# DATA is a folder of `unprompt dataset`. A run that is whole is not done again, so that the script may be
# stopped at any time and started anew. Sentence embeddings are made once for all runs, CLIP's tower once
# a seed.
set -eu

data=$1 out=$2 seeds=${3:-"1 2 3"} epochs=${4:-5}
unprompt=${UNPROMPT:-target/release/unprompt}
mkdir -p "$out"

run() { # NAME SEED TRAIN-ARGUMENTS...
    name=$1 seed=$2
    shift 2
    [ -e "$out/$name/done" ] && return
    mkdir -p "$out/$name"
    share "$out/$name" "$out"/*/targets-*.safetensors
    share "$out/$name" "$out"/clip-"$seed"-*/tower
    resume=
    [ -e "$out/$name/checkpoint.safetensors" ] && resume=--resume
    "$unprompt" train -q --data "$data" --epochs "$epochs" --seed "$seed" --out "$out/$name" $resume "$@"
    "$unprompt" evaluate -q --predictions --data "$data" --model "$out/$name" --images 2000 --json \
        >"$out/$name/line.json"
    mv "$out/$name/line.json" "$out/$name/done"
    rm -f "$out/$name/checkpoint.safetensors"
}

share() { # FOLDER FILE...: copies those that it lacks
    folder=$1
    shift
    for file in "$@"; do
        target=$folder/${file##*/}
        if [ -e "$file" ] && [ ! -e "$target" ]; then
            rm -rf "$target.part"
            cp -R "$file" "$target.part"
            mv "$target.part" "$target"
        fi
    done
}

for seed in $seeds; do
    for encoder in vit swin clip unet; do
        run "$encoder-$seed-regression" "$seed" --encoder "$encoder" --no-vocabulary
        run "$encoder-$seed-vocabulary" "$seed" --encoder "$encoder" --record-easiness
        run "$encoder-$seed-curriculum" "$seed" --encoder "$encoder" \
            --curriculum --easiness "$out/$encoder-$seed-vocabulary"
    done
done
cat "$out"/*/done >"$out/table.jsonl"
