/**
 * Reader of the safetensors format (https://github.com/huggingface/safetensors, README "Format"): 8 bytes
 * little-endian header length, a JSON header, tensor data. As strict as the reference reader: offsets in
 * range, without overlaps or holes, equal to dtype × shape. Only the header is read.
 */
import { seen } from '../errors.ts';
import { type ByteSource, withBytes } from './byte-source.ts';
import { corruptFile, unreadableFormat } from './file-errors.ts';
import { scanHeader } from './header-scan.ts';
import { elementCount, shapeText } from './shapes.ts';
import { MAX_NAME, shortName } from './tensor-name.ts';
import { DTYPE_BYTES, type DType, type TensorFile, type TensorSource } from './types.ts';

/**
 * The reference reader takes up to 100 MB. Headers of this package's models stay below 2 MB, with a trainer's
 * metadata; what is parsed takes some eight times as much memory as the header.
 */
const MAX_HEADER_BYTES = 32 << 20;
const LENGTH_BYTES = 8;

/** Element types of the format that no network of this package uses. */
const UNUSED_DTYPES = ['U16', 'U32', 'U64', 'C64', 'F8_E8M0', 'F6_E2M3', 'F6_E3M2', 'F4'];

interface Entry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads and checks the header of a safetensors file.
 * Throws ERR_FILE_NOT_FOUND, ERR_FILE_CORRUPT, or ERR_FILE_FORMAT for an element type that is not supported.
 */
export function readSafetensors(file: string): Promise<TensorFile> {
  return withBytes(file, async (bytes) => {
    const { text, dataStart } = await readHeaderText(bytes);
    const header = parseHeader(bytes.path, text);
    const entries = Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(([name, value]) => checkEntry(bytes.path, name, value));
    checkLayout(bytes.path, entries, bytes.size - dataStart);
    return {
      path: bytes.path,
      format: 'safetensors',
      size: bytes.size,
      tensors: new Map(entries.map((entry) => [entry.name, toSource(bytes.path, entry, dataStart)])),
      metadata: checkMetadata(bytes.path, header.__metadata__),
    };
  });
}

async function readHeaderText(bytes: ByteSource): Promise<{ text: string; dataStart: number }> {
  if (bytes.size < LENGTH_BYTES) {
    throw corruptFile(bytes.path, `it has ${bytes.size} bytes, too few for a safetensors header`);
  }
  const length = (await bytes.read(0, LENGTH_BYTES)).readBigUInt64LE();
  if (length > MAX_HEADER_BYTES) {
    throw corruptFile(
      bytes.path,
      `its header claims ${length} bytes, more than the ${MAX_HEADER_BYTES} allowed`,
    );
  }
  const available = bytes.size - LENGTH_BYTES;
  if (length > available) {
    throw corruptFile(bytes.path, `its header claims ${length} bytes, but only ${available} follow`, {
      reason: 'truncated',
    });
  }
  const header = await bytes.read(LENGTH_BYTES, Number(length));
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
    return { text, dataStart: LENGTH_BYTES + header.length };
  } catch (error) {
    throw corruptFile(bytes.path, 'its header is not UTF-8', {}, error);
  }
}

function parseHeader(file: string, text: string): Record<string, unknown> {
  const problem = scanHeader(text);
  if (problem !== undefined) throw corruptFile(file, problem);
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw corruptFile(file, 'its header is not JSON', {}, error);
  }
}

function checkEntry(file: string, name: string, value: unknown): Entry {
  const bad = (what: string) =>
    corruptFile(file, `tensor ${seen(name)} ${what}`, { tensor: shortName(name) });
  if (name.length > MAX_NAME) throw bad(`has a name of ${name.length} characters, over ${MAX_NAME}`);
  // The reference reader (serde_json) refuses them too.
  if (/\p{Cs}/u.test(name)) throw bad('has half a character (a lone surrogate) in its name');
  if (typeof value !== 'object' || value === null) throw bad('has no description');
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  if (!isDType(dtype)) {
    if (typeof dtype !== 'string' || !UNUSED_DTYPES.includes(dtype))
      throw bad(`has the unknown dtype ${seen(dtype)}`);
    throw unreadableFormat(
      file,
      `stores tensor ${seen(name)} as ${dtype}, which is not supported`,
      'Convert it to F16, BF16 or F32.',
      { tensor: name, dtype },
    );
  }
  if (!Array.isArray(shape)) throw bad('has no shape');
  const count = elementCount(shape);
  if (count === undefined) throw bad(`has the impossible shape ${shapeText(shape)}`);
  if (!isOffsets(offsets)) throw bad('has no valid data_offsets');
  const [begin, end] = offsets;
  if (end - begin !== count * DTYPE_BYTES[dtype]) {
    throw bad(
      `has ${end - begin} bytes, but ${dtype} ${shapeText(shape)} takes ${count * DTYPE_BYTES[dtype]}`,
    );
  }
  return { name, dtype, shape, begin, end };
}

function isDType(value: unknown): value is DType {
  return typeof value === 'string' && Object.hasOwn(DTYPE_BYTES, value);
}

function isOffsets(value: unknown): value is [number, number] {
  return (
    Array.isArray(value) && value.length === 2 && value.every((end) => Number.isSafeInteger(end) && end >= 0)
  );
}

/** Sorted by offset, the tensors must cover the data section exactly. */
function checkLayout(file: string, entries: readonly Entry[], dataBytes: number): void {
  let reached = 0;
  for (const { name, begin, end } of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (end > dataBytes) {
      throw corruptFile(file, `tensor ${seen(name)} ends at byte ${end} of ${dataBytes} bytes of data`, {
        tensor: name,
        reason: 'truncated',
      });
    }
    if (begin < reached)
      throw corruptFile(file, `tensor ${seen(name)} overlaps the one before it`, { tensor: name });
    if (begin > reached) {
      throw corruptFile(file, `${begin - reached} bytes before tensor ${seen(name)} belong to no tensor`);
    }
    reached = end;
  }
  if (reached !== dataBytes)
    throw corruptFile(file, `${dataBytes - reached} bytes at its end belong to no tensor`);
}

function checkMetadata(file: string, metadata: unknown): Record<string, string> {
  if (metadata === undefined) return {};
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw corruptFile(file, 'its __metadata__ is not an object');
  }
  const entries = Object.entries(metadata as Record<string, unknown>);
  const bad = entries.find(([, value]) => typeof value !== 'string');
  if (bad !== undefined) throw corruptFile(file, `its metadata ${seen(bad[0])} is not a string`);
  return Object.fromEntries(entries) as Record<string, string>;
}

function toSource(file: string, { dtype, shape, begin }: Entry, dataStart: number): TensorSource {
  return { file, offset: dataStart + begin, dtype, shape };
}
