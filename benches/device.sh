#!/bin/sh
# Peak memory and pace of the paper's models on a graphics processor, models of full size with random weights, which
# benches/published.py makes:
#
#   benches/device.sh MODELS DATA FEW
#
# DATA is a folder with images in part-*.zip, which benches/parts.py makes; FEW is another, of some hundred images, for the
# white box: in its first epoch the codec and the captioner see each of them, later ones read what is kept. Every line is a
# command: the most memory that the processor had in use at any tenth of a second, all of it this command's if nothing else runs there, its seconds from
# start to end, and of training the images a second of each line of its log. UNPROMPT names the binary.
set -eu
models=$1 data=$2 few=$3
unprompt=${UNPROMPT:-unprompt}
export UNPROMPT_DEVICE=${UNPROMPT_DEVICE:-cuda}
# Prompts are embedded by the smallest there is: that is not what is measured.
export UNPROMPT_SENTENCE_ENCODER=$(dirname "$0")/../tests/published/bert-sentence
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
measure() {
    what=$1
    shift
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -lms 100 > "$scratch/memory" &
    sampler=$!
    status=0
    /usr/bin/time -f "%e" -o "$scratch/time" "$@" > "$scratch/out" 2> "$scratch/said" || status=$?
    kill $sampler
    if [ $status -ne 0 ]; then
        echo "$what: status $status: $(tail -1 "$scratch/said")"
        return 0
    fi
    most=$(sort -n "$scratch/memory" | tail -1)
    printf '%-62s %6s MiB %7s s%s\n' "$what" "$most" "$(tail -1 "$scratch/time")" "$(paces "$@")"
}
# Images a second, line by line, of the log of a training run.
paces() {
    for argument in "$@"; do
        if [ -f "$argument/training.csv" ]; then
            awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "images_per_s") at = i; next }
                { printf "%s %.0f", NR == 2 ? "; images/s" : "", $at }' "$argument/training.csv"
        fi
    done
}
train() {
    name=$1 source=$2 epochs=$3 batch=$4
    shift 4
    measure "train $name, $source, $batch a step, $*" "$unprompt" train --data "$source" --epochs "$epochs" \
        --batch-size "$batch" --out "$scratch/run" "$@"
    rm -rf "$scratch/last"
    [ ! -d "$scratch/run" ] || mv "$scratch/run" "$scratch/last"
}
train vit-base-patch16-224 "$data" 2 64 --precision mixed --weights "$models/vit-base-patch16-224"
for precision in mixed full; do
    train "white box of stable-diffusion-v1-5" "$few" 3 64 --precision $precision --accumulate 8 --encoder unet \
        --diffusion "$models/stable-diffusion-v1-5" --captioner "$models/blip-image-captioning-base" \
        --features "$scratch/features-$precision"
done
for precision in mixed full; do
    for steps in 1 51; do
        measure "generate, stable-diffusion-v1-5, $steps steps, $precision" "$unprompt" generate "a red fox" \
            --model "$models/stable-diffusion-v1-5" --out "$scratch/fox.png" --sampler ddim --steps $steps \
            --precision $precision
    done
done
train vit-base-patch16-224 "$data" 1 64 --precision full --weights "$models/vit-base-patch16-224"
train swinv2-base-patch4-window16-256 pocket:640 1 64 --precision mixed --accumulate 2 \
    --weights "$models/swinv2-base-patch4-window16-256"
train CLIP-ViT-H-14 pocket:640 3 64 --precision mixed --weights "$models/CLIP-ViT-H-14"
set -- "$scratch/fox.png"
while [ $# -lt 33 ]; do set -- "$@" "$scratch/fox.png"; done
measure "caption, blip-image-captioning-base, 1 image" "$unprompt" caption "$1" \
    --model "$models/blip-image-captioning-base"
measure "caption, blip-image-captioning-base, 33 images" "$unprompt" caption "$@" \
    --model "$models/blip-image-captioning-base"
train swinv2-large-patch4-window12to16-192to256 pocket:640 1 64 --precision mixed --accumulate 4 \
    --weights "$models/swinv2-large-patch4-window12to16-192to256"
