#!/bin/sh
# The table of encoders: every encoder, with regression alone, with the vocabulary, and with the
# curriculum on top, and the ensemble of all of them, over several seeds. Writes a line of JSON a model to
# OUT/seed-SEED.jsonl.
#
#   benches/encoders.sh DATA OUT [SEEDS] [EPOCHS] [PRETRAINING]
#
# DATA is a folder of `unprompt dataset`. As in the paper, black boxes come pretrained. For vit that is the
# built-in model, which has seen 300 000 rendered images and learnt a vocabulary, too; swin learns for
# PRETRAINING epochs from rendered images by regression alone, clip's tower for half as many and its
# perceptron for one. The white box begins with the diffusion model, and the built-in vit captions for it.
#
# Then vit and swin learn for EPOCHS, clip and the white box for twice as many: what their frozen parts make of
# an image is kept from the first epoch on, so that this takes about as long. A curriculum has two epochs more,
# since its first three see a quarter, a third and a half of the images: all three runs of an encoder learn
# from as many, if EPOCHS is 2 at least.
#
# `ENCODERS=clip` and such leave encoders out, for all of OUT. benches/label_noise.py makes a DATA whose prompts
# say less of their images.
#
# What is done is not done again: the script may be stopped with Ctrl-C at any time and started anew.
set -eu

data=$1 out=$2 seeds=${3:-"1 2 3"} epochs=${4:-2} pretraining=${5:-6}
unprompt=${UNPROMPT:-target/release/unprompt}
encoders=${ENCODERS:-vit swin clip unet}
mkdir -p "$out"
settings="$encoders on $data, $epochs epochs after $pretraining"
[ -e "$out/settings" ] || echo "$settings" >"$out/settings"
if [ "$(cat "$out/settings")" != "$settings" ]; then
    echo "$out was begun with other settings: $(cat "$out/settings")" >&2
    exit 2
fi

# The first run of a DATA makes sentence embeddings for all of them, in OUT/targets-KIND.
train() { # NAME KIND TRAIN-ARGUMENTS...
    name=$1 targets=$out/targets-$2
    shift 2
    [ -e "$out/$name/provenance.json" ] && return
    if [ -e "$targets" ] && [ ! -e "$out/$name" ]; then
        copy "$targets" "$out/$name"
    fi
    mkdir -p "$out/$name"
    "$unprompt" train -q --out "$out/$name" --resume "$@"
    rm -f "$out/$name/checkpoint.safetensors"
    if [ ! -e "$targets" ]; then
        mkdir -p "$targets.whole"
        cp "$out/$name"/targets-*.safetensors "$targets.whole"
        mv "$targets.whole" "$targets"
    fi
}

copy() { # FOLDER COPY: whole or not at all
    rm -rf "$2.part"
    cp -R "$1" "$2.part"
    mv "$2.part" "$2"
}

tune() { # NAME EPOCHS TRAIN-ARGUMENTS...
    run=$1 length=$2
    shift 2
    train "$run" made --data "$data" --epochs "$length" --seed "$seed" \
        --batch-size 16 --learning-rate 3e-4 "$@"
}

for encoder in $encoders; do
    case $encoder in
        vit | unet) continue ;;
        clip) passes="--epochs=1 --tower-epochs=$(((pretraining + 1) / 2))" ;;
        *) passes="--epochs=$pretraining" ;;
    esac
    # shellcheck disable=SC2086 # two arguments
    train "pretrained-$encoder" rendered --data pocket:30000 --encoder "$encoder" --no-vocabulary \
        --batch-size 16 $passes --seed 1
done
for seed in $seeds; do
    [ -e "$out/seed-$seed.jsonl" ] && continue
    for encoder in $encoders; do
        case $encoder in
            vit) start="--pretrained=vit" passes=$epochs ;;
            swin) start="--pretrained=$out/pretrained-swin" passes=$epochs ;;
            clip) start="--pretrained=$out/pretrained-clip" passes=$((2 * epochs)) ;;
            unet) start="--encoder=unet" passes=$((2 * epochs)) ;;
        esac
        tune "$encoder-$seed-regression" "$passes" "$start" --no-vocabulary
        tune "$encoder-$seed-vocabulary" "$passes" "$start" --record-easiness
        tune "$encoder-$seed-curriculum" "$((passes + 2))" "$start" \
            --curriculum --easiness "$out/$encoder-$seed-vocabulary"
    done
    ensemble=$out/ensemble-$seed
    [ -e "$ensemble/ensemble.json" ] ||
        "$unprompt" ensemble -q --data "$data" --out "$ensemble" "$out"/*-"$seed"-*
    "$unprompt" evaluate -q --predictions --data "$data" --images 2000 --json \
        --model "$out"/*-"$seed"-* "$ensemble" >"$out/seed-$seed.part"
    mv "$out/seed-$seed.part" "$out/seed-$seed.jsonl"
done
