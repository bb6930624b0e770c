#!/bin/sh
# The command `animatediff-native` of an offline bundle, with the Node in it and the LibTorch it was compiled against.
here=$(dirname "$(readlink -f "$0")")
if [ -z "${ANIMATEDIFF_LIBTORCH:-}" ] && [ -f "$here/build/libtorch" ]; then
  ANIMATEDIFF_LIBTORCH=$(cat "$here/build/libtorch")
  export ANIMATEDIFF_LIBTORCH
fi
exec "$here/bin/node" "$here/dist/cli/index.js" "$@"
