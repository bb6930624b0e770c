/**
 * Says what a clip shows, from its pixels alone. One object in front of one background is expected; the judge
 * never sees the prompt.
 */
import type { RgbFrames } from '../../../lib/output/frames.ts';
import { rankSettings } from './background.ts';
import { backgroundChanges, type Camera, judgeCamera, objectAreas, TEXTURED } from './camera.ts';
import { medianColour, nameColour, objectColour } from './colour.ts';
import { judgeMotion } from './motion.ts';
import type { Style } from './palette.ts';
import { judgeShape } from './shape.ts';
import { findSilhouettes } from './silhouette.ts';
import { type Flicker, isSmooth, measureFlicker } from './smoothness.ts';

export interface Verdict {
  readonly colour: string;
  readonly shape: string;
  readonly background: string;
  readonly motion: string;
  readonly style: Style;
  /** `unclear` in front of a background without texture. */
  readonly camera: Camera | 'unclear';
  readonly smooth: boolean;
  readonly measured: Flicker & { readonly shapeScore: number; readonly motionMisfit: number };
}

export function judge(clip: RgbFrames): Verdict {
  const [setting] = rankSettings(clip);
  if (setting === undefined) throw new RangeError('There are no backgrounds to choose from.');
  const { background, style } = setting;
  const silhouettes = findSilhouettes(clip, setting);
  const shape = judgeShape(silhouettes);
  const blocked = objectAreas(clip, silhouettes, style);
  const { camera, ...move } = TEXTURED.includes(background)
    ? judgeCamera(clip, blocked)
    : { camera: 'unclear' as const, pan: 0, zoom: 1 };
  const motion = judgeMotion(silhouettes, shape, move);
  const colours = silhouettes.map((one, i) => one && objectColour(clip, i, one, style));
  const flicker = measureFlicker(backgroundChanges(clip, blocked, move), colours, silhouettes);
  return {
    colour: nameColour(medianColour(colours.filter((colour) => colour !== undefined)), style),
    shape: shape.shape,
    background,
    motion: motion.motion,
    style,
    camera,
    smooth: isSmooth(flicker),
    measured: { ...flicker, shapeScore: shape.score, motionMisfit: motion.misfit },
  };
}
