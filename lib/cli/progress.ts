/**
 * Progress on stderr: one line that is drawn over on a terminal, else a line for every tenth. It knows
 * nothing about what is computed.
 */

import type { Environment } from '../environment.ts';

/** A stream that text is written to, such as `process.stderr`. */
export interface TextStream {
  readonly isTTY?: boolean;
  /** Width of the terminal in characters. */
  readonly columns?: number;
  hasColors?(): boolean;
  write(text: string): unknown;
}

export interface ProgressEvent {
  /** What is going on, such as `sample`; a new label starts a new measurement of speed. */
  readonly label: string;
  readonly done: number;
  readonly total: number;
  readonly unit: 'steps' | 'frames' | 'bytes';
}

export interface Progress {
  update(event: ProgressEvent): void;
  /** Takes the line away so that other text can be written; the next update draws it again. */
  clear(): void;
}

export interface ProgressOptions {
  readonly stream: TextStream;
  /** Draw over one line. */
  readonly interactive: boolean;
  readonly color: boolean;
  /** Milliseconds from any origin. */
  readonly now: () => number;
}

const REDRAW_MS = 80;
const BAR = { least: 10, most: 40 } as const;
const CYAN = '\x1b[36m';
const RESET = '\x1b[0m';

interface Phase {
  readonly label: string;
  readonly since: number;
  readonly from: number;
  tenths: number;
}

/** `1.2 GB`, `340 MB`, `12 kB`: decimal units, as file sizes are given. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `0:07`, `12:30`, `1:02:03`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (parts[0] === 0) parts.shift();
  return parts.map((part, i) => (i === 0 ? `${part}` : `${part}`.padStart(2, '0'))).join(':');
}

function formatSpeed(perSecond: number, unit: ProgressEvent['unit']): string {
  if (unit === 'bytes') return `${formatBytes(perSecond)}/s`;
  return perSecond >= 1 ? `${perSecond.toFixed(2)} it/s` : `${(1 / perSecond).toFixed(2)} s/it`;
}

function formatCount({ done, total, unit }: ProgressEvent): string {
  if (unit !== 'bytes') return `${done}/${total}`;
  return `${formatBytes(done)} of ${formatBytes(total)}`;
}

const fractionOf = ({ done, total }: ProgressEvent): number =>
  total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;

/** Speed since the phase began and the time left, as far as they are known. */
function estimates(event: ProgressEvent, phase: Phase, now: number): string[] {
  const seconds = (now - phase.since) / 1000;
  const advanced = event.done - phase.from;
  if (seconds <= 0 || advanced <= 0 || event.total <= 1) return [];
  const perSecond = advanced / seconds;
  const speed = formatSpeed(perSecond, event.unit);
  return event.done < event.total
    ? [speed, `ETA ${formatDuration((event.total - event.done) / perSecond)}`]
    : [speed];
}

/**
 * One line of at most `width` characters: the bar takes the room that is left, and words are dropped from
 * the end. `full` and `empty` are the two parts of the bar.
 */
function layOut(event: ProgressEvent, extras: readonly string[], width: number) {
  const words = [event.label, formatCount(event), ...extras];
  while (words.length > 1 && words.join('  ').length > width) words.pop();
  const [label = '', ...rest] = words;
  const room = Math.min(BAR.most, width - words.join('  ').length - 4);
  if (room < BAR.least) return { before: words.join('  ').slice(0, width), full: '', empty: '', after: '' };
  const filled = Math.round(fractionOf(event) * room);
  const after = ['', ...rest].join('  ');
  return {
    before: `${label}  [`,
    full: '='.repeat(filled),
    empty: ' '.repeat(room - filled),
    after: `]${after}`,
  };
}

/** A progress display for one stream. */
export function createProgress({ stream, interactive, color, now }: ProgressOptions): Progress {
  let phase: Phase | undefined;
  let drawnAt = -Infinity;
  let length = 0;

  const clear = () => {
    // Blanks instead of an escape sequence: every terminal understands them.
    if (length > 0) stream.write(`\r${' '.repeat(length)}\r`);
    length = 0;
    drawnAt = -Infinity;
  };

  const draw = (event: ProgressEvent, current: Phase, time: number) => {
    if (time - drawnAt < REDRAW_MS && event.done < event.total) return;
    const width = Math.max(20, (stream.columns ?? 80) - 1);
    const { before, full, empty, after } = layOut(event, estimates(event, current, time), width);
    const drawn = before.length + full.length + empty.length + after.length;
    const bar = color && full ? `${CYAN}${full}${RESET}` : full;
    stream.write(`\r${before}${bar}${empty}${after}${' '.repeat(Math.max(0, length - drawn))}`);
    length = drawn;
    drawnAt = time;
  };

  const print = (event: ProgressEvent, current: Phase, time: number) => {
    const tenths = Math.floor(fractionOf(event) * 10);
    if (tenths <= current.tenths) return;
    current.tenths = tenths;
    stream.write(`${[event.label, formatCount(event), ...estimates(event, current, time)].join('  ')}\n`);
  };

  const update = (event: ProgressEvent) => {
    const time = now();
    // A smaller count under the same label is the same phase of the next clip.
    if (phase === undefined || phase.label !== event.label || event.done < phase.from) {
      phase = { label: event.label, since: time, from: event.done, tenths: 0 };
      drawnAt = -Infinity;
    }
    (interactive ? draw : print)(event, phase, time);
  };

  return { update, clear };
}

/** How a stream is written to: drawn over only on a terminal outside CI, coloured as the user wishes. */
export function streamStyle(
  stream: TextStream,
  environment: Pick<Environment, 'ci' | 'noColor'>,
): { readonly interactive: boolean; readonly color: boolean } {
  const terminal = stream.isTTY === true;
  return {
    interactive: terminal && !environment.ci,
    color: terminal && !environment.noColor && (stream.hasColors?.() ?? true),
  };
}
