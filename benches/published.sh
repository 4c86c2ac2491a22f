#!/bin/sh
# Peak memory and time of models of full size with random weights, which benches/published.py makes:
#
#   benches/published.sh MODELS IMAGE
#
# Each line is a command, its peak memory in MiB (mapped pages of the weights among it) and its seconds, all of them
# from start to end. UNPROMPT names the binary.
set -eu
models=$1 image=$2
unprompt=${UNPROMPT:-unprompt}
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
printf 'a red fox\nan old castle at dusk\n' > "$scratch/prompts.txt"
# Digests of the weights are kept there, beside the sentence encoder: they are not part of what is measured.
measure() {
    what=$1
    shift
    if ! /usr/bin/time -f "%M %e" -o "$scratch/time" "$@" > /dev/null 2> "$scratch/said"; then
        cat "$scratch/said" >&2
        return 1
    fi
    awk -v what="$what" '{ printf "%-58s %6.0f MiB %7.2f s\n", what, $1 / 1024, $2 }' "$scratch/time"
}
for clip in clip-vit-base-patch32 clip-vit-large-patch14 CLIP-ViT-H-14; do
    folder=$models/$clip
    [ -d "$folder" ] || continue
    "$unprompt" index build "$scratch/prompts.txt" --out "$scratch/$clip.idx" \
        --sentence-encoder "$folder" > /dev/null 2>&1
    measure "embed, text tower of $clip" "$unprompt" embed "a red fox" --sentence-encoder "$folder"
    measure "reverse, image tower of $clip" "$unprompt" reverse "$scratch/$clip.idx" "$image" \
        --model "clip:$folder" --no-metadata
done
for encoder in vit-base-patch16-224 swinv2-base-patch4-window16-256; do
    folder=$models/$encoder
    [ -d "$folder" ] || continue
    for precision in full mixed; do
        measure "train, $encoder, 8 images a step, 4 steps, $precision" "$unprompt" train --data pocket:32 \
            --weights "$folder" --out "$scratch/$encoder-$precision" --epochs 1 --batch-size 8 \
            --precision $precision
    done
done
measure "caption, blip-image-captioning-base, 3 beams" "$unprompt" caption "$image" \
    --model "$models/blip-image-captioning-base"
for sd in stable-diffusion-v1-5 stable-diffusion-v1-5-fp16; do
    for steps in 1 2; do
        measure "generate, $sd, $steps steps, 512 x 512" "$unprompt" generate "a red fox" \
            --model "$models/$sd" --out "$scratch/$sd.png" --sampler ddim --steps $steps
    done
done
