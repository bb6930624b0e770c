/** The report of `inspect` as text: a few lines for each file. */
import type { InspectReport } from '../weights/identify.ts';
import { type Listing, listingText } from '../weights/identity.ts';
import { formatBytes } from './progress.ts';

const FORMATS: Readonly<Record<InspectReport['format'], string>> = {
  safetensors: 'safetensors',
  checkpoint: 'torch checkpoint',
  'checkpoint-legacy': 'torch checkpoint of before 1.6',
  torchscript: 'TorchScript archive',
  folder: 'diffusers folder',
};

/** Control characters in a name could move the cursor of a terminal. */
function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}

function formatListing(found: Listing): string | undefined {
  return found.count === 0 ? undefined : listingText(found);
}

function formatTensors({ tensors, dtypes }: InspectReport): string | undefined {
  if (tensors === 0) return undefined;
  const counts = Object.entries(dtypes).sort(([, a], [, b]) => b - a);
  return `${tensors} (${counts.map(([dtype, count]) => `${count} ${dtype}`).join(', ')})`;
}

function formatMotion({ motion }: InspectReport): string | undefined {
  if (motion === null) return undefined;
  const assumed = motion.assumed ? ' (assumed: say --motion-version if you know better)' : '';
  return `${motion.version}, at most ${motion.maxFrames} frames${assumed}`;
}

function formatRows(name: string, rows: readonly (readonly [string, string | undefined])[]): string {
  const lines = rows.flatMap(([word, text]) =>
    text === undefined ? [] : [`  ${word.padEnd(8)}${plain(text)}`],
  );
  return [plain(name), ...lines].join('\n');
}

/** The lines of one file under its name, each a word and what is to say about it. */
export function formatInspection(report: InspectReport, name: string): string {
  return formatRows(name, [
    ['is', report.description],
    ['use as', report.usableAs.join(', ') || 'nothing yet'],
    ['because', report.reason ?? undefined],
    ['motion', formatMotion(report)],
    ['file', `${FORMATS[report.format]}, ${formatBytes(report.size)}`],
    ['tensors', formatTensors(report)],
    ['ema', report.emaTensors > 0 ? `${report.emaTensors} averaged copies, which are not used` : undefined],
    ['missing', formatListing(report.missing)],
    ['shapes', formatListing(report.mismatched)],
    ['unknown', formatListing(report.unknown)],
  ]);
}

/** The same for a file that could not be read. */
export function formatFailure(
  { code, message }: { readonly code: string; readonly message: string },
  name: string,
): string {
  return formatRows(name, [
    ['error', message],
    ['code', code],
  ]);
}
