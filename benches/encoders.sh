#!/bin/sh
# The table of encoders: every encoder, with regression alone, with the vocabulary, and with the
# curriculum on top, and the ensemble of all of them, over several seeds. Writes a line of JSON a model to
# OUT/seed-SEED.jsonl.
#
#   benches/encoders.sh DATA OUT [SEEDS] [EPOCHS] [PRETRAINING]
#
# DATA is a folder of `unprompt dataset`. As in the paper, black boxes come pretrained: once, for PRETRAINING
# epochs, on rendered images and by regression alone, so that no run has seen a vocabulary before. The white
# box begins with the diffusion model. A curriculum has two epochs more, since its first three see
# a quarter, a third and a half of the images: all runs learn from as many.
#
# What is done is not done again, so that the script may be stopped at any time and started anew.
# Sentence embeddings are made once for all runs.
set -eu

data=$1 out=$2 seeds=${3:-"1 2 3"} epochs=${4:-2} pretraining=${5:-4}
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

tune() { # NAME EPOCHS TRAIN-ARGUMENTS...
    name=$1 passes=$2
    shift 2
    if [ -e "$out/shared" ] && [ ! -e "$out/$name" ]; then
        rm -rf "$out/$name.part"
        cp -R "$out/shared" "$out/$name.part"
        mv "$out/$name.part" "$out/$name"
    fi
    train "$name" --data "$data" --epochs "$passes" --seed "$seed" --learning-rate 3e-4 "$@"
    if [ ! -e "$out/shared" ]; then
        mkdir -p "$out/shared.part"
        cp "$out/$name"/targets-*.safetensors "$out/shared.part"
        mv "$out/shared.part" "$out/shared"
    fi
}

for encoder in vit swin clip; do
    train "pretrained-$encoder" --data pocket:30000 --encoder "$encoder" --no-vocabulary \
        --epochs "$pretraining" --tower-epochs "$pretraining" --seed 1
done
for seed in $seeds; do
    [ -e "$out/seed-$seed.jsonl" ] && continue
    for encoder in vit swin clip unet; do
        case $encoder in
            unet) start="--encoder=unet" ;;
            *) start="--pretrained=$out/pretrained-$encoder" ;;
        esac
        run=$encoder-$seed
        tune "$run-regression" "$epochs" "$start" --no-vocabulary
        tune "$run-vocabulary" "$epochs" "$start" --record-easiness
        tune "$run-curriculum" "$((epochs + 2))" "$start" \
            --curriculum --easiness "$out/$run-vocabulary"
    done
    ensemble=$out/ensemble-$seed
    [ -e "$ensemble/ensemble.json" ] ||
        "$unprompt" ensemble -q --data "$data" --out "$ensemble" "$out"/*-"$seed"-*
    "$unprompt" evaluate -q --predictions --data "$data" --images 2000 --json \
        --model "$out"/*-"$seed"-* "$ensemble" >"$out/seed-$seed.part"
    mv "$out/seed-$seed.part" "$out/seed-$seed.jsonl"
done
