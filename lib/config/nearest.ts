/** “Did you mean”: the known word that a mistyped one is closest to. */

/** Values as other programs spell them, under our names. */
const RENAMED: Readonly<Record<string, string>> = {
  fp32: 'float32',
  fp16: 'float16',
  half: 'float16',
  bf16: 'bfloat16',
  gpu: 'cuda',
  mmagic: 'original',
  guoyww: 'original',
};

/** Spelling without case and separators, so that `guidance-scale` and `guidance_scale` look alike. */
const plain = (word: string): string => word.toLowerCase().replace(/[-_\s.]/g, '');

/** Optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours. */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}

/** The closest of `known`: it begins with `word`, or differs from it in at most a third of its letters. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const target = plain(word.slice(0, 64));
  const limit = Math.max(1, Math.floor(target.length / 3));
  const begun =
    target.length > 2 ? known.find((candidate) => plain(candidate).startsWith(target)) : undefined;
  if (begun !== undefined) return begun;
  let best: { word: string; distance: number } | undefined;
  for (const candidate of known) {
    const d = distance(target, plain(candidate));
    if (d <= limit && d < Math.max(target.length, 1) && d < (best?.distance ?? Infinity)) {
      best = { word: candidate, distance: d };
    }
  }
  return best?.word;
}

/** Like {@link nearest}, for a value that may be spelt as another program does (`fp16`, `torch.float16`). */
export function nearestValue(value: string, known: readonly string[]): string | undefined {
  const name = value.toLowerCase().replace(/^torch\./, '');
  const renamed = Object.hasOwn(RENAMED, name) ? RENAMED[name] : undefined;
  return renamed !== undefined && known.includes(renamed) ? renamed : nearest(name, known);
}
