/** A logarithmic axis: equal ratios are equal lengths. */

export interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

/** Numbers below ten that get a tick in each power of ten, the fewest first. */
const STEPS: readonly (readonly number[])[] = [
  [1],
  [1, 2, 5],
  [1, 1.5, 2, 3, 4, 5, 7],
  Array.from({ length: 90 }, (_, tenth) => 1 + tenth / 10),
];

/** Every panel has at least two, unless its values are all but equal. */
const FEWEST = 2;

/** Powers of ten alone are few enough only where there are several. */
const FEWEST_POWERS = 4;

/** Round numbers within the range. */
function ticksWithin(low: number, high: number): readonly number[] {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const powers = Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index));
  const sets = STEPS.map((steps) =>
    powers
      .flatMap((power) => steps.map((step) => step * power))
      .filter((tick) => tick >= low && tick <= high),
  );
  return (
    sets.find((ticks, index) => ticks.length >= (index === 0 ? FEWEST_POWERS : FEWEST)) ?? sets.at(-1) ?? []
  );
}

/**
 * @param values that must have a place
 * @param pixels of the least and of the greatest value
 */
export function logScale(values: readonly number[], [start, end]: readonly [number, number]): Scale {
  const [low, high] = [Math.min(...values) / 1.15, Math.max(...values) * 1.15];
  const span = Math.log(high / low);
  return {
    at: (value) => start + ((end - start) * Math.log(value / low)) / span,
    ticks: ticksWithin(low, high),
  };
}

/** `0.5`, `20`: without the noise of powers of ten. */
export const formatTick = (value: number): string => String(Number(value.toPrecision(3)));
