/** Bounds of the names that files give to their tensors. */

/** Longest name in UTF-16 units; the longest of real files have some 200. Names end up in errors and reports. */
export const MAX_NAME = 1000;

/** A name as it goes into the details of an error. */
export function shortName(name: string): string {
  return name.slice(0, MAX_NAME);
}
