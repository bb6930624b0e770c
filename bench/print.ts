/** What a benchmark prints when it is done. */
import type { BenchResult } from './results.ts';
import { sideTitle } from './sides.ts';
import {
  alignTable,
  foreignShare,
  formatRatio,
  isOurs,
  ratioTable,
  unguidedRatio,
  valueTable,
} from './tables.ts';

function proofLines({ proofs }: BenchResult): readonly string[] {
  return proofs.map(
    ({ side, reference, tensor, difference, tolerance }) =>
      `equal: ${tensor} of ${side} to ${reference}: ${difference.relative.toExponential(2)} of at most ${tolerance}`,
  );
}

/** The whole text. */
export function formatBench(result: BenchResult): string {
  const blocks = [proofLines(result).join('\n'), alignTable(valueTable(result))];
  for (const ours of result.sides.filter(isOurs)) {
    const ratios = ratioTable(result, ours);
    if (ratios.length > 0) blocks.push(`${sideTitle(ours)} is better by\n${alignTable(ratios)}`);
    const unguided = unguidedRatio(ours);
    if (unguided !== undefined)
      blocks.push(
        `Half of a guided step / a step without guidance, ${sideTitle(ours)}: ${formatRatio(unguided)}`,
      );
  }
  const disturbed = result.sides.map((side) => `${side.name} ${(100 * foreignShare(side)).toFixed(0)} %`);
  blocks.push(`CPU that other processes took, at most: ${disturbed.join(', ')}`);
  return blocks.filter((block) => block !== '').join('\n\n');
}
