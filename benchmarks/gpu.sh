#!/usr/bin/env bash
# What only a GPU can show, in one script, each part under a time limit of its own:
#   bash benchmarks/gpu.sh OUT [PART...]      parts: tests speed dcgan mlp conv
# OUT gets logs, JSON files and runs. GAN_DATA has MNIST; CIFAR names a zip or folder of CIFAR-10's training images.
# DEVICE=cpu STEPS=3 SECONDS_EACH=0.01 goes through all of it anywhere, without numbers that mean anything.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?the folder to write into}; shift
parts=${*:-tests speed dcgan mlp conv}
device=${DEVICE:-cuda}
mkdir -p "$out"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2> /dev/null | tee "$out/gpu.txt"

train() { # name, time limit in seconds, overrides
  local start=$SECONDS
  timeout --signal=INT "$2" python3 train.py "${@:3}" "device=$device" "hydra.run.dir=$out/runs/$1" \
    ${STEPS:+train.max_steps=$STEPS} > "$out/$1.log" 2>&1
  echo "$1: exit code $?, $((SECONDS - start)) s with start and end; $(tail -n 3 "$out/$1.log" | head -n 1)"
}

for part in $parts; do
  echo "== $part, after $SECONDS s"
  case $part in
    tests)
      timeout 240 python3 -m pytest tests/test_gpu.py -m slow -n "${WORKERS:-8}" -p no:cacheprovider -rf \
        > "$out/tests.log" 2>&1
      echo "tests: exit code $?; $(tail -n 1 "$out/tests.log")" ;;
    speed) # a process for each: torch.compile gives up after some networks in one
      for setup in mlp conv dcgan_cifar10; do
        timeout 150 python3 -m benchmarks.gpu "$out" --setups "$setup" --device "$device" \
          --seconds "${SECONDS_EACH:-0.3}" 2>&1 | tee -a "$out/speed.txt"
      done ;;
    dcgan) # the epochs of its first claim
      if [ -z "${CIFAR:-}" ]; then echo "dcgan: CIFAR names no images"; continue; fi
      train dcgan 290 experiment=blog/dcgan_cifar10 dataset=image_folder "dataset.path=$CIFAR" dataset.image_size=64 \
        dataset.resize=bilinear train.epochs=86 'watch.samples_every=1 epoch' ;;
    mlp) train mlp 150 experiment=blog/mlp ;;
    conv) train conv 90 experiment=blog/conv ;;
  esac
done
