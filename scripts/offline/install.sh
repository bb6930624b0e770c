#!/bin/sh
# Compiles animatediff-native on a machine without Node, npm and network. It needs a C++20 compiler, CMake 3.22, Ninja or
# Make, and a LibTorch: that of Python's torch, or an unpacked one.
#
#   ./install.sh [--libtorch FOLDER] [--python PYTHON] [--jobs N]
#
# Afterwards ./animatediff-native runs here, and this folder can be moved.
set -eu
cd "$(dirname "$0")"
here=$(pwd)
jobs=$(nproc)

while [ $# -gt 0 ]; do
  case $1 in
    --libtorch) export ANIMATEDIFF_LIBTORCH="$2" ;;
    --python) export ANIMATEDIFF_PYTHON="$2" ;;
    --jobs) jobs=$2 ;;
    *)
      echo "error: ./install.sh knows --libtorch, --python and --jobs, and not '$1'." >&2
      exit 2
      ;;
  esac
  [ $# -ge 2 ] || { echo "error: $1 needs a value." >&2; exit 2; }
  shift 2
done

for tool in cmake "${CXX:-c++}"; do
  command -v "$tool" >/dev/null || { echo "error: there is no $tool. Debian: apt-get install cmake g++" >&2; exit 1; }
done
# CMake asks Node where the headers of node-addon-api lie.
export PATH="$here/bin:$PATH"
libtorch=$(node scripts/offline/find-libtorch.mjs)
echo "- compiling against $libtorch" >&2
generator=
if command -v ninja >/dev/null; then generator='-G Ninja'; fi
rm -rf build-cmake
# shellcheck disable=SC2086
cmake -S . -B build-cmake $generator -DCMAKE_BUILD_TYPE=Release -DLIBTORCH="$libtorch" \
  -DCMAKE_JS_INC="$here/node_modules/node-api-headers/include" \
  -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$here/build/Release" >&2
cmake --build build-cmake --parallel "$jobs" >&2
printf '%s\n' "$libtorch" >build/libtorch
exec ./animatediff-native doctor
