/**
 * SVG as text: a handful of elements is all that two kinds of charts need. A charting library would bring a DOM and
 * some thirty packages.
 */

type Attributes = Readonly<Record<string, string | number>>;

const escapeMarkup = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const number = (value: number) => String(Math.round(value * 100) / 100);

/** An element with its children, which are markup already. */
export function element(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const written = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${typeof value === 'number' ? number(value) : escapeMarkup(value)}"`,
  );
  const start = `<${name}${written.join('')}`;
  return children.length === 0 ? `${start}/>` : `${start}>${children.join('')}</${name}>`;
}

export interface TextStyle {
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly size?: number;
  readonly weight?: 'normal' | 'bold';
  readonly color?: string;
}

/** A line of text; `y` is its middle. */
export function text(
  x: number,
  y: number,
  content: string,
  { anchor = 'start', size = 12, weight = 'normal', color = INK }: TextStyle = {},
): string {
  const style = { 'text-anchor': anchor, 'font-size': size, 'font-weight': weight, fill: color };
  return element('text', { x, y, 'dominant-baseline': 'central', ...style }, escapeMarkup(content));
}

export function line(x1: number, y1: number, x2: number, y2: number, attributes: Attributes = {}): string {
  return element('line', { x1, y1, x2, y2, stroke: GRID, ...attributes });
}

export const INK = '#24292f';
export const FAINT = '#6e7781';
export const GRID = '#d8dee4';

/** Told apart by people with any kind of colour vision (Okabe and Ito, 2008). */
export const COLORS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9'] as const;

export const colorOf = (index: number): string => COLORS[index % COLORS.length] ?? INK;

/** A whole picture, on white so that it can be read on dark pages. */
export function picture(
  width: number,
  height: number,
  title: string,
  ...children: readonly string[]
): string {
  const root = {
    xmlns: 'http://www.w3.org/2000/svg',
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: 'img',
    'font-family': 'system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif',
  };
  const background = element('rect', { width, height, fill: '#ffffff' });
  return `${element('svg', root, element('title', {}, escapeMarkup(title)), background, ...children)}\n`;
}
