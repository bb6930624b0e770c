{
  # For those who run `node-gyp rebuild`. The build itself is CMake's; `make` and the headers of Node, which
  # node-gyp asks for, play no part in it.
  "targets": [
    {
      "target_name": "animatediff-native",
      "type": "none",
      "actions": [
        {
          "action_name": "build_native",
          "inputs": ["CMakeLists.txt", "scripts/build-native.mjs"],
          "outputs": ["<(PRODUCT_DIR)/animatediff-native.node", "<(PRODUCT_DIR)/libanimatediff.so"],
          "action": ["node", "scripts/build-native.mjs", "--output", "<(PRODUCT_DIR)"]
        }
      ]
    }
  ]
}
