/** What is evaluated: the model alone, its styles and its camera moves, each with its goals. */
import { type Camera, TEXTURED } from './judge/camera.ts';
import type { Style } from './judge/palette.ts';

/** What is asked of every clip. */
export const CRITERIA = ['colour', 'background', 'shape', 'motion', 'smooth', 'style', 'camera'] as const;
export type Criterion = (typeof CRITERIA)[number];

/** Least shares of the clips that must be right, in percent. What is not named is only reported. */
export type Goals = Readonly<Partial<Record<Criterion, number>>>;

export interface EvaluationSet {
  readonly name: string;
  /** File in configs/: weights, and the product's own settings for them. */
  readonly config: string;
  readonly style: Style;
  readonly camera: Camera;
  readonly goals: Goals;
  readonly clips: number;
  /** Default: all. A camera can only be told from scenery that is not plain. */
  readonly backgrounds?: readonly string[];
}

const STYLE_GOALS: Goals = { style: 95, motion: 80 };
const CAMERA_GOALS: Goals = { camera: 90 };

export const SETS: readonly EvaluationSet[] = [
  {
    name: 'base',
    config: 'demo.yaml',
    style: 'normal',
    camera: 'fixed',
    goals: { colour: 97, background: 97, shape: 90, motion: 90 },
    clips: 208,
  },
  { name: 'neon', config: 'demo-neon.yaml', style: 'neon', camera: 'fixed', goals: STYLE_GOALS, clips: 130 },
  {
    name: 'crayon',
    config: 'demo-crayon.yaml',
    style: 'crayon',
    camera: 'fixed',
    goals: STYLE_GOALS,
    clips: 130,
  },
  {
    name: 'zoom-in',
    config: 'demo-zoom-in.yaml',
    style: 'normal',
    camera: 'zoom-in',
    goals: CAMERA_GOALS,
    clips: 65,
    backgrounds: TEXTURED,
  },
  {
    name: 'pan-left',
    config: 'demo-pan-left.yaml',
    style: 'normal',
    camera: 'pan-left',
    goals: CAMERA_GOALS,
    clips: 65,
    backgrounds: TEXTURED,
  },
];
