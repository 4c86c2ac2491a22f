#!/bin/sh
# The table of encoders: every encoder, with regression alone, with the vocabulary, and with the
# curriculum on top, and the ensemble of all of them, over several seeds. Writes a line of JSON a run to
# OUT/RUN/done, and all of them to OUT/table.jsonl in the end.
#
#   benches/encoders.sh DATA OUT [SEEDS] [EPOCHS] [PRETRAINING]
#
# DATA is a folder of `unprompt dataset`. As in the paper, black boxes come pretrained: once, for PRETRAINING
# epochs, on rendered images and by regression alone, so that no run has seen a vocabulary before. The white
# box begins with the diffusion model. A curriculum has two epochs more, since its first three see
# a quarter, a third and a half of the images: all runs learn from as many.
#
# A run that is whole is not done again, so that the script may be stopped at any time and started anew.
# Sentence embeddings are made once for all runs.
set -eu

data=$1 out=$2 seeds=${3:-"1 2 3"} epochs=${4:-3} pretraining=${5:-5}
unprompt=${UNPROMPT:-target/release/unprompt}
mkdir -p "$out"

train() { # NAME TRAIN-ARGUMENTS...
    name=$1
    shift
    [ -e "$out/$name/provenance.json" ] && return
    mkdir -p "$out/$name"
    resume=
    [ -e "$out/$name/checkpoint.safetensors" ] && resume=--resume
    "$unprompt" train -q --out "$out/$name" $resume "$@"
    rm -f "$out/$name/checkpoint.safetensors"
}

evaluate() { # NAME
    [ -e "$out/$1/done" ] && return
    "$unprompt" evaluate -q --predictions --data "$data" --model "$out/$1" --images 2000 --json \
        >"$out/$1/line.json"
    mv "$out/$1/line.json" "$out/$1/done"
}

run() { # NAME SEED EPOCHS TRAIN-ARGUMENTS...
    name=$1 seed=$2 passes=$3
    shift 3
    mkdir -p "$out/$name"
    share "$out/$name" "$out"/*/targets-*.safetensors
    train "$name" --data "$data" --epochs "$passes" --seed "$seed" --learning-rate 3e-4 "$@"
    evaluate "$name"
}

share() { # FOLDER FILE...: copies those that it lacks
    folder=$1
    shift
    for file in "$@"; do
        case $file in "$out"/pretrained-*) continue ;; esac
        target=$folder/${file##*/}
        if [ -e "$file" ] && [ ! -e "$target" ]; then
            cp "$file" "$target.part"
            mv "$target.part" "$target"
        fi
    done
}

for encoder in vit swin clip; do
    train "pretrained-$encoder" --data pocket:30000 --encoder "$encoder" --no-vocabulary \
        --epochs "$pretraining" --seed 1
done
for seed in $seeds; do
    for encoder in vit swin clip unet; do
        start="--pretrained $out/pretrained-$encoder"
        [ "$encoder" = unet ] && start="--encoder unet"
        # shellcheck disable=SC2086 # a name and its value
        run "$encoder-$seed-regression" "$seed" "$epochs" $start --no-vocabulary
        # shellcheck disable=SC2086
        run "$encoder-$seed-vocabulary" "$seed" "$epochs" $start --record-easiness
        # shellcheck disable=SC2086
        run "$encoder-$seed-curriculum" "$seed" "$((epochs + 2))" $start \
            --curriculum --easiness "$out/$encoder-$seed-vocabulary"
    done
    ensemble=$out/ensemble-$seed
    [ -e "$ensemble/done" ] || "$unprompt" ensemble -q --data "$data" --out "$ensemble" "$out"/*-"$seed"-*
    evaluate "ensemble-$seed"
done
cat "$out"/*/done >"$out/table.jsonl"
