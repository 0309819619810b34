#!/usr/bin/env bash
# What an NVIDIA machine gives: `benchmarks/gpu.sh [OUT]`, from the root of a clone.
#
# Needs Python with this library, papermill, ipykernel and JAX or PyTorch built for the GPU; TensorFlow
# is not needed. Writes into OUT (default: runs/gpu): throughput in float32 and bfloat16, with one and with
# sixteen steps a call, memory, and one full run of the `cifar10` preset through papermill with its
# executed notebook. CIFAR-10 comes from $SHIFTVIT_DATA or the download.
#
#   EPOCHS=100        of the full run; 0 leaves it out
#   PRESETS="..."     networks whose throughput is measured
#   BACKENDS="..."    on which of jax and torch
#   RECIPE=light      of the full run
#   KERAS_BACKEND     of the full run; default: JAX if it sees a GPU, else PyTorch
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
out=${1:-runs/gpu}
python=${PYTHON:-python3}
epochs=${EPOCHS:-100}
if [ "$epochs" -gt 0 ]; then
    if [ -e "$out/run/metrics.json" ]; then
        echo "$out/run holds a run that is complete. Name another folder: benchmarks/gpu.sh $out-2" >&2
        exit 2
    fi
    if ! "$python" -c 'import papermill, ipykernel'; then
        echo "The full run needs papermill and ipykernel; EPOCHS=0 leaves it out." >&2
        exit 2
    fi
fi
mkdir -p "$out"

sees_gpu() {
    case $1 in
    jax) "$python" -c 'import jax, sys; sys.exit(jax.default_backend() != "gpu")' ;;
    torch) "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' ;;
    esac 2>/dev/null
}
backends=()
for backend in ${BACKENDS:-jax torch}; do
    if sees_gpu "$backend"; then backends+=("$backend"); fi
done
if [ ${#backends[@]} -eq 0 ]; then
    if [ -z "${ALLOW_CPU:-}" ]; then
        echo "No GPU is seen here by: ${BACKENDS:-jax torch}. ALLOW_CPU=1 runs the same on the CPU." >&2
        exit 2
    fi
    for backend in ${BACKENDS:-jax torch}; do
        if "$python" -c "import $backend" 2>/dev/null; then backends+=("$backend"); fi
    done
fi
# JAX compiles each network for up to a minute: all at once, before anything is measured.
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$(realpath "$out")/jax-cache}
command -v nvidia-smi >/dev/null && nvidia-smi | tee "$out/nvidia-smi.txt"

presets=${PRESETS:-nano cifar10 cifar10_strong}
throughput() {
    "$python" benchmarks/throughput.py --preset "$1" --batch-size "${BATCH_SIZE:-256}" \
        --precisions float32 mixed_bfloat16 --steps-per-execution 1 16 --start-together "${@:2}"
}
if [[ " ${backends[*]} " == *" jax "* ]]; then
    compilations=()
    for preset in $presets; do
        throughput "$preset" --backends jax --steps-per-execution 1 --rounds 0 &
        compilations+=($!)
    done
    for compilation in "${compilations[@]}"; do wait "$compilation"; done
fi
for preset in $presets; do
    throughput "$preset" --backends "${backends[@]}" --steps "${STEPS:-20}" \
        --rounds "${ROUNDS:-2}" --json "$out/throughput-$preset.json" |
        tee "$out/throughput-$preset.md"
done

if [ "$epochs" -gt 0 ]; then
    export KERAS_BACKEND=${KERAS_BACKEND:-${backends[0]}}
    "$python" -m papermill --log-output --no-progress-bar --kernel python3 \
        notebooks/05_train.ipynb "$out/05_train.ipynb" \
        -p dataset "${DATASET:-cifar10}" -p preset cifar10 -p recipe "${RECIPE:-light}" \
        -p epochs "$epochs" -p precision mixed_bfloat16 -p run_dir "$(realpath "$out")/run" \
        -p resume True
    "$python" -m shiftvit_utils.show_run "$out/run" | tee "$out/run.txt"
fi
