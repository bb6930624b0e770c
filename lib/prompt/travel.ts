/**
 * Prompts that change over the frames (prompt travel): the text at key frames, and for each frame the two texts that
 * it lies between. Between key frames the embeddings are interpolated, position i / n at the i-th of n frames, as
 * diffusers does it for FreeNoise (`pipelines/free_noise_utils.py`); the first key holds before, the last one after.
 */
import { invalidArgument } from '../errors.ts';
import type { NativeBlend } from '../native.ts';
import type { Prompt, PromptTravel } from '../options.ts';
import { requireString } from '../validate.ts';

/** Text from a frame on. */
export interface KeyFrame {
  readonly frame: number;
  readonly text: string;
}

/** The text of one clip: at least one key frame, in order. */
export type Schedule = readonly KeyFrame[];

/** Texts of all clips, and the place of each frame between them. */
export interface ScheduledTexts {
  readonly texts: readonly string[];
  /** [clips, frames]; absent when text i is that of clip i. */
  readonly frames?: readonly NativeBlend[];
}

function readTravel(name: string, prompt: PromptTravel, frames: number): Schedule {
  const keys = Object.entries(prompt);
  if (keys.length === 0) throw invalidArgument(name, 'at least one key frame', prompt);
  const schedule = keys.map(([key, text]) => {
    const frame = /^(0|[1-9]\d*)$/.test(key) ? Number(key) : Number.NaN;
    if (frame < frames) return { frame, text: requireString(`${name}[${key}]`, text) };
    throw invalidArgument(name, `only frames from 0 to ${frames - 1} as keys`, key);
  });
  return schedule.sort((a, b) => a.frame - b.frame);
}

/**
 * One prompt of a call, for a clip of so many frames.
 *
 * @throws ERR_INVALID_ARGUMENT for what is neither text nor a mapping from frames of the clip to text
 */
export function readSchedule(name: string, prompt: Prompt, frames: number): Schedule {
  if (typeof prompt === 'string') return [{ frame: 0, text: prompt }];
  if (typeof prompt === 'object' && prompt !== null && !Array.isArray(prompt)) {
    return readTravel(name, prompt, frames);
  }
  throw invalidArgument(name, 'a string, or an object of strings by frame', prompt);
}

/** The same with a common beginning and end in every text, joined by commas; empty parts are left out. */
export function surround(schedule: Schedule, head: string, tail: string): Schedule {
  const join = (text: string) => [head, text, tail].filter((part) => part !== '').join(', ');
  return schedule.map(({ frame, text }) => ({ frame, text: join(text) }));
}

/** `a cat`, or `0: a cat | 8: a dog` for a prompt that changes. */
export function scheduleText(schedule: Schedule): string {
  const [first] = schedule;
  if (schedule.length === 1 && first !== undefined) return first.text;
  return schedule.map(({ frame, text }) => `${frame}: ${text}`).join(' | ');
}

/** The same as an object; undefined for a prompt that does not change. */
export function scheduleTravel(schedule: Schedule): PromptTravel | undefined {
  if (schedule.length === 1) return undefined;
  return Object.fromEntries(schedule.map(({ frame, text }) => [frame, text]));
}

/** Where a frame lies; `offset` is the number of the schedule's first text. */
function blend(schedule: Schedule, frame: number, offset: number): NativeBlend {
  const next = schedule.findIndex((key) => key.frame > frame);
  const [left, right] = [schedule[next - 1], schedule[next]];
  if (left === undefined || right === undefined) {
    const held = offset + (next === 0 ? 0 : schedule.length - 1);
    return { from: held, to: held, position: 0 };
  }
  const position = (frame - left.frame) / (right.frame - left.frame);
  return { from: offset + next - 1, to: offset + (position === 0 ? next - 1 : next), position };
}

/** Texts and frames of all clips. Nothing is said about frames when no prompt changes. */
export function scheduleTexts(clips: readonly Schedule[], frames: number): ScheduledTexts {
  const texts = clips.flatMap((schedule) => schedule.map(({ text }) => text));
  if (clips.every((schedule) => schedule.length === 1)) return { texts };
  let offset = 0;
  const blends: NativeBlend[] = [];
  for (const schedule of clips) {
    for (let frame = 0; frame < frames; frame += 1) blends.push(blend(schedule, frame, offset));
    offset += schedule.length;
  }
  return { texts, frames: blends };
}
