/** What the model that ships with the package can do besides its own look: values of the command's flags. */

/** Looks other than the base's. `neon` is a personalised checkpoint, `crayon` a LoRA. */
export const DEMO_STYLES = ['neon', 'crayon'] as const;
export type DemoStyle = (typeof DEMO_STYLES)[number];

/** Camera moves, each a MotionLoRA. */
export const DEMO_CAMERAS = ['zoom-in', 'pan-left'] as const;
export type DemoCamera = (typeof DEMO_CAMERAS)[number];

/** A style and a camera move, which can be combined. */
export interface DemoChoice {
  readonly style?: DemoStyle;
  readonly camera?: DemoCamera;
}
