/** A configuration with every way to write an adapter. */
export const LORA_CONFIG = `base: b.safetensors
loras:
  - plain.safetensors
  - { path: zoom.ckpt, scale: -0.8 }
  - { path: /styles/tusun.safetensors, scale: 0.6, ignoreAlpha: true }
`;
