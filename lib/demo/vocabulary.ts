/**
 * The words of the demo model's captions. Written by scripts/demo/write_vocabulary.py; do not edit.
 * The first wording of each list is the plainest.
 */

/** Wordings of each shape. */
export const SHAPES: Readonly<Record<string, readonly string[]>> = {
  circle: ['circle', 'ball', 'disc'],
  square: ['square', 'box'],
  triangle: ['triangle'],
  star: ['star'],
  heart: ['heart'],
  moon: ['moon', 'crescent'],
  cross: ['cross', 'plus sign'],
  ring: ['ring', 'hoop'],
};

/** The colours, each with its only wording. */
export const COLOURS: Readonly<Record<string, readonly string[]>> = {
  red: ['red'],
  orange: ['orange'],
  yellow: ['yellow'],
  green: ['green'],
  cyan: ['cyan'],
  blue: ['blue'],
  purple: ['purple'],
  pink: ['pink'],
  white: ['white'],
};

/** Wordings of each motion. */
export const MOTIONS: Readonly<Record<string, readonly string[]>> = {
  'moving left': ['moving left', 'moving to the left', 'sliding left', 'going left'],
  'moving right': ['moving right', 'moving to the right', 'sliding right', 'going right'],
  'moving up': ['moving up', 'rising', 'going up', 'floating up'],
  'moving down': ['moving down', 'falling', 'going down', 'sinking down'],
  bouncing: ['bouncing', 'bouncing up and down', 'jumping'],
  spinning: ['spinning', 'spinning around', 'rotating', 'turning around'],
  growing: ['growing', 'getting bigger', 'growing larger'],
  shrinking: ['shrinking', 'getting smaller', 'becoming smaller'],
  circling: ['circling', 'moving in a circle', 'orbiting', 'going round in circles'],
  'standing still': ['standing still', 'not moving', 'resting'],
};

/** Wordings of each background. */
export const BACKGROUNDS: Readonly<Record<string, readonly string[]>> = {
  black: ['on a black background', 'on black', 'black background'],
  gray: ['on a gray background', 'on gray', 'gray background'],
  beige: ['on a beige background', 'on beige', 'beige background'],
  'night sky': ['in the night sky', 'in a starry night sky', 'night sky with stars'],
  grass: ['over the grass', 'on green grass', 'grass in the background'],
  sea: ['over the sea', 'at the sea', 'sea in the background'],
  desert: ['in the desert', 'over the sand of a desert', 'desert in the background'],
  snow: ['in the snow', 'over a field of snow', 'snow in the background'],
};

/** Words that hold a caption together. */
export const JOINING_WORDS: readonly string[] = ['a', 'an', 'is', 'that'];
